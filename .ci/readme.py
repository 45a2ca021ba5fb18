"""Makes README.md from nbs/index.ipynb: the cells that are not hidden, with their text outputs; of `echo: false` cells the output alone.

    python .ci/readme.py           write README.md
    python .ci/readme.py --check   exit with status 1 if README.md is not what the notebook gives
"""
import os,re,sys
from pathlib import Path
import nbformat
from nbformat.v4 import new_markdown_cell
from nbconvert import MarkdownExporter

root = Path(__file__).resolve().parent.parent

def from_root(m):
    "A link of the notebook, as it is to be in a file of the root"
    path,anchor = re.match('([^#]*)(.*)', m[1]).groups()
    if not path or ':' in path or not (root/'nbs'/path).exists(): return m[0]
    return f']({os.path.relpath(root/"nbs"/path, root)}{anchor})'

def shown(cell):
    "A cell that shows only its output is that output"
    if not re.match(r'#\s*\|\s*echo:\s*false', cell.source): return cell
    return new_markdown_cell('\n\n'.join(''.join(o.data['text/markdown']) for o in cell.outputs))

def readme():
    nb = nbformat.read(root/'nbs'/'index.ipynb', as_version=4)
    nb.cells = [shown(o) for o in nb.cells if not re.match(r'#\s*\|\s*hide', o.source)]
    for o in nb.cells: o.outputs = [x for x in o.get('outputs', []) if 'text/plain' in x.get('data', {}) or x.output_type=='stream'] if o.cell_type=='code' else []
    for o in nb.cells:
        if o.cell_type!='code': del o['outputs']
    nb.metadata['language_info'] = {'name':'python'}
    text,_ = MarkdownExporter().from_notebook_node(nb)
    text = re.sub(r'\]\(([^()\s]+)\)', from_root, '\n'.join(l.rstrip() for l in text.strip().splitlines()))
    return '<!-- Made from nbs/index.ipynb by .ci/readme.py: edit the notebook -->\n\n' + re.sub(r'\n{3,}', '\n\n', text) + '\n'

if __name__ == '__main__':
    file,text = root/'README.md',readme()
    if '--check' not in sys.argv: file.write_text(text, encoding='utf-8')
    elif file.read_text(encoding='utf-8') != text: sys.exit('README.md is not in sync with nbs/index.ipynb: run `python .ci/readme.py`')
