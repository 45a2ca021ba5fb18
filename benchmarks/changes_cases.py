"""The cases of `changes.py`: small programs, and for each one change from outside.

A program is put together from a head, loaders, a model, a learner and a fit; `arg` in it is the first argument of its command line. A case
names the change and gives a pattern that a field, its old and its new value have to match (`field: old -> new`), and one for the names of
fields that may change with it as a consequence. A case without a pattern must not show in the diff.
"""
import json,socket,os
from dataclasses import dataclass,field
from pathlib import Path

cases = []

@dataclass
class Case:
    name:str # What is changed
    group:str # Part of a training that it belongs to
    text:str # The program
    change:object # Function that changes a `Run`
    names:str = '' # Pattern of a line of the diff; '' if nothing may show
    also:str = '' # Pattern of the beginning of names of fields that change as a consequence
    args:list = field(default_factory=list) # Arguments of the first run
    files:dict = field(default_factory=dict) # Other files: text, bytes, or a function that makes the file or folder at a path
    kind:str = 'callback' # 'callback', 'script', 'command' or 'capture'; see changes.py
    script:str = 'train.py'

# --- changes

def arg(*args):
    "Other arguments"
    def change(run): run.args = list(args)
    return change

def env(**variables):
    def change(run): run.env = variables
    return change

def edit(name, old, new):
    "Another text in a file"
    def change(run):
        path = Path(run.folder)/name
        text = path.read_text()
        assert text.count(old)==1, f'{old!r} is {text.count(old)} times in {name}'
        path.write_text(text.replace(old, new))
    return change

def on_files(f):
    def change(run): f(Path(run.folder))
    return change

def started_with(f):
    "Call `f` before the program starts"
    def change(run): run.patch = f
    return change

# --- programs

LEARN = '''import os,sys
from fastai.{area}.all import *
from fastai_repro import *
arg = sys.argv[1] if len(sys.argv)>1 else ''
set_seed(1)
{head}
{dls}
with seeded(1, 'init'):
    model = {model}
    learn = {learner}
learn.path = Path('.')
{before}
with learn.no_bar(), learn.no_logging(): {fit}
print('weights', digest(learn.model))
'''

def program(dls, model='None', loss='None', head='', cbs='', more='', fit='learn.fit_one_cycle(1, 1e-2)', before='', area='vision', learner='', kind='callback'):
    "A program: `learner` may hold `LOSS`, `CBS` and `MORE` too"
    repro = {'callback':["ReproCallback(1, manifest='runs')"], 'script':["ReproCallback(1, manifest='runs')"], 'capture':['ReproCallback(1)'], 'command':[]}[kind]
    learner = learner or 'Learner(dls, model, loss_func=LOSS, cbs=CBS, MORE)'
    if kind=='capture': before += "\nRunManifest.capture(learn, content=True).save('runs/m.json')"
    learner = learner.replace('LOSS', loss).replace('CBS', '[' + ', '.join([*repro, *([cbs] if cbs else [])]) + ']').replace('MORE', more)
    return LEARN.format(**{k:v for k,v in locals().items() if k not in ('loss','cbs','more','kind','repro')})

def case(name, group, change, names='', also='', args=(), files=None, kind='callback', of=None, text=None, script='train.py', **kw):
    "Add a case whose program `of` makes from the keyword arguments"
    text = text or (of or rows)(kind=kind, **kw)
    cases.append(Case(name, group, text, change, names, also, list(args), files or {}, kind, script))

ROWS = '''x = torch.sin(torch.arange(160.)).view(40,4)
y = (x.sum(1)>0).long()
dls = DataLoaders.from_dsets(list(zip(x[:32],y[:32])), list(zip(x[32:],y[32:])), bs=8, num_workers=0)'''
MLP = 'nn.Sequential(nn.Linear(4,8), nn.ReLU(), nn.Linear(8,2))'
def rows(dls=ROWS, model=MLP, loss='CrossEntropyLossFlat()', **kw): return program(dls, model, loss, **kw)

FLOATS = ROWS.replace('.long()', '.float()[:,None]')
def floats(dls=FLOATS, model=MLP.replace('8,2','8,1'), loss='MSELossFlat()', **kw): return program(dls, model, loss, **kw)

TFMS = '''x = torch.sin(torch.arange(160.)).view(40,4)
dsets = Datasets(list(range(40)), [[lambda i: x[i].clone(){items}], [lambda i: int(x[i].sum()>0)]], splits={splits})
dls = dsets.dataloaders(bs={bs}, num_workers=0{more})'''
SPLITS = '(list(range(32)),list(range(32,40)))'
def tfms(items='', splits=SPLITS, bs=8, dl='', model=MLP, loss='CrossEntropyLossFlat()', **kw):
    "Numbers through fastai's transforms"
    return program(TFMS.format(items=items, splits=splits, bs=bs, more=dl), model, loss, **kw)

def digits(path):
    "Twelve images each of four digits"
    from fastai_repro import digits_path
    for label in '0123':
        (path/label).mkdir(parents=True)
        for o in sorted((digits_path()/label).glob('*.png'))[:12]: (path/label/o.name).write_bytes(o.read_bytes())
pictures = {'data':digits}
VISION = '''block = {block}((ImageBlock(PILImageBW), CategoryBlock{vocab}), get_items=lambda p: {items}, get_y=parent_label,
    splitter={split}, item_tfms=[{item}], batch_tfms=[{batch}])
dls = block.dataloaders('data', bs={bs}, num_workers=0{dl})'''
CNN = 'nn.Sequential(nn.Conv2d(1,8,3,2,1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8,4))'
def vision(item='', batch='', split='RandomSplitter(.25, seed=1)', vocab='', block='DataBlock', items='sorted(get_image_files(p))', bs=12, dl='', model=CNN, **kw):
    return program(VISION.format(item=item, batch=batch, split=split, vocab=vocab, block=block, items=items, bs=bs, dl=dl), model, **kw)

def csv_rows(n=40): return [f"{'abc'[i%3]},{'uvwxyz'[i*i%6]},{'' if i%9==4 else i%7},{i*i%11/2},{'yes' if i%5<2 else 'no'}" for i in range(n)]
def csv_text(rows): return 'c1,c2,n1,n2,y\n' + '\n'.join(rows) + '\n'
table = {'t.csv':csv_text(csv_rows())}
TABLE = '''df = pd.read_csv('t.csv')
to = TabularPandas(df, procs={procs}, cat_names=['c1','c2'], cont_names={cont}, y_names='y', y_block=CategoryBlock(), splits={splits})
dls = to.dataloaders(bs=8, num_workers=0)'''
def tabular(procs='[Categorify,FillMissing,Normalize]', cont="['n1','n2']", splits=SPLITS, learner='tabular_learner(dls, layers=[8], cbs=CBS, MORE)', **kw):
    return program(TABLE.format(procs=procs, cont=cont, splits=splits), learner=learner, area='tabular', **kw)

ratings = {'r.csv':'user,item,rating\n' + '\n'.join(f'u{i%7},i{i*i%11},{1+i%5}' for i in range(60)) + '\n'}
RATINGS = '''from fastai.collab import *
dls = CollabDataLoaders.from_df(pd.read_csv('r.csv'), bs=16, seed=1, num_workers=0)'''
def collab(learner='collab_learner(dls, n_factors=4, y_range=(0,6), cbs=CBS, MORE)', **kw): return program(RATINGS, learner=learner, area='tabular', **kw)

words = 'the cat sat on a mat and saw that dog who ran to fetch his big red ball'.split()
texts = {'texts.csv':'text\n' + '\n'.join(' '.join(words[(i*j+j//3)%len(words)] for j in range(1, 14)) for i in range(1, 31)) + '\n'}
TEXT = '''df = pd.read_csv('texts.csv')
block = DataBlock(TextBlock.from_df('text', is_lm=True, tok=BaseTokenizer(), seq_len={seq}, min_freq={freq}, rules={rules}), get_x=ColReader('text'), splitter=IndexSplitter(range(24,30)))
dls = block.dataloaders(df, bs=4, seq_len={seq}, num_workers=0)
config = dict(awd_lstm_lm_config, emb_sz=8, n_hid=8, n_layers=1)'''
def text(seq=12, freq=1, rules='[lowercase]', learner='language_model_learner(dls, AWD_LSTM, config=config, pretrained=False, cbs=CBS, MORE)', **kw):
    return program(TEXT.format(seq=seq, freq=freq, rules=rules), learner=learner, area='text', **kw)

TORCH = '''from torch.utils.data import DataLoader as TorchLoader,WeightedRandomSampler,TensorDataset,Sampler
x = torch.sin(torch.arange(160.)).view(40,4)
y = (x.sum(1)>0).long()
train,valid = TensorDataset(x[:32], y[:32]),TensorDataset(x[32:], y[32:])
dls = DataLoaders(TorchLoader(train, batch_size=8, {options}), TorchLoader(valid, batch_size=8))'''
def plain(options='shuffle=True', model=MLP, loss='CrossEntropyLossFlat()', **kw):
    "torch's own loaders"
    return program(TORCH.format(options=options), model, loss, **kw)

def val(name, a, b): return rf'{name}\b.*{a}.*->.*{b}'

# --- losses

case('label_smoothing of CrossEntropyLossFlat', 'loss', arg('0.1'), val(r'learner\.loss.*label_smoothing', r'0\.0', r'0\.1'), args=['0.0'], loss='CrossEntropyLossFlat(label_smoothing=float(arg))')
case('weight of CrossEntropyLossFlat', 'loss', arg('5'), val(r'learner\.loss.*weight', '', ''), args=['1'], loss='CrossEntropyLossFlat(weight=tensor([1.,float(arg)]))')
case('label_smoothing of nn.CrossEntropyLoss', 'loss', arg('0.1'), val(r'learner\.loss.*label_smoothing', r'0\.0', r'0\.1'), args=['0.0'], loss='nn.CrossEntropyLoss(label_smoothing=float(arg))')
case('pos_weight of BCEWithLogitsLoss', 'loss', arg('3'), val(r'learner\.loss.*pos_weight', '', ''), args=['1'], of=floats, loss='nn.BCEWithLogitsLoss(pos_weight=tensor([float(arg)]))')
case('eps of LabelSmoothingCrossEntropyFlat', 'loss', arg('0.3'), val(r'learner\.loss.*eps', r'0\.1', r'0\.3'), args=['0.1'], loss='LabelSmoothingCrossEntropyFlat(eps=float(arg))')
case('gamma of FocalLossFlat', 'loss', arg('4.0'), val(r'learner\.loss.*gamma', r'2\.0', r'4\.0'), args=['2.0'], loss='FocalLossFlat(gamma=float(arg))')
CLOSURE = '''def make(scale):
    def loss(pred, targ): return F.cross_entropy(pred*scale, targ)
    return loss'''
case('closure variable in a loss', 'loss', arg('3.0'), val(r'learner\.loss.*scale', r'2\.0', r'3\.0'), args=['2.0'], head=CLOSURE, loss='make(float(arg))')
GLOBAL = '''SCALE = float(arg)
def loss(pred, targ): return F.cross_entropy(pred*SCALE, targ)'''
case('module constant in a loss', 'loss', arg('3.0'), val(r'learner\.loss.*SCALE', r'2\.0', r'3\.0'), args=['2.0'], head=GLOBAL, loss='loss')
HELPER = '''import torch.nn.functional as F
def loss(pred, targ): return F.cross_entropy(pred*2., targ)
'''
case('another version of a helper module', 'code', edit('helper.py', '2.', '3.'), r'code\.modules\.helper', also=r'learner\.loss', files={'helper.py':HELPER}, head='from helper import loss', loss='loss')
case('a nested module of a package', 'code', edit('mine/sub/deep.py', '2.', '3.'), r'code\.modules\.mine\.sub\.deep', also=r'learner\.loss',
     files={'mine/__init__.py':'', 'mine/sub/__init__.py':'from .deep import loss\n', 'mine/sub/deep.py':HELPER}, head='import mine.sub', loss='mine.sub.loss')
case('a helper imported in a function', 'code', edit('helper.py', '2.', '3.'), r'code\.modules\.helper', also=r'learner\.loss', files={'helper.py':HELPER},
     head='def loss(pred, targ):\n    from helper import loss as f\n    return f(pred, targ)', loss='loss')
PARTIAL = 'def scaled(pred, targ, scale=1.): return F.cross_entropy(pred*scale, targ)'
case('argument of a partial', 'loss', arg('3.0'), val(r'learner\.loss.*scale', r'2\.0', r'3\.0'), args=['2.0'], head=PARTIAL, loss='partial(scaled, scale=float(arg))')
case('default argument of a function', 'loss', arg('3.0'), val(r'learner\.loss.*scale', r'2\.0', r'3\.0'), args=['2.0'], head='def loss(pred, targ, scale=float(arg)): return F.cross_entropy(pred*scale, targ)', loss='loss')
CALL = '''class Scaled:
    def __init__(self, by): self.factor = by
    def __call__(self, pred, targ): return F.cross_entropy(pred*self.factor, targ)'''
case('attribute of an object that is called as a loss', 'loss', arg('3.0'), val(r'learner\.loss.*factor', r'2\.0', r'3\.0'), args=['2.0'], head=CALL, loss='Scaled(float(arg))')
case('value in a lambda', 'loss', arg('3.0'), val(r'learner\.loss.*\bk', r'2\.0', r'3\.0'), args=['2.0'], head='def make(k): return lambda pred,targ: F.cross_entropy(pred*k, targ)', loss='make(float(arg))')
case('reduction of a loss', 'loss', arg('sum'), val(r'learner\.loss.*reduction', 'mean', 'sum'), args=['mean'], loss='nn.CrossEntropyLoss(reduction=arg)')
case('another loss', 'loss', arg('L1LossFlat'), val(r'learner\.loss', 'MSELoss', 'L1Loss'), args=['MSELossFlat'], of=floats, loss='globals()[arg]()')

# --- transforms

def transform(*body): return 'class Mine(Transform):\n    ' + '\n    '.join(body)
for name in ('std','mean','c'):
    case(f'argument named {name} of a Transform', 'data', arg('2.0'), val(rf'loaders\..*\b{name}', r'1\.0', r'2\.0'), args=['1.0'], of=tfms, items=f', Mine({name}=float(arg))',
         head=transform(f'def __init__(self, {name}): self.{name} = {name}', f"def encodes(self, o:Tensor): return o*self.{name}"))
case('closure variable in a transform', 'data', arg('3.0'), val(r'loaders\..*scale', r'2\.0', r'3\.0'), args=['2.0'], of=tfms, items=', make(float(arg))',
     head='def make(scale):\n    def f(o): return o*scale\n    return f')
case('module constant in a transform', 'data', arg('3.0'), val(r'loaders\..*SCALE', r'2\.0', r'3\.0'), args=['2.0'], of=tfms, items=', f', head='SCALE = float(arg)\ndef f(o): return o*SCALE')
case('array in a transform', 'data', arg('3'), val(r'loaders\..*(kernel|KERNEL)', '', ''), args=['2'], of=tfms, items=', f', head='KERNEL = np.arange(4)/float(arg)\ndef f(o): return o*tensor(KERNEL).float()')
case('method of Resize', 'data', arg('pad'), val(r'loaders\..*method', '[Cc]rop', '[Pp]ad'), args=['crop'], of=vision, files=pictures, item='Resize((12,8), method=arg)')
case('probability of a flip', 'data', arg('0.9'), val(r'loaders\..*\bp', r'0\.5', r'0\.9'), args=['0.5'], of=vision, files=pictures, batch='Flip(p=float(arg))')
case('max_lighting of aug_transforms', 'data', arg('0.6'), val(r'loaders\..*max_lighting', r'0\.2', r'0\.6'), args=['0.2'], of=vision, files=pictures, batch='*aug_transforms(max_lighting=float(arg))')
case('numbers of Normalize', 'data', arg('0.4'), val(r'loaders\.(stats|.*mean)', r'0\.2', r'0\.4'), args=['0.2'], of=vision, files=pictures, batch='Normalize.from_stats([float(arg)],[0.3])')

# --- model

DROP = '''class Net(Module):
    def __init__(self, p): self.a,self.b,self.p = nn.Linear(4,8),nn.Linear(8,2),p
    def forward(self, x): return self.b(F.dropout(F.relu(self.a(x)), self.p, self.training))'''
case('F.dropout(x, self.p) in a module', 'model', arg('0.5'), val(r'learner\.arch.*\bp', r'0\.1', r'0\.5'), args=['0.1'], head=DROP, model='Net(float(arg))')
case('another layer is frozen', 'model', arg('2'), r'learner\.trainable.*->', args=['0'], model='nn.Sequential(nn.Linear(4,4), nn.ReLU(), nn.Linear(4,4), nn.ReLU(), nn.Linear(4,2))', before='for p in model[int(arg)].parameters(): p.requires_grad_(False)')
case('gradient hook of a weight', 'model', arg('0.1'), val(r'learner\..*hook.*', r'0\.5', r'0\.1'), args=['0.5'], head='def halve(scale): return lambda g: g*scale', before='model[0].weight.register_hook(halve(float(arg)))')
case('order of layers', 'model', arg('1'), r'learner\.arch', also=r'learner\.', args=['0'], head='def layers(flip): return [nn.Tanh(),nn.BatchNorm1d(8)][::-1 if flip else 1]', model='nn.Sequential(nn.Linear(4,8), *layers(int(arg)), nn.Linear(8,2))')
case('activation function', 'model', arg('GELU'), val(r'learner\.arch', 'ReLU', 'GELU'), also=r'learner\.', args=['ReLU'], model='nn.Sequential(nn.Linear(4,8), getattr(nn, arg)(), nn.Linear(8,2))')
SCALED = '''class Net(Module):
    def __init__(self, s): self.a,self.s = nn.Linear(4,2),s
    def forward(self, x): return self.a(x)*self.s'''
case('plain attribute of a module', 'model', arg('3.0'), val(r'learner\.arch.*\bs', r'2\.0', r'3\.0'), args=['2.0'], head=SCALED, model='Net(float(arg))')
BUFFER = '''class Net(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.a = nn.Linear(4,2)
        self.register_buffer('s', torch.full((2,), s), persistent=False)
    def forward(self, x): return self.a(x)*self.s'''
case('buffer that is not saved', 'model', arg('3.0'), val(r'learner\.(arch|init).*(\bs\b)?', '', ''), also=r'learner\.(arch|init)', args=['2.0'], head=BUFFER, model='Net(float(arg))')

# --- callbacks

CALLBACK = '''class Shrink(Callback):
    def __init__(self, factor): self.kept = factor
    def before_step(self):
        for p in self.model.parameters(): p.grad.mul_(self.kept)'''
case("callback's setting under another name", 'callbacks', arg('0.5'), val(r'learner\.callbacks.*Shrink.*kept', r'0\.9', r'0\.5'), args=['0.9'], head=CALLBACK, cbs='Shrink(float(arg))', more='opt_func=SGD')
case('alpha of MixUp', 'callbacks', arg('0.8'), val(r'learner\.callbacks.*MixUp.*(alpha|concentration).*', r'0\.4', r'0\.8'), args=['0.4'], cbs='MixUp(float(arg))')
case('max_norm of GradientClip', 'callbacks', arg('0.01'), val(r'learner\.callbacks.*GradientClip.*max_norm', r'0\.1', r'0\.01'), args=['0.1'], cbs='GradientClip(float(arg))', more='opt_func=SGD')
case('n_acc of GradientAccumulation', 'callbacks', arg('16'), val(r'learner\.callbacks.*GradientAccumulation.*n_acc', '8', '16'), args=['8'], cbs='GradientAccumulation(int(arg))')

# --- loaders

case('seq_len of LMDataLoader', 'loaders', arg('6'), val(r'loaders\..*seq_len', '12', '6'), also=r'data\.|loaders\.', args=['12'], of=text, files=texts, seq='int(arg)')
case('weights of a WeightedRandomSampler', 'loaders', arg('4'), val(r'loaders\..*weights', '', ''), args=['1'], of=plain, options='sampler=WeightedRandomSampler(1+y[:32]*(float(arg)-1), 32)')
