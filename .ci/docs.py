"""Builds the site from the notebooks into `_docs`, without Quarto: nbdev reads the cells and their directives, Zensical makes the pages.

    python -m pip install -e '.[docs]'
    python .ci/docs.py
    python -m http.server -d _docs
"""
import argparse,ast,base64,inspect,json,os,re,shutil,subprocess,sys,tomllib,warnings
from functools import cache
from importlib import import_module
from pathlib import Path
warnings.filterwarnings('ignore')
from fastcore.docments import docments
from fastcore.script import anno_parser
from nbdev.config import nbpath2html
from nbdev.process import NBProcessor
from nbdev.processors import clean_magics,filter_stream_,hide_,hide_line,strip_ansi
from nbdev.showdoc import showdoc_nm

root = Path(__file__).resolve().parent.parent
pages,site = root/'_proc',root/'_docs'
project = tomllib.loads((root/'pyproject.toml').read_text(encoding='utf-8'))['project']
source = project['urls']['Source']
package = import_module(project['name'])
start = 'index quickstart 40_promise 49_improvement'.split()
parts = {'0':'Foundations', '1':'Objects and their bits', '2':'Data and records', '3':'Runs', '4':'Comparing', '5':'Commands', '6':'Commands'}

# Names and their parameters

def plain(text):
    "Text for a cell of a table"
    return ''.join(o if o.startswith('`') else o.replace('|', '&#124;').replace('*', '\\*') for o in re.split('(`[^`]*`)', ' '.join(text.split())))

def annotation(o):
    "A type as a reader would write it"
    if o in (inspect.Parameter.empty, type(None), None): return ''
    text = o if isinstance(o, str) else inspect.formatannotation(o)
    return '`' + re.sub(r'\b(?:\w+\.)+(?=\w)', '', text) + '`'

def default(o): return '' if o is inspect.Parameter.empty or repr(o)=='<factory>' else f'`{getattr(o, "__name__", None) or repr(o)}`'

def signature(name, o):
    "The call, without types and comments, which stand in the table"
    try: params = inspect.signature(o).parameters.values()
    except (TypeError,ValueError): return name
    args = [re.sub(r'=<(?:function|class) \'?(?:.*\.)?(\w+).*>', r'=\1', str(p.replace(annotation=p.empty))) for p in params if p.name!='self']
    line = f'{name}({", ".join(args)})'
    line,args = line.replace('<factory>', '...'),[o.replace('<factory>', '...') for o in args]
    return line if len(line)<=88 else f'{name}(\n    ' + ',\n    '.join(args) + ')'

def parameters(o):
    "The table of an object's parameters, made from its docments"
    try: docs = docments(o, full=True)
    except Exception: return ''
    rows = [(f'`{k}`' if k!='return' else 'returns', annotation(v.anno), default(v.default), plain(v.docment or '')) for k,v in docs.items() if k!='self' and (k!='return' or v.docment)]
    if not any(o[3] for o in rows): return ''
    table = ['| parameter | type | default | |', '|---|---|---|---|', *(f'| {" | ".join(o)} |' for o in rows)]
    return '\n'.join(['<div class="parameters" markdown>', '', *table, '', '</div>'])

def api(name, o, level=3):
    "What a function or class is called with and what it does"
    doc = inspect.cleandoc(vars(o).get('__doc__') or '' if isinstance(o, type) else getattr(o, '__doc__', None) or '')
    return '\n\n'.join(t for t in (f'{"#"*level} `{name}` {{ #{name.lower()} .api }}', f'```python\n{signature(name, o)}\n```', spaced(doc), parameters(o)) if t)

def methods(name, cls): return [(f'{name}.{k}', o) for k,o in vars(cls).items() if not k.startswith('_') and inspect.isfunction(o) and o.__doc__]

def reference():
    text = ['# Python', 'What `from fastai_repro import *` brings. The lessons under *How it works* show how each is made.']
    for name in package.__all__:
        o = getattr(package, name)
        text += [api(name, o, 2), *(api(k, m) for k,m in (methods(name, o) if isinstance(o, type) else ()))]
    return '\n\n'.join(text)

def options(parser):
    "The table of a command's arguments"
    rows = [(', '.join(o.option_strings) or o.dest, plain(o.help)) for o in parser._actions if o.help!=argparse.SUPPRESS]
    return '\n'.join(['| argument | |', '|---|---|', *(f'| `{name}` | {text} |' for name,text in rows)])

def commands():
    text = ['# Commands', 'For the terminal.']
    for name,path in sorted(project['scripts'].items()):
        module,_,f = path.partition(':')
        f = getattr(import_module(module), f)
        parser = anno_parser(f.__wrapped__, prog=name)
        text += [f'## `{name}` {{ #{name} .api }}', f.__doc__, options(parser)]
    return '\n\n'.join(text)

# Cells

def resolved(name, module):
    "What a name with dots stands for; None if it is gone"
    for k in name.split('.'): module = getattr(module, k, None)
    return module

def full_name(name, o, module):
    "A function that a cell gives to a class is a method of it"
    return next((f'{c.__name__}.{name}' for c in vars(module).values() if isinstance(c, type) and vars(c).get(name) is o), name)

def export_cells(module):
    "Exported cells become the documentation of what they define, and their folded source"
    def export(cell):
        if cell.cell_type!='code' or not cell.directives_.keys() & {'export','exports','exporti'}: return
        defs = [o for o in ast.parse(cell.source).body if isinstance(o, (ast.FunctionDef,ast.ClassDef))]
        names = [] if 'exporti' in cell.directives_ else [n for o in defs if o.name[0]!='_' for n in [showdoc_nm(o)] if isinstance(n, str)]
        docs = [api(full_name(n, o, module), o) for n in names for o in [resolved(n, module)] if o is not None]
        cell.cell_type,cell.outputs = 'markdown',[]
        title = 'Imports' if all(isinstance(o, (ast.Import,ast.ImportFrom)) for o in ast.parse(cell.source).body) else 'Source'
        cell.source = '\n\n'.join([*docs, f'??? quote "{title}"\n\n' + indented(f'```python\n{cell.source.strip()}\n```')])
        cell.exported = True
    return export

def indented(text): return '\n'.join('    '*bool(o) + o for o in text.splitlines())

def fence(text, kind=''):
    ticks = '`'*max(3, 1+max((len(o) for o in re.findall('`+', text)), default=0))
    return f'{ticks}{kind}\n{text.rstrip()}\n{ticks}'

def joined(o): return ''.join(o) if isinstance(o, list) else o

def as_printed(text):
    "Text as a terminal leaves it, where a carriage return begins the line again"
    return '\n'.join(l.split('\r')[-1] for l in re.sub(r'\x1b\[[0-9;]*[A-Za-z]', '', text).replace('\r\n', '\n').split('\n'))

def outputs(cell, stem):
    "What a cell left in the notebook: text, tables and pictures"
    stream = ''.join(joined(o.text) for o in cell.outputs if o.output_type=='stream')
    if stream.strip(): yield fence(as_printed(stream), '{ .text .output }')
    for n,o in enumerate(cell.outputs):
        data = {k:joined(v) for k,v in (o.get('data') or {}).items()}
        picture = next((k for k in ('image/png','image/jpeg') if k in data), None)
        if 'text/html' in data: yield f'<div class="output">\n{re.sub(chr(10)+"+", chr(10), data["text/html"]).strip()}\n</div>'
        elif 'text/markdown' in data: yield adapted(data['text/markdown'], root/'nbs')
        elif picture:
            file = pages/'pictures'/f'{stem}_{cell.idx_}_{n}.{picture.split("/")[1]}'
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(base64.b64decode(data[picture]))
            yield f'![What the cell above draws](pictures/{file.name})'
        elif 'text/plain' in data: yield fence(as_printed(data['text/plain']), '{ .text .output }')
        elif o.output_type=='error': yield fence(as_printed('\n'.join(o.traceback)), '{ .text .output }')

def markdown(cell, stem, names):
    if getattr(cell, 'exported', 0): return cell.source
    if cell.cell_type=='markdown': return linked(adapted(cell.source, root/'nbs'), names)
    shown = cell.directives_.get('echo')!='false'
    left = list(outputs(cell, stem))
    if not shown and not left: missing.append(f'{stem}.ipynb: the output of a cell that only shows its output is not stored:\n{cell.source}')
    return '\n\n'.join([fence(cell.source, 'python')]*bool(shown and cell.source.strip()) + left)

missing = []

# Text that GitHub shows, as the generator wants it

def outside_code(f, text):
    "`text` with `f` applied to what is not fenced code"
    return ''.join(o if o.startswith('```') else f(o) for o in re.split(r'(^```.*?^```[^\n]*$)', text, flags=re.M|re.S))

def linked(text, names):
    "Public names in the text lead to the reference"
    def names_in(o): return re.sub(r'(?<![\[`])`(\w+)(\([^`\n]*\))?`(?![\]`])', lambda m: f'[{m[0]}](reference_python.md#{m[1].lower()})' if m[1] in names else m[0], o)
    return outside_code(lambda o: '\n'.join(l if l.startswith('#') else names_in(l) for l in o.split('\n')), text)

def spaced(text):
    "Lists and tables begin after an empty line, as the generator wants them"
    item = r'(?:[-*+]|\d+\.) '
    def f(o): return re.sub(rf'^((?!\s|{item}|\||#)[^\n]+)\n(?={item}|\|)', r'\1\n\n', o, flags=re.M)
    return outside_code(f, text)

def relinked(text, base, here=''):
    "Links of a file in folder `base`, as they are to be on a page in folder `here`"
    def f(m):
        target,_,anchor = m[1].partition('#')
        if not target or re.match(r'\w+:', target): return m[0]
        file = next((o for o in ((base/target).resolve(), (root/target).resolve()) if o.exists()), None)
        if file is None: raise ValueError(f'{m[1]} leads nowhere')
        to = page_of(file)
        new = os.path.relpath(to, here or '.') if to else f'{source}/blob/main/{file.relative_to(root).as_posix()}'
        return f']({new}{"#"*bool(anchor)}{anchor})'
    return outside_code(lambda o: re.sub(r'\]\(([^()\s]+)\)', f, o), text)

def adapted(text, base, here=''): return spaced(relinked(text, base, here))

def page_of(file):
    "The page of a file of the repository; None if it has none"
    if file.suffix=='.ipynb': return page_names()[file]
    if file.parent==root/'benchmarks'/'results' and file.suffix=='.md': return f'results/{file.name}'
    return {'CHANGELOG.md':'changelog.md', 'CONTRIBUTING.md':'contributing.md', 'README.md':'index.md'}.get(file.name)

@cache
def page_names():
    "Pages have the names that nbdev gives them, which docstrings and other sites link to; a lesson whose name a room has keeps its number"
    files = sorted((root/'nbs').glob('*.ipynb'), key=lambda o: room_of(o) is None)
    res = {}
    for o in files:
        name = nbpath2html(o).stem
        res[o] = f'{o.stem if f"{name}.md" in res.values() else name}.md'
    return res

def room_of(path):
    "The module that is made from a notebook; None if there is none"
    m = re.search(r'#\s*\|\s*default_exp (\w+)', path.read_text(encoding='utf-8'))
    return m and m[1]

def title_of(text, stem):
    m = re.search(r'^# (.*)$', text, flags=re.M)
    return m[1].strip().replace('`', '') if m else re.sub('[ch][p0-9]+[u0]$', lambda o: o[0].upper(), stem.replace('_', ' ').capitalize())

# Pages

def lesson(path):
    "A notebook as a page, and whether a module is made from it"
    room = room_of(path)
    module = import_module(f'{package.__name__}.{room}') if room else package
    nb = NBProcessor(path, procs=[strip_ansi, hide_line, filter_stream_, hide_, export_cells(module), clean_magics])
    nb.process()
    cells = [c for c in nb.nb.cells if 'default_exp' not in c.directives_]
    return '\n\n'.join(markdown(c, path.stem, set(package.__all__)) for c in cells), bool(room)

def write(name, text):
    (pages/name).parent.mkdir(parents=True, exist_ok=True)
    (pages/name).write_text(text, encoding='utf-8')

def lessons():
    "All notebooks as pages, in groups"
    groups = {k:[] for k in ('Start', 'Recipes', 'How it works', 'Measured')}
    rooms = {k:[] for k in parts.values()}
    for path in sorted((root/'nbs').glob('*.ipynb')):
        text,room = lesson(path)
        page = page_names()[path]
        write(page, text)
        number = path.stem[0]
        inside = room or number in '0123' or path.stem.endswith('_tests')
        group = groups['Start'] if path.stem in start else rooms[parts[number]] if inside else groups['Recipes' if number=='5' else 'Measured']
        group.append({title_of(text, path.stem): page})
    groups['Start'].sort(key=lambda o: [page_names()[root/'nbs'/f'{k}.ipynb'] for k in start].index(next(iter(o.values()))))
    groups['How it works'] = [{k:v} for k,v in rooms.items() if v]
    return groups

def tables():
    "The tables that benchmarks wrote, as pages"
    seen = set()
    for path in sorted((root/'benchmarks'/'results').glob('*.md')):
        text = path.read_text(encoding='utf-8')
        title = title_of(text, path.stem)
        if not re.search('^# ', text, flags=re.M): text = f'# {title}\n\n{text}'
        write(f'results/{path.name}', '---\nsearch:\n  exclude: true\n---\n' + adapted(text, path.parent, 'results'))
        if title in seen: title += f' ({path.stem.replace("_", " ")})'
        seen.add(title)
        yield {title: f'results/{path.name}'}

def files():
    "What lies in the repository as Markdown"
    for name,page in (('CHANGELOG.md','changelog.md'), ('CONTRIBUTING.md','contributing.md')):
        write(page, adapted((root/name).read_text(encoding='utf-8'), root))
    write('reference_python.md', reference())
    write('reference_commands.md', commands())

def main():
    shutil.rmtree(pages, ignore_errors=True)
    shutil.copytree(root/'docs', pages, ignore=shutil.ignore_patterns('*.yml'))
    groups = lessons()
    if missing: sys.exit('\n\n'.join(missing))
    files()
    groups['Measured'].append({'Tables': list(tables())})
    nav = [*({k:v} for k,v in groups.items()), {'Reference': [{'Python':'reference_python.md'}, {'Commands':'reference_commands.md'}, {'Changelog':'changelog.md'}, {'Contributing':'contributing.md'}]}]
    here = dict(site_name=project['name'], site_description=project['description'], site_url=project['urls']['Documentation'], repo_url=source,
                repo_name=source.split('.com/')[-1], docs_dir='_proc', site_dir='_docs', use_directory_urls=False, nav=nav)
    config = root/'mkdocs.yml'
    config.write_text((root/'docs'/'mkdocs.yml').read_text(encoding='utf-8') + ''.join(f'{k}: {json.dumps(v)}\n' for k,v in here.items()), encoding='utf-8')
    shutil.rmtree(site, ignore_errors=True)
    status = subprocess.run(['zensical', 'build', '--clean', '--config-file', str(config)], cwd=root).returncode
    config.unlink()
    for o in pages.glob('*.md'): shutil.copy(o, site/f'{o.stem}.html.md')
    sys.exit(status)

if __name__ == '__main__': main()
