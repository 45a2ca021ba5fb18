"""The house in numbers: rooms, lines, names, imports across rooms, long lines, long functions, cells of the notebooks.

    python benchmarks/house.py                                  # the working tree
    python benchmarks/house.py --before REV --after REV         # two revisions side by side (--after: the working tree)
    python benchmarks/house.py --before REV --out benchmarks/results/house.md
    python benchmarks/house.py --by-rooms                       # and a line for each room

A room is a module of `fastai_repro` that isn't written by nbdev (`_modidx`) and isn't the package's `__init__`.
Names are the functions and classes at the top of a module; a private one begins with an underscore. An import across rooms is private if the
name that it takes begins with an underscore, wherever the import stands, also inside a function. A circle is a set of rooms of which each
can be reached from each other by imports. A function's length is counted from its `def` to its last line.
"""
import ast,json,subprocess
from pathlib import Path
from fastcore.script import call_parse

root,package = Path(__file__).parent.parent, 'fastai_repro'
width,long_cell,most_cells = 140, 50, 40  # what the house style allows

def git(*args): return subprocess.run(['git', *args], cwd=root, check=True, capture_output=True, text=True).stdout

def sources(rev, folder, ext):
    "The files of `folder` at `rev` (the working tree where it's empty): name without extension -> text"
    if not rev: return {p.stem: p.read_text() for p in sorted((root/folder).glob(f'*.{ext}'))}
    names = [o for o in git('ls-tree', '--name-only', rev, f'{folder}/').splitlines() if o.endswith(f'.{ext}')]
    return {Path(o).stem: git('show', f'{rev}:{o}') for o in names}

def rooms(rev): return {k:v for k,v in sources(rev, package, 'py').items() if k not in ('__init__', '_modidx', 'all')}

def top_names(tree):
    "Functions and classes at the top of a module"
    return {o.name for o in tree.body if isinstance(o, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))}

def imports(tree):
    "(room, name) of each import from another room"
    for o in ast.walk(tree):
        if not isinstance(o, ast.ImportFrom): continue
        module = o.module or ''
        if o.level==0 and not module.startswith(package): continue
        room = module.removeprefix(package).strip('.')
        for a in o.names: yield (room, a.name) if room else (a.name, '')

def circles(graph):
    "Sets of rooms of which each reaches each other"
    def reached(room):
        seen,todo = set(),[room]
        while todo:
            new = graph.get(todo.pop(), set())-seen
            seen |= new
            todo += new
        return seen
    far = {k:reached(k) for k in graph}
    return sorted({tuple(sorted(o for o in far[k] if k in far.get(o, ()))) for k in graph if k in far[k]})

def functions(tree):
    "(name, lines) of each function, nested ones too"
    return [(o.name, o.end_lineno-o.lineno+1) for o in ast.walk(tree) if isinstance(o, (ast.FunctionDef, ast.AsyncFunctionDef))]

def room_facts(text):
    "What is counted in one room"
    tree = ast.parse(text)
    lines,spans = text.splitlines(),functions(tree)
    private = {o for o in top_names(tree) if o.startswith('_')}
    return dict(lines=len(lines), wide=sum(len(o)>width for o in lines), private=len(private), public=len(top_names(tree)-private),
                imports=list(imports(tree)), functions=[n for _,n in spans], longest=max(spans, key=lambda o: o[1], default=('', 0)))

def cell_lengths(text):
    "Lines of each code cell"
    return [len(''.join(o['source']).splitlines()) for o in json.loads(text)['cells'] if o['cell_type']=='code']

def quantile(xs, q): return sorted(xs)[min(int(q*len(xs)), len(xs)-1)]

def largest(counts):
    "The largest number, with whose it is"
    name = max(counts, key=counts.get)
    return f'{counts[name]} ({name})'

def room_rows(rooms):
    "What is counted over all rooms: what -> text"
    found = {k:room_facts(v) for k,v in rooms.items()}
    total = lambda k: sum(o[k] for o in found.values())
    lengths = sum((o['functions'] for o in found.values()), [])
    private = {(room, *o) for room,f in found.items() for o in f['imports'] if o[1].startswith('_') and not o[1].startswith('__')}
    rings = circles({room: {o for o,_ in f['imports'] if o in found} for room,f in found.items()})
    longest = {f"{k}.{f['longest'][0]}": f['longest'][1] for k,f in found.items()}
    return {
        'rooms': len(found),
        'lines of code': f"{total('lines'):,}",
        'private functions and classes': total('private'),
        'public functions and classes': total('public'),
        'private for each public one': f"{total('private')/total('public'):.1f}",
        'private names imported by another room': len(private),
        'circles': f"{len(rings)} ({'; '.join(' and '.join(o) for o in rings)})" if rings else 0,
        f'lines above {width} columns': f"{total('wide')} ({total('wide')/total('lines'):.1%})",
        'functions': len(lengths),
        'median lines of a function': quantile(lengths, .5),
        '90th percentile': quantile(lengths, .9),
        'longest function, lines': largest(longest)}

def notebook_rows(notebooks):
    "What is counted over all notebooks: what -> text"
    lengths = {k:cell_lengths(v) for k,v in notebooks.items()}
    cells = {k:len(json.loads(v)['cells']) for k,v in notebooks.items()}
    return {
        'notebooks': len(notebooks),
        'longest code cell, lines': largest({k:max(v, default=0) for k,v in lengths.items()}),
        f'code cells above {long_cell} lines': sum(n>long_cell for v in lengths.values() for n in v),
        'most cells in a notebook': largest(cells),
        f'notebooks above {most_cells} cells': sum(n>most_cells for n in cells.values())}

def facts(rev): return {**room_rows(rooms(rev)), **notebook_rows(sources(rev, 'nbs', 'ipynb'))}

def markdown(head, rows):
    "A table as Markdown"
    line = lambda xs: '| '+' | '.join(map(str, xs))+' |'
    return '\n'.join([line(head), line(['---']*len(head)), *map(line, rows)])

def by_room(rev):
    "A line for each room"
    rows = [(k, o['lines'], o['private'], o['public'], o['wide'], f"{o['longest'][1]} ({o['longest'][0]})")
            for k,o in ((k, room_facts(v)) for k,v in rooms(rev).items())]
    return markdown(['room', 'lines', 'private', 'public', f'above {width} columns', 'longest function'], rows)

@call_parse
def main(
    before:str=None, # A git revision for a first column
    after:str='',    # A git revision; the working tree where it's not given
    by_rooms:bool=False, # A table with a line for each room?
    out:str=None,    # File for the table
):
    "Print the house in numbers"
    columns = {**({f'before ({before})': before} if before else {}), f'after ({after})' if after else 'today': after}
    found = [facts(o) for o in columns.values()]
    text = markdown(['', *columns], [(k, *(o[k] for o in found)) for k in found[0]])
    if by_rooms: text += f'\n\n{by_room(after)}'
    print(text)
    if out: Path(out).write_text(f'# The house\n\nMade by `python benchmarks/house.py`, which says what is counted.\n\n{text}\n')
