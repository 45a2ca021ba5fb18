"""The programs of `faults.py`: forty and more with one fault each, ten that only look faulty, and clean ones.

A program is made of parts (`head`, `seed`, `data`, `model`, `learn`, `fit`), of which a case changes one or two. As a notebook each part is a cell,
numbered from 1 (the imports), and `cells` puts more in front of a part. `what`, `step`, `name`, `cell`, `fit` say where the fault is, `cause` is a
pattern that a true cause fits; a case without one has a cause that no test can show.
"""
from dataclasses import dataclass,field

parts = dict(
    imports='''import csv,hashlib,os,random,threading,time,uuid,warnings
from pathlib import Path
warnings.filterwarnings('ignore')
import numpy as np
import pandas as pd
from fastai.basics import *
from fastai_repro import set_seed''',
    head='',
    seed='set_seed(42)',
    data='''xs = torch.randn(96,4)
items = [(x,x.sum()[None]) for x in xs]
dls = DataLoaders.from_dsets(items[:64], items[64:], bs=8, num_workers=0)''',
    model='model = nn.Sequential(nn.Linear(4,8), nn.ReLU(), nn.Linear(8,1))',
    learn='learn = Learner(dls, model, loss_func=nn.MSELoss())',
    fit='learn.fit(2)')

@dataclass
class Case:
    title:str
    changes:dict
    what:str=None
    step:int=None
    name:str=None
    cause:str=None
    fit:int=0
    cell:int=None # The program is a notebook, and this is the cell
    cells:list=field(default_factory=list) # More cells: before which part, and their code
    args:str='' # For the command
    env:dict=field(default_factory=dict)
    new:bool=False # Does it need processes with an environment of their own, so that it can't be forked?
    again:int=0 # How often it was verified before in the same folder
    only_with:str=None # Its runs are the same, but only as long as this file is there

    def sources(self):
        res = []
        for k,v in {**parts, **self.changes}.items():
            res += [s for before,s in self.cells if before==k]
            if v: res.append(v)
        return res

def with_tfm(code, when='item'):
    return dict(head=code, data=parts['data'].replace('num_workers=0', f'num_workers=0, after_{when}=[{code.split("class ")[-1].split("(")[0]}()]'))
def with_cb(code, **kw): return dict(head=code, learn=parts['learn'].replace('MSELoss()', f'MSELoss(), cbs={code.split("class ")[-1].split("(")[0]}()'), **kw)
def with_layer(code): return dict(head=code, model=f'model = nn.Sequential(nn.Linear(4,8), {code.split("class ")[-1].split("(")[0]}(), nn.Linear(8,1))')

draws = '''class Dim(ItemTransform):
    def encodes(self, o): return o[0]*(1-random.random()/4),o[1]'''
many = 'os.urandom(1)[0]+1'
keeps_split = parts['data'].replace('dls =', '''if not Path('split.npy').exists(): np.save('split.npy', np.random.permutation(96))
items = [items[i] for i in np.load('split.npy')]
dls =''')

faults = [
    # --- data
    Case('item transform that reads the clock', with_tfm('''class Clock(ItemTransform):
    def encodes(self, o): return o[0]+time.time_ns()%997/1e4,o[1]'''), 'data', 0, 'x0', 'Clock gives a different result'),
    Case('item transform with an unseeded generator of its own', with_tfm('''class Own(ItemTransform):
    def __init__(self): self.rng = np.random.default_rng()
    def encodes(self, o): return o[0]*self.rng.uniform(0.5, 1),o[1]'''), 'data', 0, 'x0', 'Own draws from a generator of its own'),
    Case('batch transform that uses os.urandom', with_tfm('''class Urandom(ItemTransform):
    def encodes(self, o): return o[0]+os.urandom(1)[0]/255,o[1]''', 'batch'), 'data', 0, 'x0', 'Urandom gives a different result'),
    Case('python generator not seeded, a transform draws from it', {**with_tfm(draws), 'seed':'torch.manual_seed(42)'}, 'data', 0, 'the order of the items', 'Dim draws from generators that were not seeded|all generators seeded'),
    Case('split drawn from an unseeded generator', dict(seed='torch.manual_seed(42); random.seed(42)', data=parts['data'].replace('dls =', 'items = [items[i] for i in np.random.permutation(96)]\ndls =')), 'data', 0, 'x0', 'all generators seeded'),
    Case('dataset that makes noise from uuid4', dict(head='''class Noisy(list):
    def __getitem__(self, i):
        x,y = super().__getitem__(i)
        return x+uuid.uuid4().int%100/1e3,y''', data=parts['data'].replace('items[:64]', 'Noisy(items[:64])')), 'data', 0, 'x0', '(Noisy|what makes the items) gives a different result|Noisy'),
    Case('files listed in another order', dict(head='''def listed():
    Path('data').mkdir(exist_ok=True)
    for i in range(96):
        if not Path(f'data/{i:02}.npy').exists(): np.save(f'data/{i:02}.npy', np.full(4, i/96, dtype='float32'))
    return sorted(Path('data').glob('*.npy'), key=lambda o: os.urandom(4))
def read(f): return tensor(np.load(f))
def target(f): return tensor([float(f.stem)/96])''', data='''fs = listed()
dls = Datasets(fs, [read, target], splits=[range(64), range(64,96)]).dataloaders(bs=8, num_workers=0)'''), 'data', 0, 'x0', 'listed in another order'),
    Case('results of threads in the order of completion', dict(data='''from concurrent.futures import ThreadPoolExecutor,as_completed
def made(i):
    time.sleep(os.urandom(1)[0]/1e4)
    return torch.full((4,), i/96.)
with ThreadPoolExecutor(8) as pool: xs = [o.result() for o in as_completed([pool.submit(made, i) for i in range(64)])]
items = [(x,x.sum()[None]) for x in xs]
dls = DataLoaders.from_dsets(items, items, bs=8, num_workers=0)'''), 'data', 0, 'x0', 'same items come in another order'),
    Case('labels numbered in the order of a set', dict(data='''names = [f'label {i%7}' for i in range(96)]
vocab = list(set(names))
items = [(x,tensor([float(vocab.index(n))])) for x,n in zip(torch.randn(96,4), names)]
dls = DataLoaders.from_dsets(items[:64], items[64:], bs=8, num_workers=0)'''), 'data', 0, 'y0', 'hash seed', new=True),
    Case('feature made with hash()', dict(data=parts['data'].replace('items = [(x,x.sum()[None]) for x in xs]', "items = [(x+hash('feature')%1000/1e3,x.sum()[None]) for x in xs]")), 'data', 0, 'x0', 'hash seed', new=True),
    Case('one item of the data changes between the runs', dict(data='''np.save('xs.npy', np.arange(384, dtype='float32').reshape(96,4)/384)
raw = np.load('xs.npy')
raw[5,1] = os.urandom(2)[0]+os.urandom(2)[1]/255
items = [(tensor(x),tensor([x.sum()])) for x in raw]
dls = DataLoaders.from_dsets(items[:64], items[64:], bs=8, num_workers=0)'''), 'data', None, 'x0', 'only the items \\[5\\]'),
    Case('another worker count with plain fastai', {**with_tfm(draws)}, 'data', 0, 'x0', '0 and 2 workers', args='--vary num_workers=0,2'),
    Case('cached augmentation, --fix, 0 and 2 workers', dict(head='''class Cached:
    def __init__(self, items): self.items,self.kept = items,{}
    def __len__(self): return len(self.items)
    def __getitem__(self, i):
        if i not in self.kept: self.kept[i] = self.items[i][0]*random.random(),self.items[i][1]
        return self.kept[i]''', data=parts['data'].replace('items[:64]', 'Cached(items[:64])')), 'data', None, 'x0', 'keeps what it made before', args='--fix --vary num_workers=0,2'),
    Case('batch size from outside', dict(data=parts['data'].replace('bs=8', 'bs=2+os.urandom(1)[0]%60')), 'data', 0, 'batch size', "the system's random source"),
    # --- generators
    Case('callback that draws a number of numbers at step 7', {**with_tfm(draws), 'learn':f'''class Draws(Callback):
    def after_loss(self):
        if self.training and self.train_iter==7: [random.random() for _ in range({many})]
learn = Learner(dls, model, loss_func=nn.MSELoss(), cbs=Draws())'''}, 'generators', 7, 'python', 'without the callback Draws'),
    Case('callback that draws from torch at step 4, and dropout', {**with_layer('''class Drop(nn.Dropout):
    pass'''), **dict(learn=f'''class Draws(Callback):
    def after_batch(self):
        if self.training and self.train_iter==4: torch.rand({many})
learn = Learner(dls, model, loss_func=nn.MSELoss(), cbs=Draws())''')}, 'generators', 3, 'torch', 'without the callback Draws'),
    # --- weights at the start
    Case('weights made before the seed', dict(seed='', model=parts['model']+'\nset_seed(42)', data='set_seed(1)\n'+parts['data']+'\ntorch.seed()'), 'init', 0, '0.weight', 'another seed in each run'),
    Case('no seed at all', dict(seed=''), 'init', 0, '0.weight', 'no seed is set: with all generators seeded'),
    Case('seed from the clock', dict(seed='set_seed(time.time_ns()%2**31)'), 'init', 0, '0.weight', 'the clock: '),
    Case('weights from a file that the last run left', dict(learn=parts['learn']+'''
if Path('models/last.pth').exists(): learn.load('last')''', fit=parts['fit']+"\nlearn.save('last')"), 'init', 0, None, 'what its last run left: .*last.pth'),
    Case('seed counted up in a file', dict(seed='''n = int(Path('count').read_text()) if Path('count').exists() else 0
Path('count').write_text(str(n+1))
set_seed(n)'''), 'init', 0, '0.weight', 'what its last run left: .*count'),
    Case('weights changed between two fits', dict(fit='''learn.fit(1)
with torch.no_grad(): model[0].weight += os.urandom(1)[0]*1e-4+os.urandom(1)[0]*1e-3
learn.fit(1)'''), 'init', 0, '0.weight', "the system's random source", fit=1),
    Case('layer initialised from a generator of its own', dict(model=parts['model']+'''
g = torch.Generator(); g.seed()
nn.init.normal_(model[0].weight, generator=g)'''), 'init', 0, '0.weight', None),
    # --- computed
    Case('dropout with a generator of its own', with_layer('''class OwnDropout(nn.Module):
    def __init__(self):
        super().__init__()
        self.rng = torch.Generator()
        self.rng.seed()
    def forward(self, x): return x*(torch.rand(x.shape, generator=self.rng)>0.2) if self.training else x'''), 'forward', 0, '1', '1 draws from a generator of its own'),
    Case("noise of 1e-7 in a layer's output from step 5 on", with_layer('''class Noisy(nn.Module):
    n = 0
    def forward(self, x):
        self.n += self.training
        return x*(1+1e-6*os.urandom(1)[0]) if self.training and self.n>5 else x'''), 'forward', 5, '1', '1 gives a different result'),
    Case('forward hook that adds noise', dict(model=parts['model']+'''
def noise(m, args, out): return out+os.urandom(1)[0]*1e-4
model[0].register_forward_hook(noise)'''), 'forward', 0, '0', '0 gives a different result'),
    Case('backward that is not the same twice', with_layer('''class RoughGrad(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x): return x.clone()
    @staticmethod
    def backward(ctx, g): return g*(1+os.urandom(1)[0]*1e-5)
class Rough(nn.Module):
    def forward(self, x): return RoughGrad.apply(x)'''), 'backward', 0, '1', '1 gives a different result'),
    Case('threads that race in index_put_', {**with_layer('''torch.set_num_threads(4)
idx,vals = torch.zeros(400_000, dtype=torch.long),torch.rand(400_000)
class Race(nn.Module):
    def forward(self, x): return x+torch.zeros(1).index_put_((idx,), vals, accumulate=True)*1e-6''')}, 'forward', None, '1', 'its kernel is not deterministic|its threads race|threads race', env=dict(OMP_NUM_THREADS='4'), new=True),
    Case('another number of threads', with_layer('''class Sums(nn.Module):
    def __init__(self):
        super().__init__()
        self.big = [torch.randn(400_000) for _ in range(8)]
    def forward(self, x): return x+torch.stack([(x.mean()*o).sum() for o in self.big])*1e-2'''), None, 0, None, 'threads \\(1 and 2\\)', args='--vary threads=1,2', new=True),
    Case('noise in the loss', dict(head='''class Loss(nn.Module):
    def forward(self, p, y): return F.mse_loss(p, y)*(1+os.urandom(1)[0]*1e-5)''', learn='learn = Learner(dls, model, loss_func=Loss())'), 'loss', 0, 'the loss', 'Loss gives a different result'),
    Case('optimizer that adds noise', dict(head='''def noisy_step(p, lr, **kwargs): p.data.add_(p.grad, alpha=-lr*(1+os.urandom(1)[0]*1e-4))''', learn="learn = Learner(dls, model, loss_func=nn.MSELoss(), opt_func=partial(Optimizer, cbs=[noisy_step]))"), 'optimizer', 0, '0.weight', 'step of the optimizer gives a different result'),
    # --- callbacks
    Case('learning rate from the clock at step 9', with_cb('''class Shake(Callback):
    order = 90
    def before_step(self):
        if self.train_iter==9: self.opt.set_hyper('lr', time.time()%1)'''), 'optimizer', 9, 'lr of parameter group 0', 'callback Shake set lr'),
    Case('learning rate of the fit from the clock', dict(fit='learn.fit(2, time.time()%1*1e-2)'), 'optimizer', 0, 'lr of parameter group 0', 'the clock: '),
    Case('callback that adds noise to gradients at step 6', with_cb('''class Wobble(Callback):
    def before_step(self):
        if self.train_iter==6: self.model[2].bias.grad += os.urandom(1)[0]+os.urandom(1)[0]/255'''), 'backward', 6, '2.bias', 'without the callback Wobble'),
    Case('callback with other targets at step 4', with_cb('''class Flip(Callback):
    def before_batch(self):
        if self.training and self.train_iter==4: self.learn.yb = (self.y+random.SystemRandom().random(),)'''), 'data', 4, 'y0', 'without the callback Flip'),
    Case('callback that moves weights after step 3', with_cb('''class Move(Callback):
    def after_step(self):
        if self.train_iter==3: self.model[0].weight.data += os.urandom(1)[0]+os.urandom(1)[0]/255'''), 'optimizer', 3, '0.weight', 'without the callback Move'),
    Case('callback that ends the training by chance', with_cb('''class Stop(Callback):
    def before_fit(self): self.at = 2+int.from_bytes(os.urandom(2),'little')%60
    def after_batch(self):
        if self.training and self.train_iter>=self.at: raise CancelFitException''', fit='learn.fit(8)'), 'environment', None, 'the length', 'the callback Stop cancelled the rest of the training'),
    Case('callback that disturbs validation', with_cb('''class Valid(Callback):
    def after_pred(self):
        if not self.training: self.learn.pred = self.pred+os.urandom(1)[0]+os.urandom(1)[0]/255'''), 'forward', 0, None, 'without the callback Valid'),
    Case('number of epochs from outside', dict(fit='learn.fit(1+os.urandom(1)[0]%30)'), 'environment', 0, 'epochs', "the system's random source"),
    # --- notebooks: 1 imports, 2 seed, 3 data, 4 model, 5 learner, 6 fit; `head` and `cells` move them on
    Case('notebook: generator seeded from the clock, used by a callback', {'learn':'''class Noise(Callback):
    def after_pred(self): self.learn.pred = self.pred+float(rng.normal())*1e-3
learn = Learner(dls, model, loss_func=nn.MSELoss(), cbs=Noise())'''}, 'forward', 0, None, 'rng, made in cell 5', cell=5, cells=[('learn', 'rng = np.random.default_rng(int(time.time()*1000))')]),
    Case('notebook: seed from the clock', dict(seed='set_seed(seed)'), 'init', 0, '0.weight', 'seed, made in cell 2', cell=2, cells=[('seed', 'seed = int(time.time()*1000)')]),
    Case('notebook: split from an unseeded generator', dict(seed='torch.manual_seed(42); random.seed(42)', data=parts['data'].replace('items[:64], items[64:]', '[items[i] for i in perm[:64]], [items[i] for i in perm[64:]]')), 'data', 0, 'x0', 'perm, made in cell 3', cell=3, cells=[('data', 'perm = np.random.permutation(96)')]),
    Case('notebook: a factor from outside that a transform uses', dict(head='''class Scale(ItemTransform):
    def encodes(self, o): return o[0]*factor,o[1]''', data=parts['data'].replace('num_workers=0', 'num_workers=0, after_item=[Scale()]')), 'data', 0, 'x0', 'factor, made in cell 3', cell=3, cells=[('seed', 'factor = 1+time.time()%1')]),
    Case('notebook: generator reseeded in a later cell', {**with_tfm(draws)}, 'data', 0, 'x0', 'the generators, set or drawn from in cell 7', cell=7, cells=[('fit', 'random.seed()')]),
    Case('notebook: model made before the seed', dict(seed='', fit=parts['fit']), 'init', 0, '0.weight', 'all generators seeded|model, made in cell 3', cell=3, cells=[('learn', 'set_seed(42)')]),
    Case('notebook: learning rate from outside', dict(fit='learn.fit(2, lr)'), 'optimizer', 0, 'lr of parameter group 0', 'lr, made in cell 2', cell=2, cells=[('seed', 'lr = 1e-3*(1+time.time()%1)')]),
    Case('notebook: table shuffled without a seed', dict(seed='torch.manual_seed(42); random.seed(42)', data='''items = [(tensor([a,b]).float(),tensor([float(a)])) for a,b in zip(df.a, df.b)]
dls = DataLoaders.from_dsets(items[:64], items[64:], bs=8, num_workers=0)''', model='model = nn.Sequential(nn.Linear(2,8), nn.ReLU(), nn.Linear(8,1))'), 'data', 0, 'x0', 'df, made in cell 3', cell=3, cells=[('data', "df = pd.DataFrame(dict(a=range(96), b=range(96))).sample(frac=1)")]),
    Case('notebook: vocabulary from a set', dict(data='''items = [(x,tensor([float(vocab.index(n))])) for x,n in zip(torch.randn(96,4), names)]
dls = DataLoaders.from_dsets(items[:64], items[64:], bs=8, num_workers=0)'''), 'data', 0, 'y0', 'vocab, made in cell 4', cell=4, cells=[('data', "names = [f'label {i%7}' for i in range(96)]"), ('data', 'vocab = list(set(names))')], new=True),
    Case('notebook: transform that reads the clock', with_tfm('''class Clock(ItemTransform):
    def encodes(self, o): return o[0]+time.time_ns()%997/1e4,o[1]'''), 'data', 0, 'x0', 'Clock gives a different result', cell=7),
    Case('notebook: weights of the loss drawn before the seed', dict(learn='''class Weighted(nn.Module):
    def forward(self, p, y): return (weights*(p-y)**2).mean()
learn = Learner(dls, model, loss_func=Weighted())'''), 'loss', 0, 'the loss', 'weights, made in cell 2', cell=2, cells=[('seed', 'weights = torch.rand(8,1)')]),
    Case('notebook: weights from a file that the last run left', dict(learn=parts['learn']+'''
if Path('models/last.pth').exists(): learn.load('last')''', fit=parts['fit']+"\nlearn.save('last')"), 'init', 0, None, 'what its last run left: .*last.pth|model, changed in cell 5', cell=5),
]

faults += [ # of more kinds
    Case('every run leaves a file with its time in the name, and reads them all', dict(data='''np.save(f'run-{time.time_ns()}.npy', np.random.rand(8,4).astype('float32'))
xs = tensor(np.concatenate([np.load(f) for f in sorted(Path('.').glob('run-*.npy'))]))
items = [(x,x.sum()[None]) for x in xs]
dls = DataLoaders.from_dsets(items, items, bs=4, num_workers=0)'''), 'data', 0, None, 'what its last run left: .*run-'),
    Case('items in the order of id()', dict(data='''class Item(tuple): pass
items = sorted([Item((x,x.sum()[None])) for x in torch.randn(96,4)], key=lambda o: hash(id(o)*2654435761%2**32))
dls = DataLoaders.from_dsets(items[:64], items[64:], bs=8, num_workers=0)'''), 'data', 0, 'x0', None),
    Case('layers made in the order of a set', dict(model='''layers = {n:nn.Linear(4,4) for n in {'stem','body','neck','head'}}
model = nn.Sequential(*[layers[k] for k in ('stem','body','neck','head')], nn.Linear(4,1))'''), 'init', 0, None, 'hash seed', new=True),
    Case('callback whose threads race', with_cb('''class Threads(Callback):
    def before_step(self):
        g = self.model[2].bias.grad
        def scale(): time.sleep(os.urandom(1)[0]/1e5); g.mul_(2)
        def shift(): time.sleep(os.urandom(1)[0]/1e5); g.add_(1)
        ts = [threading.Thread(target=o) for o in (scale,shift)*4]
        for t in ts: t.start()
        for t in ts: t.join()'''), 'backward', None, '2.bias', 'without the callback Threads'),
    Case('number of the process in the data', dict(data=parts['data'].replace('items = [(x,', 'items = [(x*(1+os.getpid()%97/1e3),')), 'data', 0, 'x0', None),
    Case('time since the machine started, from /proc', dict(data=parts['data'].replace('items = [(x,', "up = float(Path('/proc/uptime').read_text().split()[0])\nitems = [(x*(1+up%1),")), 'data', 0, 'x0', None),
    Case('transform that mixes with the item before, 0 and 2 workers', with_tfm('''class Mixed(ItemTransform):
    seen = []
    def encodes(self, o):
        Mixed.seen.append(o[0])
        return o[0]+Mixed.seen[-2 if len(Mixed.seen)>1 else -1]/2,o[1]'''), 'data', None, 'x0', '0 and 2 workers', args='--vary num_workers=0,2'),
    Case('transform that mixes with the item before, --fix, 0 and 2 workers', with_tfm('''class Mixed(ItemTransform):
    seen = []
    def encodes(self, o):
        Mixed.seen.append(o[0])
        return o[0]+Mixed.seen[-2 if len(Mixed.seen)>1 else -1]/2,o[1]'''), 'data', None, 'x0', 'goes by what it made before', args='--fix --vary num_workers=0,2'),
    Case('items in files named by uuid4', dict(data='''import tempfile
folder = Path(tempfile.mkdtemp())
for x in torch.randn(96,4): torch.save(x, folder/f'{uuid.uuid4()}.pt')
items = [(x,x.sum()[None]) for x in map(torch.load, sorted(folder.glob('*.pt')))]
dls = DataLoaders.from_dsets(items[:64], items[64:], bs=8, num_workers=0)'''), 'data', 0, 'x0', "system's random source"),
    Case('items in files named by tempfile', dict(data='''import tempfile
folder = Path(tempfile.mkdtemp())
for x in torch.randn(96,4): torch.save(x, tempfile.mkstemp(dir=folder)[1])
items = [(x,x.sum()[None]) for x in map(torch.load, sorted(folder.glob('*')))]
dls = DataLoaders.from_dsets(items[:64], items[64:], bs=8, num_workers=0)'''), 'data', 0, 'x0', None),
    Case('transform in a worker that uses secrets', dict(head='''import secrets
class Secret(ItemTransform):
    def encodes(self, o): return o[0]+secrets.randbelow(256)/255,o[1]''', data=parts['data'].replace('num_workers=0', 'num_workers=2, after_item=[Secret()]')), 'data', 0, 'x0', 'Secret gives a different result'),
    Case('seed from time.perf_counter', dict(seed='set_seed(time.perf_counter_ns()%2**31)'), 'init', 0, '0.weight', 'the clock: '),
    Case('seed from datetime.now', dict(seed='from datetime import datetime\nset_seed(datetime.now().microsecond)'), 'init', 0, '0.weight', 'another seed in each run'),
    Case('callback that ends the training after a time', with_cb('''class Budget(Callback):
    def before_fit(self): self.start = time.perf_counter()
    def after_batch(self):
        if self.train_iter>3 and time.perf_counter()-self.start>0.2: raise CancelFitException''', fit='learn.fit(40)'), None, None, None, 'the callback Budget cancelled the rest of the training'),
    Case('two callbacks, one shakes the momentum', with_cb('''class Decay(Callback):
    def before_batch(self): self.opt.set_hyper('lr', 1e-3/(1+self.train_iter))
class Shake(Callback):
    def before_batch(self):
        if self.train_iter==5: self.opt.set_hyper('mom', 0.9+os.urandom(1)[0]/4096)''', ), 'optimizer', 5, 'mom of parameter group 0', 'callback Shake'),
    Case('callback that cancels few batches by chance', with_cb('''class Rare(Callback):
    def before_batch(self):
        if self.training and os.urandom(1)[0]<12: raise CancelBatchException''', fit='learn.fit(6)'), None, None, None, 'the callback Rare cancelled the batch'),
    Case('callback that skips few steps by chance', with_cb('''class Rare(Callback):
    def before_step(self):
        if os.urandom(1)[0]<12: raise CancelStepException''', fit='learn.fit(6)'), None, None, None, 'the callback Rare cancelled the step'),
    Case('loss that goes by the time of the processor', dict(head='''class Loss(nn.Module):
    def forward(self, p, y): return F.mse_loss(p, y)*(1+time.process_time()*1e-4)''', learn='learn = Learner(dls, model, loss_func=Loss())'), 'loss', None, 'the loss', 'Loss gives a different result|the clock: '),
    Case('model that a module of the user makes before the seed', dict(seed='''Path('zoo.py').write_text("import torch\\nfrom torch import nn\\nmodel = nn.Sequential(nn.Linear(4,8), nn.ReLU(), nn.Linear(8,1))\\n")
import sys; sys.path.insert(0, os.getcwd())
from zoo import model
set_seed(42)''', model=''), 'init', 0, '0.weight', 'before a seed was set|not seeded, or not yet'),
    Case('notebook: a list that a cell adds to, from the clock', dict(head='''class Scale(ItemTransform):
    def encodes(self, o): return o[0]*factors[-1],o[1]''', data=parts['data'].replace('num_workers=0', 'num_workers=0, after_item=[Scale()]')), 'data', 0, 'x0', 'factors, changed in cell 4', cell=4, cells=[('seed', 'factors = [1.]'), ('seed', 'factors.append(1+time.time()%1)')]),
    Case('weights that the last run left, verified again', dict(learn=parts['learn']+"""
if Path('models/last.pth').exists(): learn.load('last')""", fit=parts['fit']+"\nlearn.save('last')"), 'init', 0, None, 'what its last run left: .*last.pth', again=1),
    Case('split that the program keeps in a file', dict(seed='torch.manual_seed(42); random.seed(42)', data=keeps_split), cause='Without it each run is different', only_with='split.npy'),
    Case('split that the program keeps in a file, verified again', dict(seed='torch.manual_seed(42); random.seed(42)', data=keeps_split), cause='Without it each run is different', only_with='split.npy', again=1),
]

cuda = [ # kernels that are really not deterministic; needs a GPU
    Case('unet_learner without cudnn.deterministic', dict(imports=parts['imports'].replace('fastai.basics', 'fastai.vision.all')+'\nfrom fastai_repro import digits_path', seed='set_seed(42, reproducible=False)', data="""fs = sorted(get_image_files(digits_path()), key=lambda o: o.stem)[:160]
def mask(o): return (np.array(PILImage.create(o))[...,0]>100).astype('uint8')
dls = DataBlock((ImageBlock, MaskBlock(codes=list('ab'))), get_y=mask, splitter=RandomSplitter(0.2, seed=1), item_tfms=Resize(64)).dataloaders(fs, bs=16, num_workers=0, device='cuda')""",
         model='', learn='learn = unet_learner(dls, resnet18, pretrained=False, n_out=2)'), None, None, None, 'not deterministic'),
]

harmless = [
    Case('callback with a timer', with_cb('''class Timer(Callback):
    def before_fit(self): self.start = time.time()
    def after_batch(self): self.took = time.perf_counter()-self.start''')),
    Case('callback with a uuid for the run', with_cb('''class RunId(Callback):
    def before_fit(self): self.id = uuid.uuid4().hex''')),
    Case('callback that writes a log with the time', with_cb('''class Log(Callback):
    def after_epoch(self):
        with open('log.csv', 'a') as f: csv.writer(f).writerow([time.time(), self.epoch])''')),
    Case('callback that draws and does nothing with it', with_cb(f'''class Draws(Callback):
    def after_epoch(self): np.random.rand({many})''')),
    Case('callback with a generator of its own that only watches', with_cb('''class Sample(Callback):
    def __init__(self): self.rng = np.random.default_rng()
    def after_epoch(self): self.seen = self.rng.integers(64)''')),
    Case('a timer and a name for the run around the training', dict(fit="t0 = time.time()\nname = f'run {uuid.uuid4()}'\nlearn.fit(2)\nprint(name, time.time()-t0)")),
    Case('notebook with a timer in every cell', dict(fit="learn.fit(2)\nprint(time.time()-t0)"), cell=0, cells=[(k, f't0 = time.time()\nuid_{k} = uuid.uuid4().hex') for k in ('seed','model','fit')]),
    Case('0 and 2 workers, nothing draws', {}, args='--vary num_workers=0,2'),
    Case('two hash seeds', {}, args='--vary hash_seed=1,2', new=True),
    Case('file that each run appends to and prints', dict(fit="learn.fit(2)\nwith open('history.txt', 'a') as f: f.write(f'{time.time()}\\n')\nprint(open('history.txt').read())")),
]

clean = [Case('plain fastai, seeded', with_tfm(draws), args='--runs 10'), Case('--fix, 0 and 2 workers', with_tfm(draws), args='--fix --vary num_workers=0,2 --runs 10')]
