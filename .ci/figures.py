"""Looks whether measured figures in README and lessons are those of `benchmarks/results`.

    python .ci/figures.py

Two kinds are looked at. A table that a notebook shows from a file, and stores as the output of a cell, must still have the rows of that
file. And a paragraph, list or table after `<!-- figures: benchmarks/results/NAME.md -->` may only have numbers that stand in the files named
there, as they are or rounded. Numbers in code and in links are left out.
"""
import json,re,sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent
results = root/'benchmarks'/'results'

def joined(o): return o if isinstance(o, str) else ''.join(o)

def numbers(text):
    "The numbers of a text, as they are written; those that are part of a name, such as ResNet-18, are left out"
    text = re.sub(r'`[^`]*`|\]\([^)]*\)|<!--.*?-->', ' ', text)
    return [o.replace(',', '') for o in re.findall(r'(?<![\w.,-])\d[\d,]*(?:\.\d+)?(?![\w])', text)]

def stands_in(number, known):
    "Is a number among those, or one of them rounded?"
    digits = len(number.partition('.')[2])
    return any(float(o)==float(number) or len(o.partition('.')[2])>digits and f'{float(o):.{digits}f}'==number for o in known)

def marked(text):
    "Files and text of each block that a marker stands before"
    for m in re.finditer(r'^<!-- figures: (.*?) -->\s*\n(.*?)(?=\n\s*\n|\Z)', text, flags=re.M|re.S): yield m[1].split(),m[2]

def unknown(text):
    "Numbers of marked blocks that are not in the files of their markers"
    for names,block in marked(text):
        gone = [o for o in names if not (root/o).exists()]
        if gone: yield f'{" ".join(gone)} does not exist'
        else:
            known = numbers('\n'.join((root/o).read_text(encoding='utf-8') for o in names))
            yield from (f'{o} is not in {" ".join(names)}' for o in numbers(block) if not stands_in(o, known))

def rows(text): return [' '.join(o.split()) for o in text.splitlines() if o.startswith('|') and not re.fullmatch(r'[|\-: ]+', o)]

def tables(cell):
    "Tables that a cell took from a file"
    if not re.search(r'read_text|\.md\b', joined(cell['source'])): return []
    return [joined(o['data']['text/markdown']) for o in cell['outputs'] if 'text/markdown' in o.get('data', {})]

def stale(cell, known):
    "Rows of a stored table that are in no file any more"
    return [f'the row is in no file of benchmarks/results: {r}' for o in tables(cell) for r in rows(o) if r not in known]

def cells_of(file):
    text = file.read_text(encoding='utf-8')
    return json.loads(text)['cells'] if file.suffix=='.ipynb' else [dict(cell_type='markdown', source=text)]

def main():
    known = {r for o in results.glob('*.md') for r in rows(o.read_text(encoding='utf-8'))}
    found,seen = [],0
    for file in (root/'README.md', *sorted((root/'nbs').glob('*.ipynb'))):
        for cell in cells_of(file):
            code = cell['cell_type']=='code'
            seen += len(tables(cell)) if code else len(list(marked(joined(cell['source']))))
            found += [f'{file.relative_to(root)}: {o}' for o in (stale(cell, known) if code else unknown(joined(cell['source'])))]
    print(*found, f'{seen} tables and marked texts, {len(found)} figures that no file has', sep='\n')
    return bool(found)

if __name__ == '__main__': sys.exit(main())
