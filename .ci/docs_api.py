"""What functions, classes and commands are called with and what they do, as Markdown made from their docments; for `.ci/docs.py`."""
import argparse,inspect,re
from importlib import import_module
from typing import Annotated,get_args,get_origin
from fastcore.docments import docments
from fastcore.script import anno_parser

none = inspect.Parameter.empty

def for_table(text):
    "Text for a cell of a table"
    pieces = re.split('(`[^`]*`)', ' '.join(text.split()))
    return ''.join(o if o.startswith('`') else o.replace('|', '&#124;').replace('*', '\\*') for o in pieces)

def annotation(o):
    "A type as a reader would write it"
    if o in (none, type(None), None): return ''
    if get_origin(o) is Annotated: o = get_args(o)[0]
    return '`' + re.sub(r'\b(?:\w+\.)+(?=\w)', '', o if isinstance(o, str) else inspect.formatannotation(o)) + '`'

def default(o): return '' if o is none or repr(o)=='<factory>' else f'`{getattr(o, "__name__", None) or repr(o)}`'

def argument(p):
    "A parameter with its default, as it stands in a call; functions by their names"
    text = str(p.replace(annotation=none)).replace('<factory>', '...')
    return re.sub(r"=<(?:function|class) '?(?:.*\.)?(\w+).*>", r'=\1', text)

def signature(name, o):
    "The call, without types and comments, which stand in the table"
    try: args = [argument(p) for p in inspect.signature(o).parameters.values() if p.name!='self']
    except (TypeError,ValueError): return name
    line = f'{name}({", ".join(args)})'
    return line if len(line)<=88 else f'{name}(\n    ' + ',\n    '.join(args) + ')'

def parameters(o):
    "The table of an object's parameters; empty if no comment says anything"
    try: docs = docments(o, full=True)
    except Exception: return ''   # classes of C, and what else has no source
    shown = {k:v for k,v in docs.items() if k!='self' and (k!='return' or v.docment)}
    if not any(v.docment for v in shown.values()): return ''
    name = lambda k: 'returns' if k=='return' else f'`{k}`'
    rows = [(name(k), annotation(v.anno), default(v.default), for_table(v.docment or '')) for k,v in shown.items()]
    table = ['| parameter | type | default | |', '|---|---|---|---|', *(f'| {" | ".join(o)} |' for o in rows)]
    return '\n'.join(['<div class="parameters" markdown>', '', *table, '', '</div>'])

def docstring(o): return inspect.cleandoc((vars(o).get('__doc__') if isinstance(o, type) else getattr(o, '__doc__', None)) or '')

def api(name, o, level=3):
    "Heading, call, docstring and parameters"
    parts = f'{"#"*level} `{name}` {{ #{name.lower()} .api }}', f'```python\n{signature(name, o)}\n```', docstring(o), parameters(o)
    return '\n\n'.join(t for t in parts if t)

def methods(name, cls):
    if not isinstance(cls, type): return []
    return [(f'{name}.{k}', o) for k,o in vars(cls).items() if not k.startswith('_') and inspect.isfunction(o) and o.__doc__]

def reference(package):
    "The page of all public names"
    text = ['# Python', f'What `from {package.__name__} import *` brings. The lessons under *How it works* show how each is made.']
    for name in package.__all__:
        o = getattr(package, name)
        text += [api(name, o, 2), *(api(k, m) for k,m in methods(name, o))]
    return '\n\n'.join(text)

def options(parser):
    "The table of a command's arguments"
    rows = [(', '.join(o.option_strings) or o.dest, for_table(o.help)) for o in parser._actions if o.help!=argparse.SUPPRESS]
    return '\n'.join(['| argument | |', '|---|---|', *(f'| `{name}` | {text} |' for name,text in rows)])

def commands(scripts):
    "The page of all commands"
    text = ['# Commands', 'For the terminal.']
    for name,path in sorted(scripts.items()):
        module,_,f = path.partition(':')
        f = getattr(import_module(module), f)
        text += [f'## `{name}` {{ #{name} .api }}', docstring(f), options(anno_parser(f.__wrapped__, prog=name))]
    return '\n\n'.join(text)
