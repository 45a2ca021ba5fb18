"""Builds the site from the notebooks into `_docs`, without Quarto: nbdev reads the cells and their directives, Zensical makes the pages.

    python -m pip install -e '.[docs]'
    python .ci/docs.py
    python -m http.server -d _docs
"""
import ast,base64,json,os,re,shutil,subprocess,sys,tomllib,warnings
from functools import cache
from importlib import import_module
from pathlib import Path
warnings.filterwarnings('ignore')
from latex2mathml.converter import convert as to_mathml
from nbdev.config import nbpath2html
from nbdev.process import NBProcessor
from nbdev.processors import clean_magics,filter_stream_,hide_,hide_line,strip_ansi
from nbdev.showdoc import showdoc_nm
from docs_api import api,commands,reference

root = Path(__file__).resolve().parent.parent
pages,site = root/'_proc',root/'_docs'
project = tomllib.loads((root/'pyproject.toml').read_text(encoding='utf-8'))['project']
source = project['urls']['Source']
package = import_module(project['name'])
start = 'index quickstart 40_promise 49_improvement'.split()
parts = {'0':'Foundations', '1':'Objects and their bits', '2':'Data and records', '3':'Runs', '4':'Comparing', '5':'Commands',
         '6':'Commands'}

# Exported cells: documentation, and the folded source

def resolved(name, module):
    "What a name with dots stands for; None if it is gone"
    for k in name.split('.'): module = getattr(module, k, None)
    return module

def full_name(name, o, module):
    "A function that a cell gives to a class is a method of it"
    return next((f'{c.__name__}.{name}' for c in vars(module).values() if isinstance(c, type) and vars(c).get(name) is o), name)

def documented(defs, module):
    "The documentation of the public functions and classes of a cell"
    names = [showdoc_nm(o) for o in defs if isinstance(o, (ast.FunctionDef,ast.ClassDef)) and o.name[0]!='_']
    found = [(n, resolved(n, module)) for n in names if isinstance(n, str)]
    return [api(full_name(n, o, module), o) for n,o in found if o is not None]

def folded(text, defs):
    imports = all(isinstance(o, (ast.Import,ast.ImportFrom)) for o in defs)
    lines = f'```python\n{text.strip()}\n```'.splitlines()
    return f'??? quote "{"Imports" if imports else "Source"}"\n\n' + '\n'.join('    '*bool(o) + o for o in lines)

def export_cells(module):
    "A processor for the exported cells of the notebook of `module`"
    def export(cell):
        if cell.cell_type!='code' or not cell.directives_.keys() & {'export','exports','exporti'}: return
        defs = ast.parse(cell.source).body
        docs = [] if 'exporti' in cell.directives_ else documented(defs, module)
        cell.cell_type,cell.exported = 'markdown',True
        cell.source = '\n\n'.join([*docs, folded(cell.source, defs)])
    return export

# Other cells: their source and what they left in the notebook

def fence(text, kind):
    ticks = '`'*max(3, 1+max((len(o) for o in re.findall('`+', text)), default=0))
    return f'{ticks}{kind}\n{text.rstrip()}\n{ticks}'

def joined(o): return ''.join(o) if isinstance(o, list) else o

def printed(text):
    "Text as a terminal leaves it: without colours, and a carriage return begins the line again"
    text = re.sub(r'\x1b\[[0-9;]*[A-Za-z]', '', text).replace('\r\n', '\n')
    return fence('\n'.join(l.split('\r')[-1] for l in text.split('\n')), '{ .text .output }')

def picture(data, kind, name):
    file = pages/'pictures'/f'{name}.{kind.split("/")[1]}'
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(base64.b64decode(data[kind]))
    return f'![What the cell above draws](pictures/{file.name})'

def output(o, name):
    "One output in its richest form"
    data = {k:joined(v) for k,v in (o.get('data') or {}).items()}
    kind = next((k for k in ('text/html','text/markdown','image/png','image/jpeg','text/plain') if k in data), None)
    if kind=='text/html': return '<div class="output">\n' + re.sub(r'\n\s*\n', '\n', data[kind]).strip() + '\n</div>'
    if kind=='text/markdown': return adapted(data[kind], root/'nbs')
    if kind=='text/plain': return printed(data[kind])
    if kind: return picture(data, kind, name)
    return printed('\n'.join(o.traceback)) if o.output_type=='error' else ''

def outputs(cell, stem):
    "What a cell printed, in one piece, and what else it left"
    stream = ''.join(joined(o.text) for o in cell.outputs if o.output_type=='stream')
    left = [output(o, f'{stem}_{cell.idx_}_{n}') for n,o in enumerate(cell.outputs) if o.output_type!='stream']
    return [o for o in ([printed(stream)]*bool(stream.strip()) + left) if o]

def markdown(cell, stem):
    if getattr(cell, 'exported', False): return cell.source
    if cell.cell_type=='markdown': return with_names(with_math(adapted(cell.source, root/'nbs')))
    shown,left = cell.directives_.get('echo')!='false',outputs(cell, stem)
    if not shown and not left: sys.exit(f'{stem}.ipynb: this cell shows only its output, and none is stored:\n{cell.source}')
    return '\n\n'.join([fence(cell.source, 'python')]*bool(shown and cell.source.strip()) + left)

# Text that GitHub shows, as the generator wants it

def outside_code(f, text):
    "`text` with `f` applied to what is not fenced code"
    return ''.join(o if o.startswith('```') else f(o) for o in re.split(r'(^```.*?^```[^\n]*$)', text, flags=re.M|re.S))

def with_names(text):
    "Public names in the text lead to the reference"
    def link(m): return f'[{m[0]}](reference_python.md#{m[1].lower()})' if m[1] in package.__all__ else m[0]
    def links(line): return line if line.startswith('#') else re.sub(r'(?<![\[`])`(\w+)(?:\([^`\n]*\))?`(?![\]`])', link, line)
    return outside_code(lambda o: '\n'.join(links(l) for l in o.split('\n')), text)

def with_math(text):
    "Formulas as MathML, which browsers draw without a script"
    def draw(m): return m[0] if m[0].startswith('`') else f'<span>{to_mathml(m[1])}</span>'  # by itself it would begin a paragraph
    return outside_code(lambda o: re.sub(r'`[^`]*`|\$([^$\n]+)\$', draw, o), text)

def spaced(text):
    "Lists and tables begin after an empty line"
    item = r'(?:[-*+]|\d+\.) '
    return outside_code(lambda o: re.sub(rf'^((?!\s|{item}|\||#)[^\n]+)\n(?={item}|\|)', r'\1\n\n', o, flags=re.M), text)

def relinked(text, base, here=''):
    "Links of a file in folder `base`, as they are to be on a page in folder `here`"
    def f(m):
        target,_,anchor = m[1].partition('#')
        if not target or re.match(r'\w+:', target): return m[0]
        file = (base/target).resolve()
        if not file.exists(): raise ValueError(f'{m[1]} leads nowhere')
        to = page_of(file)
        new = os.path.relpath(to, here or '.') if to else f'{source}/blob/main/{file.relative_to(root).as_posix()}'
        return f']({new}{"#"*bool(anchor)}{anchor})'
    return outside_code(lambda o: re.sub(r'\]\(([^()\s]+)\)', f, o), text)

def adapted(text, base, here=''): return spaced(relinked(text, base, here))

# Names of pages

def room_of(path):
    "The module that is made from a notebook; None if there is none"
    m = re.search(r'#\s*\|\s*default_exp (\w+)', path.read_text(encoding='utf-8'))
    return m and m[1]

@cache
def page_names():
    "The names that nbdev gives to pages, which docstrings and other sites link to; a lesson whose name a room has keeps its number"
    res = {}
    for o in sorted((root/'nbs').glob('*.ipynb'), key=lambda o: room_of(o) is None):
        name = nbpath2html(o).stem
        res[o] = f'{o.stem if f"{name}.md" in res.values() else name}.md'
    return res

def page_of(file):
    "The page of a file of the repository; None if it has none"
    if file.suffix=='.ipynb': return page_names()[file]
    if file.parent==root/'benchmarks'/'results' and file.suffix=='.md': return f'results/{file.name}'
    return {'CHANGELOG.md':'reference_changelog.md', 'CONTRIBUTING.md':'reference_contributing.md', 'README.md':'index.md'}.get(file.name)

def title_of(text, stem):
    "The first heading, else the name of the file"
    m = re.search(r'^# (.*)$', text, flags=re.M)
    if m: return m[1].strip().replace('`', '')
    first,*rest = stem.split('_')
    return ' '.join([first.capitalize(), *(o.upper() if o in ('cpu','h100','h200') else o for o in rest)])

# Pages

def write(name, text):
    (pages/name).parent.mkdir(parents=True, exist_ok=True)
    (pages/name).write_text(text, encoding='utf-8')
    return name

def lesson(path):
    "A notebook as a page"
    room = room_of(path)
    module = import_module(f'{package.__name__}.{room}') if room else package
    nb = NBProcessor(path, procs=[strip_ansi, hide_line, filter_stream_, hide_, export_cells(module), clean_magics])
    nb.process()
    return '\n\n'.join(markdown(c, path.stem) for c in nb.nb.cells if 'default_exp' not in c.directives_)

def group_of(path):
    "Where a notebook stands on the site: group, and the part of it"
    number = path.stem[0]
    if path.stem in start: return 'Start',''
    is_of_room = any(path.stem.startswith(f'{o.stem}_') for o in path.parent.glob('*.ipynb'))  # tests of another notebook
    if room_of(path) or number in '0123' or is_of_room: return 'How it works',parts[number]
    return 'Recipes' if number=='5' else 'Measured',''

def lessons():
    "All notebooks as pages, in groups"
    groups = {k:{} for k in ('Start', 'Recipes', 'How it works', 'Measured')}
    order = lambda o: (start.index(o.stem) if o.stem in start else len(start), o.stem)
    for path in sorted((root/'nbs').glob('*.ipynb'), key=order):
        text = lesson(path)
        group,part = group_of(path)
        groups[group].setdefault(part, []).append({title_of(text, path.stem): write(page_names()[path], text)})
    return {k:v.get('', []) + [{part:o} for part,o in v.items() if part] for k,v in groups.items()}

def tables():
    "The tables that benchmarks wrote, as pages; lessons show them in their places, so the search leaves them out"
    seen = set()
    for path in sorted((root/'benchmarks'/'results').glob('*.md')):
        text = adapted(path.read_text(encoding='utf-8'), path.parent, 'results')
        title = title_of(text, path.stem)
        heading = f'# {title}\n\n' if not re.search('^# ', text, flags=re.M) else ''
        page = write(f'results/{path.name}', f'---\nsearch:\n  exclude: true\n---\n{heading}{text}')
        if title in seen: title += f' ({path.stem.replace("_", " ")})'
        seen.add(title)
        yield {title: page}

def nav():
    "Writes all pages; their titles and files, in groups"
    groups = lessons()
    groups['Measured'].append({'Tables': list(tables())})
    other = {'Python':reference(package), 'Commands':commands(project['scripts'])}
    for name in ('Changelog','Contributing'): other[name] = adapted((root/f'{name.upper()}.md').read_text(encoding='utf-8'), root)
    groups['Reference'] = [{k:write(f'reference_{k.lower()}.md', v)} for k,v in other.items()]
    return [{k:v} for k,v in groups.items()]

def build():
    "The site in `_docs`; the exit status"
    shutil.rmtree(pages, ignore_errors=True)
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(root/'docs', pages, ignore=shutil.ignore_patterns('*.yml'))
    here = dict(site_name=project['name'], site_description=project['description'], site_url=project['urls']['Documentation'], nav=nav(),
                repo_url=source, repo_name=source.split('.com/')[-1], docs_dir='_proc', site_dir='_docs', use_directory_urls=False)
    look,config = (root/'docs'/'mkdocs.yml').read_text(encoding='utf-8'),root/'mkdocs.yml'
    config.write_text(look + ''.join(f'{k}: {json.dumps(v)}\n' for k,v in here.items()), encoding='utf-8')
    try: status = subprocess.run(['zensical', 'build', '--clean', '--config-file', str(config)], cwd=root).returncode
    finally: config.unlink()
    for o in pages.glob('*.md'): shutil.copy(o, site/f'{o.stem}.html.md')
    return status

if __name__ == '__main__': sys.exit(build())
