"""Does one line at the top of a notebook make every training in it repeat?

    python benchmarks/one_line.py FOLDER [--only NAMES] [--jobs 1] [--out F.md]

Five notebooks of fastai's course and book, taken from FOLDER, which is to hold them as `course22/NAME.ipynb` (github.com/fastai/course22)
and `fastbook/NAME.ipynb` (the folder `clean` of github.com/fastai/fastbook). Their cells are run as they are, but for three things: data
come from scikit-learn's digits or are made up in the format of the original, nothing is installed, and there are no pretrained weights.
Each notebook is run with `reproducible(42)` in a cell above all others and, as controls, with fastai's `set_seed(42, reproducible=True)`
there, and with nothing. It is run in five ways, each in a new process (with nothing, in the first two):

| way | what is run |
|---|---|
| whole, and again whole | all cells, from the top |
| again | after each training cell a peek, and then again all cells from the one that made its model to the training |
| other order | sections that don't need each other in another order |
| peek | before each training cell a look at a batch, a validation and some random numbers |

A training cell is one in which a learner fits (`lr_find` does not count). What is compared is the digest of all weights of its learners
at its end. With the line each training cell is to have one digest, however often it was run; with the controls, more than one.
"""
import json,os,random,subprocess,sys,tempfile,types
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from fastcore.script import call_parse
here = Path(__file__).resolve().parent

# --- the notebooks: what replaces text of cells, which cells install or download, and another order, of ranges of cells

books = {
    'course22/06-why-you-should-use-a-framework': dict(
        swap={'*2': "path = titanic()"}, order=[(2,13), 17, 25, 27, (36,38), 17, (19,21), (29,31)]),
    'fastbook/08_collab': dict(skip=[0], order=[(1,23), 60, (56,59), (40,53), (30,34), (28,29), (24,27)]),
    'fastbook/12_nlp_dive': dict(skip=[0], order=[(1,15), (21,22), (17,19), (25,34), (55,58), (48,49), (38,39), 35]),
    'fastbook/13_convolutions': dict(skip=[0], order=[1, (52,80), (4,44)]),
    'course22/02-saving-a-basic-fastai-model': dict(skip=[2], swap={'metrics=error_rate)': 'metrics=error_rate, pretrained=False)'}),
}

def cells_of(file, book):
    "Source of each code cell by its number"
    cells = {i:''.join(o['source']) for i,o in enumerate(json.loads(file.read_text())['cells']) if o['cell_type']=='code'}
    cells = {i:s for i,s in cells.items() if s.strip() and i not in book.get('skip', ())}
    for old,new in book.get('swap', {}).items():
        if old[0]=='*': cells[int(old[1:])] = new
        else: cells = {i:s.replace(old, new) for i,s in cells.items()}
    return cells

def numbers(order): return [i for o in order for i in (range(o[0], o[1]+1) if isinstance(o, (tuple,list)) else [o])]

# --- data that can be had

def _digit_files(folder, parts, classes, n, mode='L', size=28):
    from PIL import Image
    from sklearn.datasets import load_digits
    x,y = load_digits(return_X_y=True)
    count = defaultdict(int)
    for image,label in zip(x, y):
        k = count[label]
        if label not in classes or k>=n: continue
        count[label] += 1
        d = folder/parts[k%5==4]/str(label)
        d.mkdir(parents=True, exist_ok=True)
        Image.fromarray((255-image.reshape(8,8)*15).astype('uint8')).resize((size,size)).convert(mode).save(d/f'{k}.png')

def mnist_sample(folder): _digit_files(folder, ('train','valid'), (3,7), 180)

def mnist(folder): _digit_files(folder, ('training','testing'), range(10), 180)

def pets(folder):
    _digit_files(folder/'all', ('a','b'), (0,1), 42, 'RGB', 64)
    (folder/'images').mkdir()
    for f in sorted((folder/'all').rglob('*.png')): f.rename(folder/'images'/f"{'Cat' if f.parent.name=='0' else 'dog'}_{f.stem}.png")

def ml_100k(folder):
    r = random.Random(0)
    folder.mkdir()
    titles = ['Silence of the Lambs, The (1991)', *(f'Film {i} ({1950+i})' for i in range(1, 60))]
    (folder/'u.item').write_text(''.join(f'{i+1}|{t}|rest\n' for i,t in enumerate(titles)), encoding='latin-1')
    pairs = r.sample([(u,m) for u in range(1, 81) for m in range(1, 61)], 2500)
    (folder/'u.data').write_text(''.join(f'{u}\t{m}\t{1+(u*m+r.randrange(3))%5}\t{r.randrange(10**9)}\n' for u,m in pairs))

_ones = '''one two three four five six seven eight nine ten
           eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen'''.split()
_tens = 'twenty thirty forty fifty sixty seventy eighty ninety'.split()

def _words(n):
    if n>=1000: return [*_words(n//1000), 'thousand', *_words(n%1000)]
    if n>=100: return [*_words(n//100), 'hundred', *_words(n%100)]
    return ([_tens[n//10-2], *_words(n%10)] if n>=20 else [_ones[n-1]] if n else [])

def human_numbers(folder):
    folder.mkdir()
    for name,o in (('train',range(1, 2400)), ('valid',range(2400, 3000))):
        (folder/f'{name}.txt').write_text(''.join(' '.join(_words(i))+' \n' for i in o))

def titanic():
    "Passengers made up, in the columns of the competition"
    import pandas as pd
    r = random.Random(0)
    def passenger(i):
        title,cabin = r.choice(['Mr','Mrs','Miss','Master']),r.choice([None, f"{r.choice('ABCDEFG')}{r.randrange(99)}"])
        women = title in ('Mrs','Miss')
        return dict(PassengerId=i, Survived=int(r.random()<(.7 if women else .2)), Pclass=r.randint(1, 3), Name=f'Doe{i}, {title}. Jo',
                    Sex='female' if women else 'male', Age=r.choice([None, float(r.randrange(80))]), SibSp=r.randrange(3),
                    Parch=r.randrange(3), Ticket=str(r.randrange(300)), Fare=r.random()*90, Cabin=cabin, Embarked=r.choice('SCQ'))
    path = Path('titanic')
    path.mkdir(exist_ok=True)
    rows = pd.DataFrame([passenger(i) for i in range(500)])
    rows[:400].to_csv(path/'train.csv', index=False)
    rows[400:].drop(columns='Survived').to_csv(path/'test.csv', index=False)
    return path

def stand_ins():
    "fastai's `untar_data` gives these data, and the book's own package is there"
    import fastai.vision.all,fastai.tabular.all,fastai.text.all,fastai.collab
    from fastai.data.external import URLs,untar_data as plain
    makers = {URLs.MNIST_SAMPLE:mnist_sample, URLs.MNIST:mnist, URLs.PETS:pets, URLs.ML_100k:ml_100k, URLs.HUMAN_NUMBERS:human_numbers}
    def untar_data(url, *args, **kwargs):
        folder = Path('data').resolve()/makers[url].__name__
        folder.parent.mkdir(exist_ok=True)
        if not folder.exists(): makers[url](folder)
        return folder
    for m in [*sys.modules.values()]:
        if vars(m).get('untar_data') is plain: m.untar_data = untar_data
    import numpy,pandas,matplotlib.pyplot
    def image_bear(): return next((untar_data(URLs.PETS)/'images').glob('*.png'))
    sys.modules['fastbook'] = types.ModuleType('fastbook')
    vars(sys.modules['fastbook']).update(image_bear=image_bear, pd=pandas, np=numpy, plt=matplotlib.pyplot, matplotlib=matplotlib)

# --- one run of a notebook

class Watch:
    "In which cell a model was made, and what was trained in this one"
    def __init__(self):
        from fastai.callback.schedule import LRFinder
        from fastai.learner import Learner
        from torch.nn.modules.module import register_module_parameter_registration_hook
        self.step,self.made,self.trained,plain = 0,{},[],Learner.fit
        def fit(learn, *args, **kwargs):
            plain(learn, *args, **kwargs)
            if not isinstance(kwargs.get('cbs'), LRFinder) and all(o is not learn for o in self.trained): self.trained.append(learn)
        Learner.fit = fit
        register_module_parameter_registration_hook(self.note)

    def note(self, module, name, param): self.made.setdefault(id(module), (self.step, module))

    def first_step(self): return min(self.made[id(m)][0] for learn in self.trained for m in learn.model.modules() if id(m) in self.made)

class Notebook:
    def __init__(self, cells):
        os.environ['MPLBACKEND'] = 'agg'
        from execnb.shell import CaptureShell
        self.cells,self.shell,self.watch,self.steps,self.digests = cells,CaptureShell(mpl_format=None),Watch(),[],defaultdict(list)
        self.shell.user_ns.update(peek=self.peek, titanic=titanic)

    def execute(self, source):
        out = self.shell.run(source)
        if self.shell.exc: sys.exit(f'this cell failed:\n{source}\n' + '\n'.join(str(o.get('traceback', ''))[-3000:] for o in out))

    def run(self, i):
        "Run a cell, and note its digest if it trained something"
        from fastai_repro.digests import digest
        self.watch.step,self.watch.trained = len(self.steps),[]
        self.steps.append(i)
        self.execute(self.cells[i])
        if self.watch.trained: self.digests[i].append(digest([digest(o.model) for o in self.watch.trained])[:12])
        return self.steps[self.watch.first_step():] if self.watch.trained else []

    def run_again(self, i):
        again = self.run(i)
        if again: self.execute('peek()')
        for k in again: self.run(k)

    def run_peeking(self, i, trainings):
        if i in trainings: self.execute('peek()')
        self.run(i)

    def peek(self):
        import numpy as np,torch
        torch.rand(100),np.random.rand(10),random.random()
        ns = self.shell.user_ns
        if 'dls' in ns: ns['dls'].one_batch()
        if 'learn' in ns and ns['learn'].opt is not None:
            with ns['learn'].no_bar(): ns['learn'].validate()

def run_child(spec):
    spec = json.loads(Path(spec).read_text())
    book = books[spec['name']]
    cells = cells_of(Path(spec['file']), book)
    stand_ins()
    nb = Notebook(cells)
    nb.execute(tops[spec['top']])
    order = [i for i in numbers(book['order']) if i in cells] if spec['way']=='other order' else list(cells)
    one = dict(again=nb.run_again, peek=lambda i: nb.run_peeking(i, spec['trainings'])).get(spec['way'], nb.run)
    for i in order: one(i)
    Path(spec['out']).write_text(json.dumps(nb.digests))

# --- all of them

tops = {'the line': 'from fastai_repro import reproducible\nreproducible(42)',
        '`set_seed`': 'from fastai.torch_core import set_seed\nset_seed(42, reproducible=True)', 'nothing': 'pass'}

def run_one(name, file, way, top, trainings):
    with tempfile.TemporaryDirectory() as d:
        out = Path(d)/'out.json'
        (Path(d)/'spec.json').write_text(json.dumps(dict(name=name, file=str(file), way=way, top=top, trainings=trainings, out=str(out))))
        p = subprocess.run([sys.executable, str(here/'one_line.py'), 'child', f'{d}/spec.json'], cwd=d, capture_output=True, text=True)
        if p.returncode: raise SystemExit(f'{name}, {way}:\n{p.stdout[-3000:]}\n{p.stderr[-6000:]}')
        return {int(k):v for k,v in json.loads(out.read_text()).items()}

ways = 'whole','again whole','again','other order','peek'

def results_of(name, file, top):
    "By training cell: its digests in each way"
    res = defaultdict(dict)
    def run(way, trainings=()):
        for i,digests in run_one(name, file, way, top, [*trainings]).items(): res[i][way] = digests
        print(f'{name}, {top}, {way}: {len(res)} training cells', file=sys.stderr, flush=True)
    run('whole')
    trainings,rest = [*res],[o for o in (ways[1:2] if top=='nothing' else ways[1:]) if o!='other order' or 'order' in books[name]]
    with ThreadPoolExecutor(len(rest)) as pool: [*pool.map(lambda way: run(way, trainings), rest)]
    return res

def _distinct(ways): return len({o for v in ways.values() for o in v})

def _span(values): return str(min(values)) if min(values)==max(values) else f'{min(values)} to {max(values)}'

def table(results):
    "How many digests the training cells of each notebook have"
    lines = ['| notebook | training cells | runs of each |' + ' |'.join(f' digests of a cell, {o}' for o in tops) + ' |', '|---'*(3+len(tops)) + '|']
    for name,by_top in results.items():
        runs = [sum(map(len, o.values())) for o in by_top['the line'].values()]
        counts = [_span([*map(_distinct, by_top[o].values())]) for o in tops]
        lines.append(' | '.join([f'| {name}', str(len(runs)), _span(runs), *counts]) + ' |')
    return '\n'.join(lines)

def cells_table(results):
    "The digests themselves"
    lines = ['| notebook | cell | the line | `set_seed`: ' + '; '.join(ways) + ' |', '|---|---|---|---|']
    for name,by_top in results.items():
        for i,ours in by_top['the line'].items():
            one = sorted({o[:6] for v in ours.values() for o in v})
            control = '; '.join(' '.join(o[:6] for o in by_top['`set_seed`'][i].get(w, ['-'])) for w in ways)
            lines.append(f"| {name} | {i} | {' '.join(one)} | {control} |")
    return '\n'.join(lines)

if len(sys.argv)==3 and sys.argv[1]=='child':
    run_child(sys.argv[2])
    sys.exit()

@call_parse
def main(
    folder:str, # Folder with `course22` and `fastbook`
    only:str='', # Parts of names, with commas; default: all notebooks
    jobs:int=1, # How many notebooks at once, each with up to four runs
    out:str=None, # File for the tables
):
    "Run the notebooks with and without the line, and compare the digests of each training cell"
    names = [o for o in books if not only or any(p in o for p in only.split(','))]
    files = {o:Path(folder).resolve()/f'{o}.ipynb' for o in names}
    for file in files.values():
        if not file.exists(): sys.exit(f'{file} is not there: take it from the repository that the head of this script names')
    with ThreadPoolExecutor(jobs) as pool:
        found = {(name,top):pool.submit(results_of, name, files[name], top) for name in names for top in tops}
        results = {name:{top:found[name,top].result() for top in tops} for name in names}
    head = '# One line at the top of a notebook', 'Made by `benchmarks/one_line.py`, which says what is run.'
    text = '\n\n'.join([*head, table(results), '## Each cell', cells_table(results)])
    if out: Path(out).write_text(text+'\n')
    print(text)
    bad = [f'{name} {i}' for name,o in results.items() for i,runs in o['the line'].items() if _distinct(runs)!=1]
    sys.exit(f'more than one digest: {bad}' if bad else 0)
