"""Small notebooks that try to break `reproducible`.

    python benchmarks/one_line_attacks.py [--only NAMES] [--out F.md]

Each case is a few cells, run by IPython's own machinery, with `reproducible(42)` above them. Most cells are run, then something else
that moves generators and loaders, then the cells again, and what they made is compared by its bits. The control of a case is the same without
the line:
it is to differ, or the case would show nothing (cases that test something else have none).
"""
import gc,os,subprocess,sys,tempfile,traceback,warnings
from pathlib import Path
from fastcore.script import call_parse,store_true

class Notebook:
    "Cells in a shell"
    def __init__(self, line=True):
        from execnb.shell import CaptureShell
        self.shell = CaptureShell(mpl_format=None)
        self(setup)
        if line: self('from fastai_repro import reproducible\nsession = reproducible(42)')

    def __call__(self, *sources, fails=False):
        for source in sources:
            out = self.shell.run(source)
            if bool(self.shell.exc)==fails: continue
            why = '\n'.join(str(o.get('traceback', ''))[-2500:] for o in out) if self.shell.exc else 'it did not fail'
            raise RuntimeError(f'{source}\n{why}')
        return self.result

    @property
    def result(self): return self.shell.user_ns.get('result')

    def __getitem__(self, name): return self.shell.user_ns[name]

setup = '''
import warnings; warnings.simplefilter('ignore')
from fastai.vision.all import *
from fastai.tabular.all import *
from fastai.collab import *
from fastai.text.all import *
from fastai_repro import *
import asyncio,threading
from sklearn.datasets import load_digits
_x,_y = load_digits(return_X_y=True)
items = list(zip(torch.tensor(_x/16, dtype=torch.float), torch.tensor(_y)))[:200]
class Noise(ItemTransform):
    def encodes(self, o): return o[0]+torch.randn(64)*random.random()*np.random.rand(),o[1]
class Item(Transform):
    def encodes(self, i): return items[i][0]+torch.randn(64)*.1*random.random()
class Label(Transform):
    def encodes(self, i): return items[i][1]
def dsets(item=None, splits=[range(160), range(160,200)]): return Datasets(range(200), [[item or Item()],[Label()]], splits=splits)
def get_dls(num_workers=0): return dsets().dataloaders(bs=32, num_workers=num_workers)
def get_model(): return nn.Sequential(nn.Linear(64,16), nn.ReLU(), nn.Dropout(), nn.Linear(16,10))
def get_learn(dls=None, **kwargs): return Learner(dls or get_dls(), get_model(), loss_func=CrossEntropyLossFlat(), **kwargs)
def fit(learn, f='fit', *args, **kwargs):
    with learn.no_bar(),learn.no_logging(): getattr(learn, f)(*(args or (1,)), **kwargs)
    return digest(learn.model)
def images(n=64, **kwargs):
    files = L(sorted(get_image_files(digits_path()), key=str))[::11][:n]
    return ImageDataLoaders.from_path_func('.', files, parent_label, bs=16, item_tfms=Resize(32), batch_tfms=aug_transforms(size=32), **kwargs)
'''
disturb = '''
torch.rand(100),np.random.rand(9),random.random()
if 'learn' in globals(): next(iter(learn.dls.train)); fit(learn)
'''

cases,no_control = {},set()

def case(f):
    cases[f.__name__] = f
    return f

def plain(f):
    "A case that has no control"
    no_control.add(f.__name__)
    return case(f)

def same(nb, *cells, between=disturb):
    "Do these cells give the same when they are run again?"
    first = nb(*cells)
    nb(between)
    again = nb(*cells)
    assert first is not None
    return first==again

# --- learners

@case
def two_learners_in_one_cell(nb):
    "Two learners in one cell, trained in turns"
    ok = same(nb, 'dls = get_dls()\na,b = get_learn(dls),get_learn(dls)\nlearn = a\nresult = [fit(o) for o in (a,b,a,b)]')
    return ok and len({*nb.result})==4

@case
def model_made_in_a_function(nb): return same(nb, 'learn = get_learn(); result = fit(learn)')

@case
def model_made_in_a_thread(nb):
    "A thread that is started and joined in the cell"
    return same(nb, '''
def work():
    global result,learn
    learn = get_learn()
    result = fit(learn)
t = threading.Thread(target=work)
t.start(); t.join()''')

@case
def vision(nb): return same(nb, 'learn = vision_learner(images(), resnet18, pretrained=False); result = fit(learn, "fine_tune", 1)')

@case
def vision_workers(nb):
    "Two forked workers and none"
    return same(nb, 'learn = vision_learner(images(num_workers=2), resnet18, pretrained=False); result = fit(learn)')

@case
def tabular(nb):
    return same(nb, '''
df = pd.DataFrame(dict(a=np.arange(200)%7, b=np.random.rand(200), y=np.arange(200)%2))
names = dict(cat_names=['a'], cont_names=['b'], y_names='y', y_block=CategoryBlock())
dls = TabularDataLoaders.from_df(df, procs=[Categorify,Normalize], bs=32, **names)
learn = tabular_learner(dls, layers=[16,8], config=tabular_config(ps=.1, embed_p=.1)); result = fit(learn, 'fit_one_cycle', 2)''')

@case
def collab(nb):
    return same(nb, '''
df = pd.DataFrame(dict(u=np.random.randint(0, 20, 300), i=np.random.randint(0, 15, 300), r=np.random.rand(300)))
learn = collab_learner(CollabDataLoaders.from_df(df, bs=32), n_factors=4, y_range=(0,1)); result = fit(learn, 'fit_one_cycle', 2)''')

texts = '''
df = pd.DataFrame(dict(text=[' '.join(random.choices(['cat','dog','sat','ran','mat','hat'], k=30)) for _ in range(80)], label=[0,1]*40))
config = dict(awd_lstm_lm_config if lm else awd_lstm_clas_config, emb_sz=8, n_hid=8, n_layers=1)
dls = TextDataLoaders.from_df(df, text_col='text', label_col='label', is_lm=lm, bs=8, seq_len=10)
'''
@case
def text_classifier(nb):
    make = 'learn = text_classifier_learner(dls, AWD_LSTM, config=config, pretrained=False); result = fit(learn)'
    return same(nb, 'lm = False'+texts+make)

@case
def language_model(nb):
    make = 'learn = language_model_learner(dls, AWD_LSTM, config=config, pretrained=False); result = fit(learn)'
    return same(nb, 'lm = True'+texts+make)

@case
def unet(nb): return same(nb, '''
x = [(torch.rand(3,32,32),torch.randint(0, 2, (32,32))) for _ in range(8)]
dls = DataLoaders.from_dsets(x, x, bs=4); dls.vocab = [0,1]; dls.c = 2
learn = Learner(dls, DynamicUnet(nn.Sequential(*list(resnet18().children())[:-2]), 2, (32,32)), loss_func=CrossEntropyLossFlat(axis=1))
result = fit(learn)''')

@case
def subclass_of_learner(nb):
    "A `Learner` that makes its model itself, draws, and adds callbacks after its `__init__`"
    return same(nb, '''
class Mine(Learner):
    def __init__(self, dls):
        super().__init__(dls, get_model(), loss_func=CrossEntropyLossFlat())
        self.factor = random.random()
        self.add_cb(MixUp(.4))
learn = Mine(get_dls()); result = fit(learn)+str(learn.factor)''')

@plain
def subclass_with_own_callback(nb):
    "It adds a `ReproCallback` after `super().__init__`, which is then the only one"
    nb('''
class Mine(Learner):
    def __init__(self, dls):
        super().__init__(dls, get_model(), loss_func=CrossEntropyLossFlat())
        self.add_cb(ReproCallback(7))
learn = Mine(get_dls()); fit(learn)
result = [o.seed for o in learn.cbs if isinstance(o, ReproCallback)]''')
    return nb.result==[7]

tracker = '''
plain = Learner.__init__
def init(self, *args, **kwargs):
    plain(self, *args, **kwargs)
    self.theirs = True
Learner.__init__ = init
'''
@plain
def init_patched_after(nb):
    "Another package wraps `Learner.__init__` after us; `off` leaves its wrapper, and ours in it is silent"
    nb(tracker)
    nb('learn = get_learn(); on = learn.theirs,hasattr(learn, "repro")')
    nb('session.off(); learn = get_learn(); off = learn.theirs,hasattr(learn, "repro"); kept = Learner.__init__ is init')
    nb('Learner.__init__ = plain.__wrapped__; result = on,off,kept')
    return nb.result==((True,True), (True,False), True)

@plain
def init_patched_before(nb):
    "Another package has wrapped it before; `off` brings its wrapper back"
    nb('session.off()', tracker)
    nb('session = reproducible(42); learn = get_learn(); on = learn.theirs,hasattr(learn, "repro")')
    nb('session.off(); kept = Learner.__init__ is init; Learner.__init__ = plain; result = on,kept')
    return nb.result==((True,True), True)

@case
def copies_and_pickles(nb):
    "A learner copied, and one pickled and loaded, before the training"
    cell = 'learn = get_learn(); a,b = deepcopy(learn),pickle.loads(pickle.dumps(learn)); result = [fit(o) for o in (a,b)]'
    return same(nb, cell) and len({*nb.result})==1

@plain
def export_in_a_plain_process(nb):
    "The exported file loads and predicts in a process that can't import this package"
    with tempfile.TemporaryDirectory() as d:
        nb(f'''
df = pd.DataFrame(dict(b=np.random.rand(60), y=np.arange(60)%2))
learn = tabular_learner(TabularDataLoaders.from_df(df, cont_names=['b'], y_names='y', y_block=CategoryBlock(), bs=16), layers=[8])
fit(learn); learn.export('{d}/m.pkl')
with learn.no_bar(): result = learn.predict(df.iloc[0])[2].tolist()''')
        code = f"""
import sys; sys.modules['fastai_repro'] = None
from fastai.tabular.all import *
learn = load_learner('{d}/m.pkl')
with learn.no_bar(): print(learn.predict(pd.Series(dict(b={nb['df'].b[0]!r})))[2].tolist())"""
        out = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True)
        return out.stdout.strip().splitlines()[-1:]==[str(nb.result)] or out.stdout[-300:]+out.stderr[-500:]

# --- callbacks, errors, interruptions

@case
def callbacks_that_draw(nb):
    "A callback that draws from all generators before and after each batch, and one that changes the inputs"
    return same(nb, '''
class Draws(Callback):
    def before_batch(self): random.random(),np.random.rand(),torch.rand(1)
    def after_batch(self): torch.rand(3)
class Changes(Callback):
    def before_batch(self): self.learn.xb = (self.xb[0]+torch.randn(64)*np.random.rand(),)
learn = get_learn(cbs=[Draws(),Changes(),MixUp()]); result = fit(learn)''')

@case
def a_fit_that_fails(nb):
    "A fit that ends in an error leaves nothing that the next cell would see"
    cell = 'learn = get_learn(); result = fit(learn)'
    first = nb(cell)
    nb('''
class Fails(Callback):
    def after_batch(self):
        if self.iter==2: raise ZeroDivisionError
fit(get_learn(), cbs=Fails())''', fails=True)
    return nb(cell)==first

@case
def a_fit_that_is_interrupted(nb):
    cell = 'learn = get_learn(); result = fit(learn)'
    first = nb(cell)
    nb('''
class Stops(Callback):
    def after_batch(self):
        if self.iter==2: raise KeyboardInterrupt
try: fit(get_learn(), cbs=Stops())
except KeyboardInterrupt: pass''')
    return nb(cell)==first

@case
def syntax_error_between(nb):
    first = nb('result = torch.rand(3).tolist()')
    nb('this is no python', fails=True)
    return nb('result = torch.rand(3).tolist()')==first

@case
def seed_set_in_a_cell(nb):
    "`set_seed` in one cell does not reach the next"
    cell = 'learn = get_learn(); result = fit(learn)'
    first = nb(cell)
    nb('set_seed(7)')
    return nb(cell)==first

@plain
def seed_set_in_the_cell(nb):
    "`set_seed` in the cell itself is obeyed: two cells that set it make one model"
    a = nb('set_seed(7); result = digest(get_model())')
    return nb('set_seed(7); result = digest(get_model()) # again')==a

@case
def lr_found_in_the_cell(nb):
    return same(nb, '''
learn = get_learn()
with learn.no_bar(): lr = learn.lr_find(show_plot=False, num_it=20)
result = fit(learn, "fit_one_cycle", 2, lr.valley)+str(lr.valley)''')

@case
def lr_found_in_its_own_cell(nb):
    "`lr_find` in a cell of its own, run twice, suggests the same both times"
    nb('learn = get_learn()')
    cell = 'with learn.no_bar(): result = str(learn.lr_find(show_plot=False, num_it=20).valley)'
    return same(nb, cell, between='torch.rand(9); learn.dls.one_batch()')

@case
def looks_of_a_trained_learner(nb):
    "`tta`, `get_preds`, `show_results` and a batch, in cells of their own"
    nb('learn = vision_learner(images(), resnet18, pretrained=False); fit(learn)')
    cell = 'with learn.no_bar(): p = learn.tta(n=2)\nb = learn.dls.one_batch()\nresult = digest([p[0], b[0]])'
    return same(nb, cell, between='torch.rand(9); learn.dls.one_batch(); learn.dls.one_batch()')

# --- loaders

@case
def workers(nb):
    "Two workers and none: one result"
    a = nb('learn = get_learn(get_dls(2)); result = fit(learn)')
    nb('W = 0')
    return a==nb('learn = get_learn(get_dls(2)); result = fit(learn)')

@plain
def other_number_of_workers(nb):
    "The number comes from another cell, so that the source is the same"
    a = nb('n = 2', 'result = fit(get_learn(get_dls(n)))')
    return a==nb('n = 0', 'result = fit(get_learn(get_dls(n)))')==nb('n = 1', 'result = fit(get_learn(get_dls(n)))')

@case
def torch_loaders(nb):
    "torch's own `DataLoader`s in fastai's `DataLoaders`, and in a loop of their own"
    return same(nb, '''
from torch.utils.data import DataLoader as TDL
t = TDL(items[:160], batch_size=32, shuffle=True)
learn = get_learn(DataLoaders(t, TDL(items[160:], batch_size=32))); result = [fit(learn), *[digest(b[0]) for b in t]]''')

@case
def loaders_made_otherwise(nb):
    "`new`, `weighted_dataloaders`, `partial_dataloaders`, `DataLoaders` of derived loaders, `test_dl`"
    return same(nb, '''
block = DataBlock(get_items=lambda _: list(range(200)), get_x=Item(), get_y=Label(), splitter=RandomSplitter(.2))
import fastai.callback.data
dls = get_dls()
made = [DataLoaders(dls.train.new(bs=16), dls.valid.new()), block.datasets(None).dataloaders(bs=16), block.dataloaders(None, bs=16),
        block.weighted_dataloaders(None, wgts=np.arange(200)+1., bs=16), dsets().partial_dataloaders(64, bs=16)]
learns = [get_learn(o) for o in made]; learn = learns[0]
result = [fit(o) for o in learns]+[digest(list(dls.test_dl(range(40)))[0])]''') and len({*nb.result})==6

@case
def training_loop_by_hand(nb):
    "A loop over `dls.train` in a cell of its own"
    nb('dls = get_dls()')
    return same(nb, '''
m = get_model(); opt = torch.optim.SGD(m.parameters(), lr=.1)
for _ in range(2):
    for xb,yb in dls.train:
        F.cross_entropy(m(xb), yb).backward(); opt.step(); opt.zero_grad()
result = digest(m)''', between='dls.one_batch(); torch.rand(9)')

@plain
def loaders_that_cant_be_keyed(nb):
    "What fastai makes without complaint is made: no loader, one loader, a list, a generator, None"
    nb('made = [DataLoaders(), DataLoaders(get_dls().train), DataLoaders([1,2],[3]), DataLoaders((i for i in range(3))), DataLoaders(None)]')
    nb('learns = [Learner(None, get_model(), loss_func=F.cross_entropy, opt_func=SGD)] ; result = len(made)')
    return nb.result==5

@case
def folds(nb):
    "A loop over folds: each is another, all repeat"
    return same(nb, '''
result = []
for k in range(3):
    learn = get_learn(dsets(splits=RandomSplitter(.2)(range(200))).dataloaders(bs=32)); result.append(fit(learn))''') and len({*nb.result})==3

@case
def pairs_drawn_in_a_transform(nb):
    "A transform that draws a partner for each item, with and without workers"
    nb('''
class Pair(Transform):
    def encodes(self, i): return items[i][0]-items[random.randrange(200)][0]*np.random.rand()''')
    cell = 'learn = get_learn(dsets(Pair()).dataloaders(bs=32, num_workers=n)); result = fit(learn)'
    a = nb('n = 0', cell)
    nb(disturb)
    return a==nb('n = 2', cell)

# --- cells

@case
def magics(nb):
    "Cells with magics repeat as they are: %%time, %%capture, %time, %%prun"
    cells = [f'{m}\nlearn = get_learn(); result = fit(learn)' for m in ('%%time', '%%capture', '%%prun -q')]
    return all(same(nb, o) for o in (*cells, 'learn = get_learn()\n%time result = fit(learn)'))

@case
def cell_with_await(nb): return same(nb, 'learn = get_learn()\nawait asyncio.sleep(.01)\nresult = fit(learn)')

@case
def cell_in_a_cell(nb):
    return same(nb, 'a = torch.rand(1)\nget_ipython().run_cell("b = torch.rand(1)")\nresult = [o.item() for o in (a, b, torch.rand(1))]')

@case
def script_run_in_a_cell(nb):
    with tempfile.TemporaryDirectory() as d:
        (Path(d)/'s.py').write_text('learn = get_learn()\nresult = fit(learn)\n')
        return same(nb, f'%run -i {d}/s.py')

@plain
def blanks_and_windows(nb):
    "Blanks at line ends and Windows' line ends make no other cell; a comment does"
    cell = 'x = 1\nresult = torch.rand(2).tolist()'
    a,b,c,d = [nb(o) for o in (cell, cell.replace('\n', '  \n')+'\n\n', cell.replace('\n', '\r\n'), cell+' # 2')]
    return a==b==c!=d

@plain
def many_cells_are_independent(nb):
    "A thousand cells that differ in a number draw a thousand different numbers, with a mean near 0.5"
    draws = []
    for i in range(1000):
        nb['session'].cell(f'x = {i}')
        draws.append(nb.shell.user_ns['torch'].rand(1).item())
    return len({*draws})==1000 and abs(sum(draws)/1000-.5)<.04

@plain
def hook_that_draws_after_us(nb):
    "Somebody else's hook, registered later, draws an unknown number of times before each cell"
    nb('''
import time
def theirs(info): [torch.rand(1) for _ in range(time.time_ns()%7+1)]
get_ipython().events.register("pre_run_cell", theirs)''')
    nb('x = 1')  # from the next cell on we come last
    rs = {str(nb('result = torch.rand(3).tolist()')) for _ in range(8)}
    nb('get_ipython().events.unregister("pre_run_cell", theirs)')
    return len(rs)==1

def _by_kernel(cells):
    import nbclient,nbformat
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(o) for o in cells])
    nbclient.NotebookClient(nb, kernel_name='python3').execute()
    return ''.join(o.get('text', '') for o in nb.cells[-1].outputs)

def _by_terminal(cells):
    command = [sys.executable, '-W', 'ignore', '-m', 'IPython', '--no-banner', '--simple-prompt', '--colors=NoColor']
    return subprocess.run(command, input='\n'.join(cells)+'\n', capture_output=True, text=True).stdout

def _by_test(cells):
    "As `nbdev-test` does"
    from execnb.shell import CaptureShell
    shell = CaptureShell(mpl_format=None)
    for o in cells: out = shell.run(o)
    return str(out)

@plain
def shells(nb):
    "One digest from ipykernel, from IPython in a terminal, and from execnb, which `nbdev-test` uses"
    import re
    cells = ['import warnings; warnings.simplefilter("ignore")', 'from fastai.basics import *; from fastai_repro import *; session = reproducible(42)', 'torch.rand(3)',
             'x = [(torch.randn(8),torch.tensor(i%3)) for i in range(99)]; dls = DataLoaders.from_dsets(x, x, bs=16)',
             'learn = Learner(dls, nn.Linear(8,3), loss_func=F.cross_entropy)', 'learn.fit(1); print("<", digest(learn.model), ">", sep="")']
    found = [re.findall('<([0-9a-f]{32})>', f(cells)) for f in (_by_kernel, _by_terminal, _by_test)]
    return len({*map(str, found)})==1 and len(found[0])==1 or str(found)

# --- sessions

@plain
def another_seed_and_back(nb):
    cell = 'learn = get_learn(); result = fit(learn)'
    a = nb(cell)
    b = nb('session = reproducible(1)', cell)
    c = nb('session = reproducible(42)', cell)
    return a==c!=b

@plain
def with_in_a_cell(nb):
    "A `with` in a cell: the cell goes on after it as if it had not been there"
    a = nb('x = torch.rand(1)\nresult = torch.rand(1).item()')
    nb('x = torch.rand(1)\nwith reproducible(7): fit(get_learn())\nresult = torch.rand(1).item()')
    b = nb('result = session.is_on')
    c = nb('x = torch.rand(1)\nresult = torch.rand(1).item()')
    return a==c and b

@plain
def learner_of_an_old_session(nb):
    "A learner outlives its session: off, or on with another seed, it keeps its seed and trains on as it would have"
    def results(*between):
        nb('session = reproducible(42)', 'learn = get_learn(); fit(learn)', *between)
        return nb('result = fit(learn), learn.repro.seed, learn.dls.seed')
    return results()==results('session.off()')==results('session = reproducible(1)')

@plain
def restored_after_lr_find(nb):
    "`restore=True`: a cell that only calls `fine_tune`, run again after `lr_find` and `validate`"
    nb('session = reproducible(42, restore=True)', 'learn = get_learn()')
    looks = 'with learn.no_bar(): learn.lr_find(show_plot=False, num_it=5); learn.validate()'
    return same(nb, 'result = fit(learn, "fine_tune", 1)', between=looks)

@plain
def restored_in_a_chain(nb):
    "`restore=True`: three cells that train one learner, each run again before the next, give what they give when run once"
    cells = 'result = fit(learn, "fit_one_cycle", 2)', 'learn.freeze(); result = fit(learn, "fit_one_cycle", 1)', 'learn.unfreeze(); result = fit(learn, "fit", 2)'
    nb('session = reproducible(42, restore=True)')
    nb('learn = get_learn()')
    once = [nb(o) for o in cells]
    nb('learn = get_learn()')
    return once==[[nb(o), nb('learn.dls.one_batch()') and 0, nb(o)][2] for o in cells] and len({*once})==3

@plain
def hundred_times_the_line(nb):
    "The top cell run a hundred times: no wrapper is left over, and `off` is whole"
    nb('session.off(); before = [dict(vars(o)) for o in (Learner,DataLoaders)]')
    for _ in range(100): nb('session = reproducible(42)')
    nb('depth = Learner.__init__.__wrapped__ is before[0]["__init__"]')
    nb('session.off(); result = depth,[dict(vars(o)) for o in (Learner,DataLoaders)]==before')
    return nb.result==(True,True)

def run_case(name):
    "The outcome with the line, and without it"
    from fastai_repro import session
    res = []
    for line in (True,) if name in no_control else (True,False):
        try: res.append(cases[name](Notebook(line)))
        except Exception as e: res.append(f'{type(e).__name__}: {str(e)[-1500:]}')
        if session._current[0]: session._current[0].off()
        gc.collect()
    return res

@call_parse
def main(
    only:str='', # Parts of names, with commas; default: all cases
    out:str=None, # File for the table
):
    "Try to break `reproducible`"
    os.environ['MPLBACKEND'] = 'agg'
    warnings.filterwarnings('ignore')
    lines,bad = ['| case | what it tries | the same, with the line | without it |', '|---|---|---|---|'],[]
    for name,f in cases.items():
        if only and not any(o in name for o in only.split(',')): continue
        res = run_case(name)
        ok = res[0] is True and res[1:]!=[True]
        if not ok: bad.append(name)
        said = ['yes' if o is True else 'no' if o is False else 'error' for o in res]
        print(name, *said, '' if ok else '<<<<< ' + str(res)[-3000:], file=sys.stderr, flush=True)
        lines.append(f"| {name.replace('_', ' ')} | {(f.__doc__ or '').strip()} | {said[0]} | {said[1] if len(said)>1 else ''} |")
    text = '\n'.join(['# Attacks on the one line', '', 'Made by `benchmarks/one_line_attacks.py`.', '', *lines])+'\n'
    if out: Path(out).write_text(text)
    print(f'{len(lines)-2-len(bad)} of {len(lines)-2} held')
    sys.exit(f'not as expected: {bad}' if bad else 0)
