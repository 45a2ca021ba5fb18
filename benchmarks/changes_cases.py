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
    maybe:bool = False # Weights differ on some machines only; the diff names it on all
    each:tuple = () # Names of fields that must all be among those that change the result

    @property
    def starts_new(self): return self.kind in ('script','command') or self.change is fresh

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

def program(dls, model='None', loss='None', head='', cbs='', more='', fit='learn.fit_one_cycle(1, 1e-2)', before='', area='vision',
            learner='', kind='callback'):
    "A program: `learner` may hold `LOSS`, `CBS` and `MORE` too"
    repro = {'command':[], 'capture':['ReproCallback(1)']}.get(kind, ["ReproCallback(1, manifest='runs')"])
    learner = learner or 'Learner(dls, model, loss_func=LOSS, cbs=CBS, MORE)'
    if kind=='capture': before += "\nRunManifest.capture(learn, content=True).save('runs/m.json')"
    learner = learner.replace('LOSS', loss).replace('CBS', '[' + ', '.join([*repro, *([cbs] if cbs else [])]) + ']').replace('MORE', more)
    return LEARN.format(**{k:v for k,v in locals().items() if k not in ('loss','cbs','more','kind','repro')})

def case(name, group, change, names='', also='', args=(), files=None, kind='callback', of=None, text=None,
         script='train.py', maybe=False, each=(), **kw):
    "Add a case whose program `of` makes from the keyword arguments"
    text = text or (of or rows)(kind=kind, **kw)
    cases.append(Case(name, group, text, change, names, also, list(args), files or {}, kind, script, maybe, tuple(each)))

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
def tfms(items='', splits=SPLITS, bs=8, dl='', make='dataloaders', model=MLP, loss='CrossEntropyLossFlat()', **kw):
    "Numbers through fastai's transforms"
    return program(TFMS.format(items=items, splits=splits, bs=bs, more=dl).replace('dsets.dataloaders', f'dsets.{make}'), model, loss, **kw)

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
def vision(item='', batch='', split='RandomSplitter(.25, seed=1)', vocab='', block='DataBlock', items='sorted(get_image_files(p))',
           bs=12, dl='', model=CNN, **kw):
    return program(VISION.format(item=item, batch=batch, split=split, vocab=vocab, block=block, items=items, bs=bs, dl=dl), model, **kw)

def csv_rows(n=40):
    return [f"{'abc'[i%3]},{'uvwxyz'[i*i%6]},{'' if i%9==4 else i%7},{i*i%11/2},{i%4},{'yes' if i%5<2 else 'no'}" for i in range(n)]
def csv_text(rows): return 'c1,c2,n1,n2,n3,y\n' + '\n'.join(rows) + '\n'
table = {'t.csv':csv_text(csv_rows())}
TABLE = '''df = pd.read_csv('t.csv')
to = TabularPandas(df, procs={procs}, cat_names=['c1','c2'], cont_names={cont}, y_names='y', y_block=CategoryBlock(), splits={splits})
dls = to.dataloaders(bs=8, num_workers=0)'''
def tabular(procs='[Categorify,FillMissing,Normalize]', cont="['n1','n2']", splits=SPLITS,
            learner='tabular_learner(dls, layers=[8], cbs=CBS, MORE)', **kw):
    return program(TABLE.format(procs=procs, cont=cont, splits=splits), learner=learner, area='tabular', **kw)

ratings = {'r.csv':'user,item,rating\n' + '\n'.join(f'u{i%7},i{i*i%11},{1+i%5}' for i in range(60)) + '\n'}
RATINGS = '''from fastai.collab import *
dls = CollabDataLoaders.from_df(pd.read_csv('r.csv'), bs=16, seed=1, num_workers=0)'''
def collab(learner='collab_learner(dls, n_factors=4, y_range=(0,6), cbs=CBS, MORE)', **kw):
    return program(RATINGS, learner=learner, area='tabular', **kw)

words = 'the cat sat on a mat and saw that dog who ran to fetch his big red ball'.split()
texts = {'texts.csv':'text\n' + '\n'.join(' '.join(words[(i*j+j//3)%len(words)] for j in range(1, 14)) for i in range(1, 31)) + '\n'}
TEXT = '''df = pd.read_csv('texts.csv')
block = DataBlock(TextBlock.from_df('text', is_lm=True, tok=BaseTokenizer(), seq_len={seq}, min_freq={freq}, rules={rules}),
    get_x=ColReader('text'), splitter=IndexSplitter(range(24,30)))
dls = block.dataloaders(df, bs=4, seq_len={seq}, num_workers=0)
config = dict(awd_lstm_lm_config, emb_sz=8, n_hid=8, n_layers=1)'''
def text(seq=12, freq=1, rules='[lowercase]',
         learner='language_model_learner(dls, AWD_LSTM, config=config, pretrained=False, cbs=CBS, MORE)', **kw):
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

case('label_smoothing of CrossEntropyLossFlat', 'loss', arg('0.1'), val(r'learner\.loss.*label_smoothing', r'0\.0', r'0\.1'),
     args=['0.0'], loss='CrossEntropyLossFlat(label_smoothing=float(arg))')
case('weight of CrossEntropyLossFlat', 'loss', arg('5'), val(r'learner\.loss.*weight', '', ''), args=['1'],
     loss='CrossEntropyLossFlat(weight=tensor([1.,float(arg)]))')
case('label_smoothing of nn.CrossEntropyLoss', 'loss', arg('0.1'), val(r'learner\.loss.*label_smoothing', r'0\.0', r'0\.1'), args=['0.0'],
     loss='nn.CrossEntropyLoss(label_smoothing=float(arg))')
case('pos_weight of BCEWithLogitsLoss', 'loss', arg('3'), val(r'learner\.loss.*pos_weight', '', ''), args=['1'], of=floats,
     loss='nn.BCEWithLogitsLoss(pos_weight=tensor([float(arg)]))')
case('eps of LabelSmoothingCrossEntropyFlat', 'loss', arg('0.3'), val(r'learner\.loss.*eps', r'0\.1', r'0\.3'), args=['0.1'],
     loss='LabelSmoothingCrossEntropyFlat(eps=float(arg))')
case('gamma of FocalLossFlat', 'loss', arg('4.0'), val(r'learner\.loss.*gamma', r'2\.0', r'4\.0'), args=['2.0'],
     loss='FocalLossFlat(gamma=float(arg))')
CLOSURE = '''def make(scale):
    def loss(pred, targ): return F.cross_entropy(pred*scale, targ)
    return loss'''
case('closure variable in a loss', 'loss', arg('3.0'), val(r'learner\.loss.*scale', r'2\.0', r'3\.0'), args=['2.0'], head=CLOSURE,
     loss='make(float(arg))')
GLOBAL = '''SCALE = float(arg)
def loss(pred, targ): return F.cross_entropy(pred*SCALE, targ)'''
case('module constant in a loss', 'loss', arg('3.0'), val(r'learner\.loss.*SCALE', r'2\.0', r'3\.0'), args=['2.0'], head=GLOBAL,
     loss='loss')
HELPER = '''import torch.nn.functional as F
def loss(pred, targ): return F.cross_entropy(pred*2., targ)
'''
case('another version of a helper module', 'code', edit('helper.py', '2.', '3.'), r'code\.modules\.helper', also=r'learner\.loss',
     files={'helper.py':HELPER}, head='from helper import loss', loss='loss')
case('a nested module of a package', 'code', edit('mine/sub/deep.py', '2.', '3.'), r'code\.modules\.mine\.sub\.deep',
     also=r'learner\.loss', files={'mine/__init__.py':'', 'mine/sub/__init__.py':'from .deep import loss\n', 'mine/sub/deep.py':HELPER},
     head='import mine.sub', loss='mine.sub.loss')
case('a helper imported in a function', 'code', edit('helper.py', '2.', '3.'), r'code\.modules\.helper', also=r'learner\.loss',
     files={'helper.py':HELPER}, head='''def loss(pred, targ):
    from helper import loss as f
    return f(pred, targ)''', loss='loss')
PARTIAL = 'def scaled(pred, targ, scale=1.): return F.cross_entropy(pred*scale, targ)'
case('argument of a partial', 'loss', arg('3.0'), val(r'learner\.loss.*scale', r'2\.0', r'3\.0'), args=['2.0'], head=PARTIAL,
     loss='partial(scaled, scale=float(arg))')
case('default argument of a function', 'loss', arg('3.0'), val(r'learner\.loss.*scale', r'2\.0', r'3\.0'), args=['2.0'],
     head='def loss(pred, targ, scale=float(arg)): return F.cross_entropy(pred*scale, targ)', loss='loss')
CALL = '''class Scaled:
    def __init__(self, by): self.factor = by
    def __call__(self, pred, targ): return F.cross_entropy(pred*self.factor, targ)'''
case('attribute of an object that is called as a loss', 'loss', arg('3.0'), val(r'learner\.loss.*factor', r'2\.0', r'3\.0'), args=['2.0'],
     head=CALL, loss='Scaled(float(arg))')
case('value in a lambda', 'loss', arg('3.0'), val(r'learner\.loss.*\bk', r'2\.0', r'3\.0'), args=['2.0'],
     head='def make(k): return lambda pred,targ: F.cross_entropy(pred*k, targ)', loss='make(float(arg))')
case('reduction of a loss', 'loss', arg('sum'), val(r'learner\.loss.*reduction', 'mean', 'sum'), args=['mean'],
     loss='nn.CrossEntropyLoss(reduction=arg)')
case('another loss', 'loss', arg('L1LossFlat'), val(r'learner\.loss', 'MSELoss', 'L1Loss'), args=['MSELossFlat'], of=floats,
     loss='globals()[arg]()')

# --- transforms

def transform(*body): return 'class Mine(Transform):\n    ' + '\n    '.join(body)
for name in ('std','mean','c'):
    case(f'argument named {name} of a Transform', 'data', arg('2.0'), val(rf'(loaders|data)\..*\b{name}', r'1\.0', r'2\.0'), args=['1.0'],
         of=tfms, items=f', Mine({name}=float(arg))',
         head=transform(f'def __init__(self, {name}): self.{name} = {name}', f"def encodes(self, o:Tensor): return o*self.{name}"))
case('closure variable in a transform', 'data', arg('3.0'), val(r'(loaders|data)\..*scale', r'2\.0', r'3\.0'), args=['2.0'], of=tfms,
     items=', make(float(arg))', head='def make(scale):\n    def f(o): return o*scale\n    return f')
case('module constant in a transform', 'data', arg('3.0'), val(r'(loaders|data)\..*SCALE', r'2\.0', r'3\.0'), args=['2.0'], of=tfms,
     items=', f', head='SCALE = float(arg)\ndef f(o): return o*SCALE')
case('array in a transform', 'data', arg('3'), val(r'(loaders|data)\..*(kernel|KERNEL)', '', ''), args=['2'], of=tfms, items=', f',
     head='KERNEL = np.arange(4)/float(arg)\ndef f(o): return o*tensor(KERNEL).float()')
case('method of Resize', 'data', arg('pad'), val(r'(loaders|data)\..*method', '[Cc]rop', '[Pp]ad'), args=['crop'], of=vision,
     files=pictures, item='Resize((12,8), method=arg)')
case('probability of a flip', 'data', arg('0.9'), val(r'(loaders|data)\..*\bp', r'0\.5', r'0\.9'), args=['0.5'], of=vision,
     files=pictures, batch='Flip(p=float(arg))')
case('max_lighting of aug_transforms', 'data', arg('0.6'), val(r'(loaders|data)\..*max_lighting', r'0\.2', r'0\.6'), args=['0.2'],
     of=vision, files=pictures, batch='*aug_transforms(max_lighting=float(arg))')
case('numbers of Normalize', 'data', arg('0.4'), val(r'loaders\.(stats|.*mean)', r'0\.2', r'0\.4'), args=['0.2'], of=vision,
     files=pictures, batch='Normalize.from_stats([float(arg)],[0.3])')

# --- model

DROP = '''class Net(Module):
    def __init__(self, p): self.a,self.b,self.p = nn.Linear(4,8),nn.Linear(8,2),p
    def forward(self, x): return self.b(F.dropout(F.relu(self.a(x)), self.p, self.training))'''
case('F.dropout(x, self.p) in a module', 'model', arg('0.5'), val(r'learner\.arch.*\bp', r'0\.1', r'0\.5'), args=['0.1'], head=DROP,
     model='Net(float(arg))')
case('another layer is frozen', 'model', arg('2'), r'learner\.params\.0\.weight: .*frozen -> .*trained', also=r'learner\.params', args=['0'],
     model='nn.Sequential(nn.Linear(4,4), nn.ReLU(), nn.Linear(4,4), nn.ReLU(), nn.Linear(4,2))',
     before='for p in model[int(arg)].parameters(): p.requires_grad_(False)')
case('gradient hook of a weight', 'model', arg('0.1'), val(r'learner\..*hook.*', r'0\.5', r'0\.1'), args=['0.5'],
     head='def halve(scale): return lambda g: g*scale', before='model[0].weight.register_hook(halve(float(arg)))')
case('order of layers', 'model', arg('1'), r'learner\.arch', also=r'learner\.', args=['0'],
     head='def layers(flip): return [nn.Tanh(),nn.BatchNorm1d(8)][::-1 if flip else 1]',
     model='nn.Sequential(nn.Linear(4,8), *layers(int(arg)), nn.Linear(8,2))')
case('activation function', 'model', arg('GELU'), val(r'learner\.arch', 'ReLU', 'GELU'), also=r'learner\.', args=['ReLU'],
     model='nn.Sequential(nn.Linear(4,8), getattr(nn, arg)(), nn.Linear(8,2))')
SCALED = '''class Net(Module):
    def __init__(self, s): self.a,self.s = nn.Linear(4,2),s
    def forward(self, x): return self.a(x)*self.s'''
case('plain attribute of a module', 'model', arg('3.0'), val(r'learner\.arch.*\bs', r'2\.0', r'3\.0'), args=['2.0'], head=SCALED,
     model='Net(float(arg))')
BUFFER = '''class Net(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.a = nn.Linear(4,2)
        self.register_buffer('s', torch.full((2,), s), persistent=False)
    def forward(self, x): return self.a(x)*self.s'''
case('buffer that is not saved', 'model', arg('3.0'), val(r'learner\.(arch|init).*(\bs\b)?', '', ''), also=r'learner\.(arch|init)',
     args=['2.0'], head=BUFFER, model='Net(float(arg))')

# --- callbacks

CALLBACK = '''class Shrink(Callback):
    def __init__(self, factor): self.kept = factor
    def before_step(self):
        for p in self.model.parameters(): p.grad.mul_(self.kept)'''
case("callback's setting under another name", 'callbacks', arg('0.5'), val(r'learner\.callbacks.*kept', r'0\.9', r'0\.5'), args=['0.9'],
     head=CALLBACK, cbs='Shrink(float(arg))', more='opt_func=SGD')
case('alpha of MixUp', 'callbacks', arg('0.8'), val(r'learner\.callbacks.*(alpha|concentration).*', r'0\.4', r'0\.8'), args=['0.4'],
     cbs='MixUp(float(arg))')
case('max_norm of GradientClip', 'callbacks', arg('0.01'), val(r'learner\.callbacks.*max_norm', r'0\.1', r'0\.01'), args=['0.1'],
     cbs='GradientClip(float(arg))', more='opt_func=SGD')
case('n_acc of GradientAccumulation', 'callbacks', arg('16'), val(r'learner\.callbacks.*n_acc', '8', '16'), args=['8'],
     cbs='GradientAccumulation(int(arg))')

# --- loaders

case('seq_len of LMDataLoader', 'loaders', arg('6'), val(r'(loaders|data)\..*seq_len', '12', '6'), also=r'data\.|loaders\.', args=['12'],
     of=text, files=texts, seq='int(arg)')
case('weights of a WeightedRandomSampler', 'loaders', arg('4'), val(r'(loaders|data)\..*weights', '', ''), args=['1'], of=plain,
     options='sampler=WeightedRandomSampler(1+y[:32]*(float(arg)-1), 32)')
case('drop_last', 'loaders', arg(''), val(r'loaders\.(drop_last|.*drop_last)?', '[Tt]rue', '[Ff]alse'), args=['1'], of=tfms, bs=10,
     dl=', drop_last=bool(arg)')
case('batch size', 'loaders', arg('4'), val(r'(loaders|data)\..*bs', '8', '4'), also=r'learner\.(schedule|steps)', args=['8'], of=tfms,
     bs='int(arg)')
case('shuffle', 'loaders', arg(''), val(r'(loaders|data)\..*shuffle', '[Tt]rue', '[Ff]alse'), also=r'loaders\.drop_last', args=['1'],
     of=tfms, dl=', shuffle=bool(arg), drop_last=True')
case('n_inp of the loaders', 'loaders', arg('1'), val(r'(loaders|data)\..*n_inp', '2', '1'), also=r'data\.|loaders\.tfms', args=['2'],
     of=tfms, items='], [lambda i: x[i].cos()', head='''class Net(Module):
    def __init__(self): self.a = nn.Linear(4,2)
    def forward(self, x, z=0): return self.a(x+z)
def loss(pred, *targs): return F.cross_entropy(pred, targs[-1])''', model='Net()', loss='loss', splits=SPLITS + ', n_inp=int(arg)')
case('closure of a collate_fn', 'loaders', arg('3.0'), val(r'(loaders|data)\..*scale', r'2\.0', r'3\.0'), args=['2.0'], of=plain,
     options='collate_fn=together(float(arg)), shuffle=True',
     head='''def together(scale):
    def f(items):
        x,y = zip(*items)
        return torch.stack(x)*scale,torch.stack(y)
    return f''')
case('another collate_fn', 'loaders', arg('reverse'), r'(loaders|data)\..*collate.*forward.*->.*reverse', args=['forward'], of=plain,
     options='collate_fn=globals()[arg], shuffle=True',
     head='''from torch.utils.data import default_collate
def forward(items): return default_collate(items)
def reverse(items):
    x,y = default_collate(items)
    return x.flip(1),y''')
case('attribute of a sampler', 'loaders', arg('3'), val(r'(loaders|data)\..*stride', '5', '3'), args=['5'], of=plain,
     options='sampler=Strided(int(arg))',
     head='''class Strided(torch.utils.data.Sampler):
    def __init__(self, stride): self.stride = stride
    def __iter__(self): return iter([i*self.stride%32 for i in range(32)])
    def __len__(self): return 32''')
case("batch size of torch's loader", 'loaders', arg('4'), val(r'(loaders|data)\..*(bs|batch_size)', '8', '4'),
     also=r'learner\.(schedule|steps)', args=['8'],
     text=program(TORCH.replace('train, batch_size=8', 'train, batch_size=int(arg)').format(options='shuffle=True'),
                  MLP, 'CrossEntropyLossFlat()'))
case('attribute of a dataset', 'data', arg('3.0'), val(r'(loaders|data)\..*scale', r'2\.0', r'3\.0'), also=r'data\.', args=['2.0'],
     head='''class Mine(torch.utils.data.Dataset):
    def __init__(self, scale): self.scale = scale
    def __len__(self): return 32
    def __getitem__(self, i): return torch.sin(torch.arange(4.)+i)*self.scale,i%2''',
     dls=TORCH.format(options='shuffle=True').replace('train,valid = TensorDataset(x[:32], y[:32])', 'train,valid = Mine(float(arg))'))
case('numbers of a TensorDataset', 'data', arg('3.0'), r'data\.content', args=['2.0'],
     text=program(TORCH.format(options='shuffle=True').replace('.view(40,4)', '.view(40,4)*float(arg)'),
                  MLP, 'CrossEntropyLossFlat()'))

# --- more of the data

case('indices of the split', 'data', arg('30'), r'data\.split', also=r'data\.', args=['32'], of=tfms,
     splits='(list(range(int(arg))),list(range(int(arg),40)))')
case('share of the validation set', 'data', arg('0.4'), r'data\.split', also=r'data\.|loaders\.', args=['0.25'], of=vision,
     files=pictures, split='RandomSplitter(float(arg), seed=1)')
case('order of the classes', 'data', arg('3201'), r'data\.vocab|loaders\..*vocab', also=r'data\.', args=['0123'], of=vision,
     files=pictures, vocab='(vocab=list(arg), sort=False)')
case('an image removed', 'data', on_files(lambda p: sorted(p.glob('data/1/*.png'))[3].unlink()), r'data\.items', also=r'data\.|loaders\.',
     of=vision, files=pictures, split="FuncSplitter(lambda o: int(o.stem)%5==0)")
def other_image(p):
    a,b = sorted(p.glob('data/1/*.png'))[0],sorted(p.glob('data/2/*.png'))[-1]
    a.write_bytes(b.read_bytes())
case('bytes of an image', 'data', on_files(other_image), r'end\.weights|data\.content', of=vision, files=pictures,
     split='RandomSplitter(.1, seed=3)')
case('bytes of an image, with content=True', 'data', on_files(other_image), r'data\.content', of=vision, files=pictures,
     split='RandomSplitter(.1, seed=3)', kind='capture')
case('label of a row', 'data', edit('t.csv', csv_rows()[3], csv_rows()[3].replace(',no', ',yes')), r'data\.labels', also=r'data\.content',
     of=tabular, files=table)
case('number in a csv file', 'data', edit('t.csv', csv_rows()[7], csv_rows()[7].replace('2.5', '4.5')), r'data\.content',
     also=r'loaders\.(stats|tfms)', of=tabular, files=table)
swapped = csv_rows(); swapped[3],swapped[10] = swapped[10],swapped[3]
case('order of rows in a csv file', 'data', on_files(lambda p: (p/'t.csv').write_text(csv_text(swapped))), r'data\.order', of=tabular,
     files=table)
def rows_changed(**new): # by row number
    lines = csv_rows()
    for k,(old,v) in new.items(): lines[int(k[1:])] = lines[int(k[1:])].replace(old, v)
    return on_files(lambda p: (p/'t.csv').write_text(csv_text(lines)))
case('number and label of a row', 'data', rows_changed(r3=(',no',',yes'), r7=('2.5','4.5')), r'data\.(labels|content)',
     also=r'loaders\.(stats|tfms)', of=tabular, files=table, each=('data.labels','data.content'))
case('label of an image, which is its folder', 'data', on_files(lambda p: sorted(p.glob('data/1/*.png'))[3].rename(p/'data/2/x.png')),
     r'data\.(items|labels)', of=vision, files=pictures, split="FuncSplitter(lambda o: int(o.stem)%5==0 if o.stem!='x' else False)",
     each=('data.items','data.labels'))
def other_image_and_label(p):
    other_image(p)
    sorted(p.glob('data/3/*.png'))[3].rename(p/'data/2/9999.png')
case('bytes of an image and label of another, with content=True', 'data', on_files(other_image_and_label),
     r'data\.(items|labels|content)', of=vision, files=pictures, split="FuncSplitter(lambda o: int(o.stem)%5==0)", kind='capture', each=('data.items','data.labels','data.content'))
case('a line of a text', 'data', edit('texts.csv', 'text\ncat', 'text\nthe'), r'data\.(content|items)', also=r'data\.', of=text,
     files=texts)
case('a file of numbers', 'data', on_files(lambda p: (p/'x.txt').write_text(' '.join(str(i*i%13) for i in range(160)))),
     r'data\.(content|items)', also=r'data\.', files={'x.txt':' '.join(str(i*i%11) for i in range(160))},
     dls=ROWS.replace('torch.sin(torch.arange(160.))', "tensor(np.loadtxt('x.txt')).float()"))
case('closure of get_y', 'data', arg('3'), r'data\.labels', also=r'data\.(vocab|labels_from)', args=['2'],
     text=vision(split='RandomSplitter(.25, seed=1)').replace('get_y=parent_label', 'get_y=modulo(int(arg))')
         .replace('set_seed(1)\n', '''set_seed(1)
def modulo(k): return lambda o: int(parent_label(o))%k
''', 1), files=pictures)
STEPS = '''class Plus(Transform):
    order = int(arg)
    def encodes(self, o:Tensor): return o+1
class Double(Transform):
    order = 5
    def encodes(self, o:Tensor): return o*2'''
case('order of two transforms', 'data', arg('9'), r'(loaders|data)\..*', args=['1'], of=tfms, items=', Plus(), Double()', head=STEPS)
case('order of a dict', 'data', arg('times,plus'), val(r'(loaders|data)\..*(OPS|ops)', '', ''), args=['plus,times'], of=tfms, items=', f',
     head='''ALL = dict(plus=lambda o: o+1, times=lambda o: o*2)
OPS = {k:ALL[k] for k in arg.split(',')}
def f(o):
    for op in OPS.values(): o = op(o)
    return o''')
case('member of an enum', 'data', arg('DOUBLE'), val(r'(loaders|data)\..*mode', 'SINGLE', 'DOUBLE'), args=['SINGLE'], of=tfms,
     items=', Mine(Mode[arg])',
     head='''from enum import Enum
class Mode(Enum): SINGLE,DOUBLE = 1,2
''' + transform('def __init__(self, mode): self.mode = mode', 'def encodes(self, o:Tensor): return o*self.mode.value'))
case('numbers that a transform drew when it was made', 'data', arg('2'), val(r'(loaders|data)\..*noise', '', ''), args=['1'], of=tfms,
     items=', Mine(int(arg))',
     head=transform('def __init__(self, seed): self.noise = tensor(np.random.default_rng(seed).normal(size=4)).float()',
                    'def encodes(self, o:Tensor): return o+self.noise'))
case('strategy of FillMissing', 'data', arg('constant'), val(r'(loaders|data)\..*(strategy|fill)', 'median', 'constant'),
     also=r'loaders\.|data\.', args=['median'], of=tabular, files=table,
     procs='[Categorify,FillMissing(fill_strategy=getattr(FillStrategy, arg)),Normalize]')
case('without Normalize', 'data', arg(''), val(r'(loaders|data)\..*Normalize', '', ''), also=r'loaders\.|data\.content', args=['1'],
     of=tabular, files=table, procs='[Categorify,FillMissing,*([Normalize] if arg else [])]')
case('order of the columns', 'data', arg('n1,n3,n2'), r'(data|loaders)\..*n1.*n2.*n3.*->.*n1.*n3.*n2', also=r'(data|loaders)\.',
     args=['n1,n2,n3'], of=tabular, files=table, cont="arg.split(',')")
case('min_freq of the vocabulary', 'data', arg('28'), r'data\.vocab|loaders\..*min_freq', also=r'data\.|loaders\.|learner\.', args=['1'],
     of=text, files=texts, freq='int(arg)')
case('rules of the tokenizer', 'data', arg('1'), r'(data|loaders)\..*(rules|short)', also=r'data\.|loaders\.|learner\.', args=[''],
     of=text, files=texts, head='def short(t): return t[:-5]', rules='[lowercase,*([short] if arg else [])]')

# --- more models

case('class attribute of a module', 'model', arg('3.0'), val(r'learner\.arch.*\bs', r'2\.0', r'3\.0'), args=['2.0'],
     head='''class Net(Module):
    s = float(arg)
    def __init__(self): self.a = nn.Linear(4,2)
    def forward(self, x): return self.a(x)*self.s''', model='Net()')
case('property that reads a constant', 'model', arg('3.0'), val(r'learner\.arch.*SCALE', r'2\.0', r'3\.0'), args=['2.0'],
     head='''SCALE = float(arg)
class Net(Module):
    def __init__(self): self.a = nn.Linear(4,2)
    @property
    def s(self): return SCALE
    def forward(self, x): return self.a(x)*self.s''', model='Net()')
case('dataclass of settings in a module', 'model', arg('3.0'), val(r'learner\.arch.*scale', r'2\.0', r'3\.0'), args=['2.0'],
     head='''from dataclasses import dataclass
@dataclass
class Config:
    width:int = 8
    scale:float = 1.
class Net(Module):
    def __init__(self, cfg): self.cfg,self.a = cfg,nn.Linear(4,2)
    def forward(self, x): return self.a(x)*self.cfg.scale''', model='Net(Config(scale=float(arg)))')
case('object with slots in a module', 'model', arg('3.0'), val(r'learner\.arch.*scale', r'2\.0', r'3\.0'), args=['2.0'],
     head='''class Config:
    __slots__ = ("scale",)
    def __init__(self, s): self.scale = s
class Net(Module):
    def __init__(self, cfg): self.cfg,self.a = cfg,nn.Linear(4,2)
    def forward(self, x): return self.a(x)*self.cfg.scale''', model='Net(Config(float(arg)))')
case('module kept in a plain list', 'model', arg('0.5'), val(r'learner\.arch.*(negative_slope|slope)', r'0\.1', r'0\.5'), args=['0.1'],
     head='''class Net(Module):
    def __init__(self, acts): self.acts,self.a = acts,nn.Linear(4,2)
    def forward(self, x): return self.acts[0](self.a(x))''', model='Net([nn.LeakyReLU(float(arg))])')
case('width of a layer', 'model', arg('16'), val(r'learner\.arch', r'\b8\b', r'16'), also=r'learner\.', args=['8'],
     model='nn.Sequential(nn.Linear(4,int(arg)), nn.ReLU(), nn.Linear(int(arg),2))')
case('momentum of BatchNorm', 'model', arg('0.5'), val(r'learner\.arch.*momentum', r'0\.1', r'0\.5'), args=['0.1'],
     model='nn.Sequential(nn.Linear(4,8), nn.BatchNorm1d(8, momentum=float(arg)), nn.Linear(8,2))')
case('forward hook', 'model', arg('3.0'), val(r'learner\.arch.*hook.*', r'2\.0', r'3\.0'), args=['2.0'],
     head='def times(k): return lambda m,i,o: o*k', before='model[0].register_forward_hook(times(float(arg)))')
case('weight normalisation', 'model', arg('1'), r'learner\.arch.*', also=r'learner\.', args=[''],
     model='nn.Sequential((nn.utils.parametrizations.weight_norm if arg else noop)(nn.Linear(4,8)), nn.ReLU(), nn.Linear(8,2))')
case('tied weights', 'model', arg('1'), r'learner\.arch', also=r'learner\.', args=[''],
     model='nn.Sequential(nn.Linear(4,4), nn.ReLU(), nn.Linear(4,4), nn.ReLU(), nn.Linear(4,2))',
     before='torch.nn.init.eye_(model[0].weight); torch.nn.init.eye_(model[2].weight)\nif arg: model[2].weight = model[0].weight')
case('method replaced in a model', 'model', arg('0.5'), val(r'learner\.arch.*slope', r'0\.1', r'0\.5'), args=['0.1'],
     head='def leaky(slope): return lambda x: F.leaky_relu(x, slope)', before='model[1].forward = leaky(float(arg))')
case('function of torch replaced', 'model', arg('0.5'), val(r'(relu|slope)', r'0\.1', r'0\.5'), args=['0.1'],
     head='''def leaky(slope): return lambda x: F.leaky_relu(x, slope)
F.relu = leaky(float(arg))
class Net(Module):
    def __init__(self): self.a,self.b = nn.Linear(4,8),nn.Linear(8,2)
    def forward(self, x): return self.b(F.relu(self.a(x)))''', model='Net()')
case('another forward, chosen by an argument', 'model', arg('tanh'), val(r'learner\.arch', 'relu', 'tanh'), also=r'learner\.',
     args=['relu'], head='''class Net(Module):
    def __init__(self, act): self.a,self.b,self.act = nn.Linear(4,8),nn.Linear(8,2),act
    def forward(self, x): return self.b(self.act(self.a(x)))''', model='Net(getattr(torch, arg))')
case('function that makes the weights', 'model', arg('xavier_normal_'), r'learner\.init', args=['kaiming_normal_'],
     before='apply_init(model, getattr(nn.init, arg))')
case('seed of the weights', 'model', arg('2'), r'learner\.init', args=['1'],
     text=rows().replace("seeded(1, 'init')", "seeded(int(arg), 'init')"))
def weights(k):
    def write(path):
        import torch
        torch.save(torch.sin(torch.arange(32.)).view(8,4)*k, path)
    return write
case('file of pretrained weights', 'model', on_files(lambda p: weights(.5)(p/'w.pth')), r'learner\.init', files={'w.pth':weights(1.)},
     before="model[0].weight.data.copy_(torch.load('w.pth'))")
case('dropout of a tabular model', 'model', arg('0.5'), val(r'learner\.arch.*\bp', r'0\.1', r'0\.5'), args=['0.1'], of=tabular,
     files=table, more='config=tabular_config(ps=float(arg))')
case('embed_p of a tabular model', 'model', arg('0.5'), val(r'learner\.arch.*\bp', r'0\.1', r'0\.5'), args=['0.1'], of=tabular,
     files=table, more='config=tabular_config(embed_p=float(arg))')
case('size of an embedding', 'model', arg('5'), val(r'learner\.arch', '3', '5'), also=r'learner\.', args=['3'], of=tabular, files=table,
     more="emb_szs={'c1':int(arg)}")
case('y_range of a collab model', 'model', arg('7'), val(r'learner\.arch.*y_range', '6', '7'), args=['6'], of=collab, files=ratings,
     learner='collab_learner(dls, n_factors=4, y_range=(0,int(arg)), cbs=CBS)')
case('n_factors of a collab model', 'model', arg('5'), val(r'learner\.arch', '4', '5'), also=r'learner\.', args=['4'], of=collab,
     files=ratings, learner='collab_learner(dls, n_factors=int(arg), y_range=(0,6), cbs=CBS)')
case('drop_mult of a language model', 'model', arg('0.5'), val(r'learner\.arch.*\w*p\b', r'', r''), args=['1.0'], of=text, files=texts,
     more='drop_mult=float(arg)')

# --- optimizer

case('opt_func', 'optimizer', arg('RMSProp'), val(r'learner\.opt', 'Adam', 'RMSProp'), also=r'learner\.(opt|schedule)', args=['Adam'],
     more='opt_func=globals()[arg]')
fit = 'learn.fit(1, 1e-2)'
case('mom of SGD', 'optimizer', arg('0.5'), val(r'learner\.opt.*mom', r'0\.9', r'0\.5'), args=['0.9'],
     more='opt_func=partial(SGD, mom=float(arg))', fit=fit)
case('wd of the learner', 'optimizer', arg('0.5'), val(r'learner\..*wd', r'0\.1', r'0\.5'), args=['0.1'], more='wd=float(arg)')
case('eps of Adam', 'optimizer', arg('0.1'), val(r'learner\.opt.*eps', r'0\.001', r'0\.1'), args=['0.001'],
     more='opt_func=partial(Adam, eps=float(arg))')
case('sqr_mom of Adam', 'optimizer', arg('0.9'), val(r'learner\.opt.*sqr_mom', r'0\.99', r'0\.9'), args=['0.99'],
     more='opt_func=partial(Adam, sqr_mom=float(arg))')
case('decouple_wd of Adam', 'optimizer', arg(''), val(r'learner\.opt.*(decouple_wd|weight_decay)', '', ''), args=['1'],
     more='opt_func=partial(Adam, decouple_wd=bool(arg)), wd=0.5')
SPLITS2 = 'def low(m): return [params(m[:1]),params(m[1:])]\ndef high(m): return [params(m[:3]),params(m[3:])]'
DEEP = 'nn.Sequential(nn.Linear(4,4), nn.ReLU(), nn.Linear(4,4), nn.ReLU(), nn.Linear(4,2))'
case('another splitter of parameter groups', 'optimizer', arg('high'), r'learner\.(opt|groups|split|param)', also=r'learner\.splitter',
     args=['low'], head=SPLITS2, model=DEEP, more='splitter=globals()[arg]', fit='learn.fit_one_cycle(1, slice(1e-4,1e-2))')
case('wd_bn_bias', 'optimizer', arg('1'), val(r'learner\..*(wd_bn_bias|do_wd)', '', ''), args=[''], more='wd=0.5, wd_bn_bias=bool(arg)')
case('train_bn of a frozen learner', 'optimizer', arg(''), val(r'learner\..*train_bn', '[Tt]rue', '[Ff]alse'), also=r'learner\.trainable',
     args=['1'], head='def halves(m): return [params(m[:2]),params(m[2:])]',
     model='nn.Sequential(nn.Linear(4,8), nn.BatchNorm1d(8), nn.Linear(8,2))', more='train_bn=bool(arg), splitter=halves',
     before='learn.freeze()')
case('weight decay of a group', 'optimizer', arg('0.5'), val(r'learner\.opt.*wd', r'0\.1', r'0\.5'), args=['0.1'], head=SPLITS2,
     model=DEEP, more='splitter=low', before="learn.create_opt(); learn.opt.set_hyper('wd', [float(arg),0.])", fit=fit)
case("nesterov of torch's SGD", 'optimizer', arg('1'), val(r'learner\.opt.*nesterov', '[Ff]alse', '[Tt]rue'), args=[''],
     more='opt_func=partial(OptimWrapper, opt=partial(torch.optim.SGD, momentum=0.9, nesterov=bool(arg)))', fit=fit)
case('constant in a step of the optimizer', 'optimizer', arg('0.5'), val(r'learner\.opt.*SCALE', r'0\.9', r'0\.5'), args=['0.9'],
     head='''SCALE = float(arg)
def step(p, lr, **kwargs): p.data.add_(p.grad.data, alpha=-lr*SCALE)
def opt(ps, lr, **kwargs): return Optimizer(ps, [step], lr=lr)''', more='opt_func=opt', fit=fit)

# --- schedule

lrs = r'learner\.(lr|schedule|opt|callbacks)'
case('pct_start of fit_one_cycle', 'schedule', arg('0.5'), r'learner\.schedule', also=lrs, args=['0.25'],
     fit='learn.fit_one_cycle(1, 1e-2, pct_start=float(arg))')
case('div of fit_one_cycle', 'schedule', arg('5.0'), r'learner\.schedule', also=lrs, args=['25.0'],
     fit='learn.fit_one_cycle(1, 1e-2, div=float(arg))')
case('lr_max of fit_one_cycle', 'schedule', arg('0.02'), val(r'learner\.(lr|schedule)', r'0\.01', r'0\.02'), also=lrs, args=['0.01'],
     fit='learn.fit_one_cycle(1, float(arg))')
case('slice of learning rates', 'schedule', arg('1e-3'), val(r'learner\.(lr|schedule)', '0.0001|1e-04', '0.001'), also=lrs, args=['1e-4'],
     head=SPLITS2, model=DEEP, more='splitter=low', fit='learn.fit_one_cycle(1, slice(float(arg),1e-2))')
case('moms of the learner', 'schedule', arg('0.5'), val(r'learner\.(moms|schedule)', r'0\.85', r'0\.5'), also=lrs, args=['0.85'],
     more='moms=(0.95,float(arg),0.95)')
case('number of epochs', 'schedule', arg('2'), val(r'learner\.epochs', '1', '2'), also=lrs, args=['1'], fit='learn.fit(int(arg), 1e-2)')
tune = dict(head=SPLITS2, model=DEEP, more='splitter=low')
case('freeze_epochs of fine_tune', 'schedule', arg('2'), val(r'learner\.epochs', '1', '2'), also=lrs, args=['1'],
     fit='learn.fine_tune(1, freeze_epochs=int(arg))', **tune)
case('base_lr of fine_tune', 'schedule', arg('0.005'), val(r'learner\.(lr|schedule)', r'0\.002', r'0\.005'), also=r'(fits\.2\.)?' + lrs, args=['0.002'],
     fit='learn.fine_tune(1, float(arg))', **tune)
case('lr_mult of fine_tune', 'schedule', arg('10'), r'learner\.(lr|schedule)', also=r'(fits\.2\.)?' + lrs, args=['100'],
     fit='learn.fine_tune(1, lr_mult=float(arg))', **tune)
case('start_epoch', 'schedule', arg('1'), val(r'learner\.start_epoch', '0', '1'), also=lrs, args=['0'],
     fit='learn.fit(2, 1e-2, start_epoch=int(arg))')
case('a schedule of the user', 'schedule', arg('0.03'), val(r'learner\.(lr|schedule)', r'0\.01', r'0\.03'), also=lrs, args=['0.01'],
     fit="learn.fit(1, 1e-2, cbs=ParamScheduler({'lr':SchedLin(1e-3, float(arg))}))")
case('environment variable that the script reads', 'schedule', env(LR='0.02'), val(r'learner\.(lr|schedule)', r'0\.01', r'0\.02'),
     also=lrs + r'|code\.env\.LR', fit="learn.fit(1, float(os.environ.get('LR', '0.01')))")
case('configuration in YAML', 'schedule', edit('conf.yaml', '0.01', '0.02'), val(r'learner\.(lr|schedule)', r'0\.01', r'0\.02'), also=lrs,
     files={'conf.yaml':'optimizer:\n  lr: 0.01\n'}, head="import yaml\ncfg = yaml.safe_load(open('conf.yaml'))",
     fit="learn.fit(1, cfg['optimizer']['lr'])")
case('configuration in JSON', 'model', edit('conf.json', '0.1', '0.5'), val(r'learner\.arch.*\bp', r'0\.1', r'0\.5'),
     files={'conf.json':'{"dropout": 0.1}'}, head='''import json
cfg = json.loads(Path('conf.json').read_text())''', model="nn.Sequential(nn.Linear(4,8), nn.Dropout(cfg['dropout']), nn.Linear(8,2))")

# --- more callbacks

TWO = '''class Double(Callback):
    def before_step(self):
        for p in self.model.parameters(): p.grad.mul_(2)
class Add(Callback):
    order = int(arg)
    def before_step(self):
        for p in self.model.parameters(): p.grad.add_(.1)'''
case('order of two callbacks', 'callbacks', arg('-1'), r'learner\.callbacks.*', args=['1'], head=TWO, cbs='Double(),Add()',
     more='opt_func=SGD')
case('patience of ReduceLROnPlateau', 'callbacks', arg('3'), val(r'learner\.callbacks.*patience', '1', '3'), args=['1'],
     cbs="ReduceLROnPlateau(min_delta=5., patience=int(arg), factor=2)", fit='learn.fit(5, 1e-2)')
case('patience of EarlyStoppingCallback', 'callbacks', arg('2'), val(r'learner\.callbacks.*patience', '1', '2'), args=['1'],
     cbs="EarlyStoppingCallback(min_delta=5., patience=int(arg))", fit='learn.fit(5, 1e-2)')
case('comp of SaveModelCallback', 'callbacks', arg('greater'), val(r'learner\.callbacks.*comp', 'less', 'greater'), args=['less'],
     cbs='SaveModelCallback(comp=getattr(np, arg))', fit='learn.fit(3, 1e-2)')
case('alpha of CutMix', 'callbacks', arg('0.2'), val(r'learner\.callbacks.*', r'1\.0', r'0\.2'), args=['1.0'], of=vision, files=pictures,
     cbs='CutMix(float(arg))')
case("callback's class attribute", 'callbacks', arg('0.5'), val(r'learner\.callbacks.*factor', r'0\.9', r'0\.5'), args=['0.9'],
     head=CALLBACK.replace('def __init__(self, factor): self.kept = factor', 'factor = float(arg)').replace('self.kept', 'self.factor'),
     cbs='Shrink()', more='opt_func=SGD')
case('callback given to fit', 'callbacks', arg('0.5'), val(r'learner\.callbacks.*kept', r'0\.9', r'0\.5'), args=['0.9'], head=CALLBACK,
     more='opt_func=SGD', fit='learn.fit(1, 1e-2, cbs=Shrink(float(arg)))')
case('object that a callback holds', 'callbacks', arg('0.5'), val(r'learner\.callbacks.*factor', r'0\.9', r'0\.5'), args=['0.9'],
     head='''class Config:
    def __init__(self, f): self.factor = f
''' + CALLBACK.replace('self.kept)', 'self.kept.factor)'), cbs='Shrink(Config(float(arg)))', more='opt_func=SGD')
case('autocast of a callback', 'callbacks', arg('1'), val(r'learner\.callbacks.*\bon', '[Ff]alse', '[Tt]rue'), args=[''],
     cbs='Half(bool(arg))',
     head='''class Half(Callback):
    def __init__(self, on): self.on = on
    def before_batch(self):
        self.cast = torch.autocast('cpu', dtype=torch.bfloat16, enabled=self.on)
        self.cast.__enter__()
    def after_loss(self): self.cast.__exit__(None, None, None)''')
case('RNNRegularizer beta', 'callbacks', arg('5.0'), val(r'learner\.callbacks.*beta', r'1\.0', r'5\.0'), args=['1.0'], of=text,
     files=texts, cbs='RNNRegularizer(alpha=0., beta=float(arg))')
case('method of a learner subclass', 'learner', arg('3.0'), val(r'learner[.:].*scale', r'2\.0', r'3\.0'), args=['2.0'],
     head='''class Mine(Learner):
    scale = float(arg)
    def _backward(self): (self.loss_grad*self.scale).backward()''', learner='Mine(dls, model, loss_func=LOSS, cbs=CBS, opt_func=SGD)')
case('method of Learner replaced', 'learner', arg('3.0'), val(r'(_backward|scale)', r'2\.0', r'3\.0'), args=['2.0'],
     head='''def scaled(scale):
    def _backward(self): (self.loss_grad*scale).backward()
    return _backward
Learner._backward = scaled(float(arg))''', more='opt_func=SGD')

# --- code

case('a constant of another module, set by the script', 'code', arg('3.0'), val(r'learner\.loss.*SCALE', r'2\.0', r'3\.0'), args=['2.0'],
     files={'helper.py':'''import torch.nn.functional as F
SCALE = 1.
def loss(pred, targ): return F.cross_entropy(pred*SCALE, targ)
'''}, head='import helper\nhelper.SCALE = float(arg)', loss='helper.loss')
case('a helper that an imported helper imports', 'code', edit('deeper.py', '2.', '3.'), r'code\.modules\.deeper', also=r'learner\.loss',
     files={'deeper.py':'def scaled(x): return x*2.\n', 'helper.py':'''import torch.nn.functional as F
from deeper import scaled
def loss(pred, targ): return F.cross_entropy(scaled(pred), targ)
'''}, head='from helper import loss', loss='loss')
case('a helper loaded from its path', 'code', edit('lib/helper.py', '2.', '3.'), r'code\.modules\.\w*helper|learner\.loss',
     also=r'learner\.loss', files={'lib/helper.py':HELPER}, head='''import importlib.util
spec = importlib.util.spec_from_file_location('helper', 'lib/helper.py')
helper = importlib.util.module_from_spec(spec)
spec.loader.exec_module(helper)''', loss='helper.loss')
case('a helper that the script only executes', 'code', edit('conf.py', '2.0', '3.0'), val(r'learner\.loss.*SCALE', r'2\.0', r'3\.0'),
     files={'conf.py':'SCALE = 2.0\n'}, head='''exec(Path('conf.py').read_text())
def loss(pred, targ): return F.cross_entropy(pred*SCALE, targ)''', loss='loss')
case('the decorator of a loss', 'code', edit('helper.py', '2.', '3.'), r'code\.modules\.helper', also=r'learner\.loss',
     files={'helper.py':'''from functools import wraps
def times(f):
    @wraps(f)
    def g(pred, targ): return f(pred*2., targ)
    return g
'''}, head='''from helper import times
@times
def loss(pred, targ): return F.cross_entropy(pred, targ)''', loss='loss')
case('the script itself', 'code', edit('train.py', 'pred*2.', 'pred*3.'), r'code\.script', also=r'learner\.loss',
     head='def loss(pred, targ): return F.cross_entropy(pred*2., targ)', loss='loss')
case('the script itself, in a new process', 'code', edit('train.py', 'pred*2.', 'pred*3.'), r'code\.script', also=r'learner\.loss',
     head='def loss(pred, targ): return F.cross_entropy(pred*2., targ)', loss='loss', kind='command')
case('a helper, in a new process', 'code', edit('helper.py', '2.', '3.'), r'code\.modules\.helper', also=r'learner\.loss',
     files={'helper.py':HELPER}, head='from helper import loss', loss='loss', kind='command')

# --- flags and environment

case('seed of the run', 'seed', arg('2'), r'^seed: 1 -> 2', also='loaders.*seed|loaders.keyed|learner.callbacks.*seed', args=['1'],
     text=rows().replace('ReproCallback(1,', 'ReproCallback(int(arg),'))
case('default dtype', 'torch', arg('float64'), val(r'torch\.default_dtype', '32', '64'), also=r'learner\.|data\.|loaders\.',
     args=['float32'], head='torch.set_default_dtype(getattr(torch, arg))',
     dls=ROWS.replace('arange(160.)', 'arange(160.).double()').replace('(40,4)', '(40,4).to(torch.get_default_dtype())'))
BIG = 'nn.Sequential(nn.Linear(4,256), nn.ReLU(), nn.Linear(256,256), nn.ReLU(), nn.Linear(256,2))'
case('precision of matrix products', 'torch', arg('medium'), r'torch\.(matmul_precision|fp32_cpu)', also=r'torch\.',
     args=['highest'], head='torch.set_float32_matmul_precision(arg)', model=BIG)
case('oneDNN switched off', 'torch', arg('1'), val(r'torch\.mkldnn', '', ''), also=r'torch\.', args=[''], of=vision, files=pictures,
     before='torch.backends.mkldnn.enabled = not arg')
WIDE = 'nn.Sequential(nn.Linear(4,65536), nn.ReLU(), nn.Linear(65536,2))'
case('number of threads', 'torch', arg('2'), val(r'cpu\.threads', '1', '2'), args=['1'], head='''torch.set_num_threads(int(arg))
def loss(pred, targ): return pred.pow(2).mean()''', model='nn.Sequential(nn.Linear(4,40000), nn.BatchNorm1d(40000))', loss='loss')
case('number of threads, from the environment', 'environment', env(OMP_NUM_THREADS='2'), val(r'cpu\.threads', '1', '2'),
     also=r'env\.OMP_NUM_THREADS', head='def loss(pred, targ): return pred.pow(2).mean()',
     model='nn.Sequential(nn.Linear(4,40000), nn.BatchNorm1d(40000))', loss='loss', kind='script')
case('ONEDNN_DEFAULT_FPMATH_MODE', 'environment', env(ONEDNN_DEFAULT_FPMATH_MODE='BF16'), r'env\.ONEDNN_DEFAULT_FPMATH_MODE', of=vision,
     files=pictures, item='Resize(28)',
     model=CNN.replace('(1,8,3,2,1), nn.BatchNorm2d(8)', '(1,32,3,2,1), nn.ReLU(), nn.Conv2d(32,8,3), nn.BatchNorm2d(8)'), kind='command',
     maybe=True)
case('ONEDNN_MAX_CPU_ISA', 'environment', env(ONEDNN_MAX_CPU_ISA='AVX2'), r'env\.ONEDNN_MAX_CPU_ISA', also=r'cpu\.|torch\.build',
     of=vision, files=pictures, kind='script')
case('ATEN_CPU_CAPABILITY', 'environment', env(ATEN_CPU_CAPABILITY='default'), r'cpu\.isa|env\.ATEN_CPU_CAPABILITY',
     also=r'cpu\.|torch\.build|env\.ATEN', model='nn.Sequential(nn.Linear(4,64), nn.LayerNorm(64), nn.GELU(), nn.Linear(64,2))',
     kind='command')
case('MKL_CBWR', 'environment', env(MKL_CBWR='COMPATIBLE'), r'env\.MKL_CBWR', model=BIG, kind='script')

def notebook(text):
    "A program as a notebook: a cell for each line that stands at the left, and what belongs to it"
    import re
    sources = re.split(r'\n(?=[^\s)])', text.strip())
    cells = [dict(cell_type='code', execution_count=None, id=f'c{i}', metadata={}, outputs=[], source=o) for i,o in enumerate(sources)]
    return json.dumps(dict(cells=cells, metadata={}, nbformat=4, nbformat_minor=5))
case('a cell of a notebook', 'code', edit('train.ipynb', 'pred*2.', 'pred*3.'), r'code\.cells', also=r'learner\.loss|code\.script',
     text=notebook(rows(head='def loss(pred, targ): return F.cross_entropy(pred*2., targ)', loss='loss', kind='command')),
     script='train.ipynb', kind='command')
case('a base class in a helper', 'code', edit('helper.py', '2.', '3.'), r'code\.modules\.helper', also=r'learner\.arch',
     files={'helper.py':'''from torch import nn
class Base(nn.Module):
    def forward(self, x): return self.a(x)*2.
'''}, head='''from helper import Base
class Net(Base):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4,2)''', model='Net()')
case('a module of a package without __init__', 'code', edit('ns/deep.py', '2.', '3.'), r'code\.modules\.ns\.deep', also=r'learner\.loss',
     files={'ns/deep.py':HELPER}, head='from ns.deep import loss', loss='loss')
case('a helper that makes the data', 'code', edit('helper.py', '2.', '3.'), r'code\.modules\.helper', also=r'data\.',
     files={'helper.py':'def scaled(x): return x*2.\n'}, head='import helper',
     dls=ROWS.replace('view(40,4)', 'view(40,4)\nx = helper.scaled(x)'))
case('a callback in a helper', 'code', edit('helper.py', '.9', '.5'), r'code\.modules\.helper', also=r'learner\.callbacks',
     files={'helper.py':'''from fastai.callback.core import Callback
class Shrink(Callback):
    def before_step(self):
        for p in self.model.parameters(): p.grad.mul_(.9)
'''}, head='from helper import Shrink', cbs='Shrink()', more='opt_func=SGD')

def loss_case(name, head, loss='loss', names=r'learner\.loss.*', a=r'2\.0', b=r'3\.0', **kw):
    case(name, 'loss', arg('3.0'), names + f'.*{a}.*->.*{b}', args=['2.0'], head=head, loss=loss, **kw)
loss_case('closure of a closure', '''def make(k):
    def inner(x): return x*k
    def loss(pred, targ): return F.cross_entropy(inner(pred), targ)
    return loss''', 'make(float(arg))', r'learner\.loss.*\bk')
loss_case('constant of a function that a loss calls', '''SCALE = float(arg)
def inner(x): return x*SCALE
def loss(pred, targ): return F.cross_entropy(inner(pred), targ)''', names=r'learner\.loss.*SCALE')
loss_case('constant in a comprehension in a loss', '''SCALE = float(arg)
def loss(pred, targ): return sum([F.cross_entropy(pred*k*SCALE, targ) for k in (1,2)])''', names=r'learner\.loss.*SCALE')
loss_case('tensor that a loss names', '''SCALE = tensor([1.,float(arg)])
def loss(pred, targ): return F.cross_entropy(pred*SCALE, targ)''', names=r'learner\.loss.*SCALE', a='', b='')
loss_case('arguments of argparse that a loss names', '''import argparse
args = argparse.Namespace(scale=float(arg), name='x')
def loss(pred, targ): return F.cross_entropy(pred*args.scale, targ)''', names=r'learner\.loss.*scale')
loss_case('entry of a nested dict that a loss names', '''CFG = dict(loss=dict(scale=float(arg)), seed=[1,2])
def loss(pred, targ): return F.cross_entropy(pred*CFG['loss']['scale'], targ)''', names=r'learner\.loss.*scale')
loss_case('attribute of the object of a bound method', '''class Losses:
    def __init__(self, k): self.k = k
    def scaled(self, pred, targ): return F.cross_entropy(pred*self.k, targ)''', 'Losses(float(arg)).scaled', r'learner\.loss.*\bk')
loss_case('loss with a list of losses', '''class Sum(nn.Module):
    def __init__(self, parts):
        super().__init__()
        self.parts = parts
    def forward(self, pred, targ): return sum(w*f(pred, targ) for w,f in self.parts)''',
     'Sum([(1., nn.CrossEntropyLoss()), (float(arg), nn.MultiMarginLoss())])', r'learner\.loss.*parts')
loss_case('margin of a loss in a loss', '''class Outer(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner
    def forward(self, pred, targ): return self.inner(pred, targ)''', 'Outer(nn.MultiMarginLoss(margin=float(arg)/10))',
     r'learner\.loss.*margin', r'0\.2', r'0\.3')
case('argument that a loss reads while it runs', 'loss', arg('3.0'), val(r'code\.argv', r'2\.0', r'3\.0'), args=['2.0'],
     head='def loss(pred, targ): return F.cross_entropy(pred*float(sys.argv[1]), targ)', loss='loss')
case('environment variable whose name is kept elsewhere', 'loss', env(SCALE='3.0'), r'code\.env\.SCALE: .*3\.0', head="""NAME = 'SCALE'
def loss(pred, targ): return F.cross_entropy(pred*float(os.environ.get(NAME, 1)), targ)""", loss='loss')
case('optimizer reset between two fits', 'schedule', arg('1'), r'fits\.2\.learner\.opt_state', args=[''],
     fit='[learn.fit(1), learn.fit(1, reset_opt=bool(arg))]')
case('environment variable that a loss reads while it runs', 'loss', env(SCALE='3.0'), r'code\.env\.SCALE: not set -> 3\.0',
     head="def loss(pred, targ): return F.cross_entropy(pred*float(os.environ.get('SCALE', '2.0')), targ)", loss='loss')
case('file that a transform reads while it runs', 'data', edit('k.txt', '2.0', '3.0'), r'k\.txt|end\.weights', of=tfms, items=', f',
     files={'k.txt':'2.0'}, head="def f(o): return o*float(Path('k.txt').read_text())")
def tfm_case(name, head, item, names, a=r'2\.0', b=r'3\.0'):
    case(name, 'data', arg('3.0'), r'(loaders|data)\..*' + names + f'.*{a}.*->.*{b}', also=r'(state\.)?data\.', args=['2.0'], of=tfms, items=f', {item}', head=head)
tfm_case('argument of operator.methodcaller', 'from operator import methodcaller', "methodcaller('mul', float(arg))", '')
tfm_case('cached function in a transform', '''from functools import lru_cache
K = float(arg)
@lru_cache
def scale(n): return n*K
def f(o): return o*scale(1)''', 'f', 'K')
tfm_case('encodes for one type only', '''class Mine(Transform):
    def __init__(self, k): self.k = k
    def encodes(self, o:str): return o
    def encodes(self, o:Tensor): return o*self.k''', 'Mine(float(arg))', r'\bk')
tfm_case('a namedtuple of settings', '''from collections import namedtuple
Config = namedtuple('Config', 'scale shift')
class Mine(Transform):
    def __init__(self, cfg): self.cfg = cfg
    def encodes(self, o:Tensor): return o*self.cfg.scale''', 'Mine(Config(float(arg), 0))', '')
tfm_case('object that a lambda in a transform calls', '''class Scaler:
    def __init__(self, k): self.k = k
    def run(self, o): return o*self.k
scaler = Scaler(float(arg))''', 'lambda o: scaler.run(o)', r'\bk')
tfm_case('statistics that setups computes', '''class Center(Transform):
    def setups(self, items): self.center = items[0].mean()*float(arg)
    def encodes(self, o:Tensor): return o-self.center''', 'Center()', 'center', '', '')

case('after_item of the loaders', 'loaders', arg('3.0'), val(r'(loaders|data)\..*scale', r'2\.0', r'3\.0'), args=['2.0'], of=tfms,
     dl=', after_item=times(float(arg))', head='def times(scale):\n    def f(o:Tensor): return o*scale\n    return f')
case('weights of weighted_dataloaders', 'loaders', arg('5'), r'(loaders|data)\..*(weights|wgts)', args=['1'], of=tfms,
     make='weighted_dataloaders', dl=', wgts=[1]*16+[int(arg)]*16')
case('partial_n of partial_dataloaders', 'loaders', arg('16'), val(r'(loaders|data)\..*(partial_n|\bn)', '24', '16'),
     also=r'learner\.(schedule|steps)', args=['24'], of=tfms, make='partial_dataloaders', dl=', partial_n=int(arg)')
case('attribute of a loader subclass', 'loaders', arg('3'), val(r'(loaders|data)[.:].*skip', '1', '3'), args=['1'],
     head='''class Skip(TfmdDL):
    skip = int(arg)
    def get_idxs(self): return super().get_idxs()[self.skip:]''',
     text=tfms(head='''class Skip(TfmdDL):
    skip = int(arg)
    def get_idxs(self): return super().get_idxs()[self.skip:]''').replace('list(range(32,40)))', 'list(range(32,40))), dl_type=Skip'))
case('sort_func of SortedDL', 'loaders', arg('-1'), val(r'(loaders|data)\..*sign', '1', '-1'), args=['1'],
     text=tfms(head='''from fastai.text.data import SortedDL
def key(sign): return lambda o: sign*float(o[0].sum())''', dl=', sort_func=key(int(arg)), shuffle=False')
         .replace('list(range(32,40)))', 'list(range(32,40))), dl_type=SortedDL'))
case('configuration that capture is given', 'config', arg('0.02'), val(r'config\.lr', r'0\.01', r'0\.02'), also=lrs, args=['0.01'],
     kind='capture',
     text=rows(kind='capture', more='lr=float(arg)', fit='learn.fit(1)').replace('content=True', 'config=dict(lr=float(arg))'))
case('float32 precision of oneDNN', 'torch', arg('bf16'), r'torch\.(fp32_\w+|mkldnn)', also=r'torch\.', args=['ieee'],
     head='torch.backends.mkldnn.matmul.fp32_precision = arg', model=BIG)
case('steps of a generator that a model holds', 'model', arg('3'), val(r'learner\.(arch|init).*', '', ''), args=['2'],
     head='''class Net(Module):
    def __init__(self, seed): self.a,self.mask = nn.Linear(4,2),(torch.rand(4, generator=torch.Generator().manual_seed(seed))>.5).float()
    def forward(self, x): return self.a(x*self.mask)''', model='Net(int(arg))')
case('scale of gradients in a function of autograd', 'model', arg('3.0'), val(r'learner\.arch.*SCALE', r'2\.0', r'3\.0'), args=['2.0'],
     head='''SCALE = float(arg)
class Scale(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x): return x.clone()
    @staticmethod
    def backward(ctx, g): return g*SCALE
class Net(Module):
    def __init__(self): self.a,self.b = nn.Linear(4,8),nn.Linear(8,2)
    def forward(self, x): return self.b(Scale.apply(self.a(x)))''', model='Net()')
case('spread of weights that a module draws', 'model', arg('0.5'), r'learner\.init', also=r'learner\.arch', args=['0.1'],
     head='''class Net(Module):
    def __init__(self, std):
        self.a = nn.Linear(4,2)
        nn.init.normal_(self.a.weight, std=std)
    def forward(self, x): return self.a(x)''', model='Net(float(arg))')

# --- what must not matter

def nothing(run): pass

def moved(run):
    "The whole program in another folder"
    to = Path(run.home).parent/'elsewhere'/'deep'
    to.parent.mkdir()
    Path(run.folder).rename(to)
    run.folder = str(to)

def fresh(run):
    "A new interpreter instead of a fork: what the forked cases show holds for it too"
    run.kind = 'script'

def other_host():
    import platform
    socket.gethostname = lambda: 'another-host'
    platform.node = lambda: 'another-host'

def backwards():
    "The file system lists the files in another order"
    walk,scandir,listdir = os.walk,os.scandir,os.listdir
    def _walk(*args, **kwargs):
        for top,folders,files in walk(*args, **kwargs):
            folders.reverse()
            yield top,folders,files[::-1]
    os.walk,os.listdir = _walk,lambda *args: listdir(*args)[::-1]

def touched(folder):
    for o in folder.rglob('*.p*'): os.utime(o, (1e9,1e9))

same = dict(of=vision, files=pictures, batch='*aug_transforms()', block='ReproDataBlock')
case('nothing', 'equal', nothing, **same)
case('nothing, in new processes', 'equal', nothing, **{**same, 'kind':'script'})
case('nothing, under fastai-repro-run', 'equal', nothing, kind='command', **same)
case('a new interpreter instead of a fork', 'equal', fresh, files={**pictures, 'helper.py':HELPER}, of=vision,
     head='from helper import loss', loss='loss', batch='*aug_transforms()')
case('nothing, with tables', 'equal', nothing, of=tabular, files=table)
case('nothing, with texts', 'equal', nothing, of=text, files=texts)
case('nothing, with ratings', 'equal', nothing, of=collab, files=ratings)
case("nothing, with torch's loaders", 'equal', nothing, of=plain)
SETS = """NAMES,FROZEN = {'conv','pool','relu','flat'},frozenset('abcdef')
class Net(Module):
    kinds = {'x','y','z'}
    def __init__(self): self.a,self.known = nn.Linear(4,2),{'one':{'p','q'}, 'two':{'r','s','t'}}
    def forward(self, x): return self.a(x) if {'a','b'} & FROZEN and NAMES and self.kinds else x
def loss(pred, targ): return F.cross_entropy(pred, targ)*(len(NAMES)+('u' in {'u','v','w'}))"""
case('PYTHONHASHSEED', 'equal', env(PYTHONHASHSEED='7'), head=SETS, model='Net()', loss='loss', kind='script')
case('another folder', 'equal', moved, of=vision, files=pictures, items='sorted(get_image_files(Path(p).resolve()))',
     batch='*aug_transforms()')
case('another folder, with a helper', 'equal', moved, files={'helper.py':HELPER}, head='from helper import loss', loss='loss')
case('number of workers', 'equal', arg('2'), args=['0'],
     text=vision(batch='*aug_transforms()').replace('num_workers=0', 'num_workers=int(arg)'), files=pictures)
case("number of workers of torch's loaders", 'equal', arg('2'), args=['0'], of=plain, options='shuffle=True, num_workers=int(arg)')
case('pin_memory', 'equal', arg('1'), args=[''], text=rows().replace('num_workers=0', 'num_workers=0, pin_memory=bool(arg)'))
case('host name', 'equal', started_with(other_host), **same)
case('order in which files are listed', 'equal', started_with(backwards), **{**same, 'items':'get_image_files(p)'})
case('time of change of the files', 'equal', on_files(touched), **same)
case('an argument that only prints', 'equal', arg('--verbose'), before="if arg: print('training', len(dls.train))")
case('an argument that only prints, under fastai-repro-run', 'equal', arg('-v'), before="if arg: print('training', len(dls.train))",
     kind='command')
COMMENTED = '''"A helper"
import torch.nn.functional as F

def loss(pred, targ):
    "Scaled"
    # twice
    return F.cross_entropy(pred*2., targ)
'''
case('a comment in a helper', 'equal', edit('helper.py', '# twice', '# two times, as in the paper'), files={'helper.py':COMMENTED},
     head='from helper import loss', loss='loss')
case('docstrings in a helper', 'equal',
     on_files(lambda p: (p/'helper.py').write_text(COMMENTED.replace('"A helper"', '"Losses"')
              .replace('"Scaled"', '"""Scaled, for sharper\n    gradients"""'))),
     files={'helper.py':COMMENTED}, head='from helper import loss', loss='loss')
case('layout of a helper', 'equal',
     edit('helper.py', 'F.cross_entropy(pred*2., targ)', 'F.cross_entropy(\n        pred * 2.,\n        targ)'),
     files={'helper.py':COMMENTED}, head='from helper import loss', loss='loss')
case('a comment in the script', 'equal', edit('train.py', '# twice', '# two times\n    # as in the paper'), head='''def loss(pred, targ):
    # twice
    return F.cross_entropy(pred*2., targ)''', loss='loss')
case('a file that nobody imports', 'equal', on_files(lambda p: (p/'other.py').write_text('x = 1\n')))
case('watchers', 'equal', arg('1'), args=[''], cbs="*([TraceCallback('t.jsonl'),CSVLogger()] if arg else [])")
case('another metric', 'equal', arg('1'), args=[''], more='metrics=[accuracy, *([error_rate] if arg else [])]')
case('looked first', 'equal', arg('1'), args=[''], before='if arg: dls.one_batch(); learn.validate(); learn.get_preds()', **same)
case('lr_find first', 'equal', arg('1'), args=[''], before='if arg: learn.lr_find(num_it=4, show_plot=False)', **same)
case('drew numbers first', 'equal', arg('1'), args=[''],
     before='if arg: import random; random.random(); np.random.rand(3); torch.rand(3)', **same)
case('another training first', 'equal', arg('1'), args=[''],
     before='''if arg:
    first = Learner(dls, nn.Sequential(nn.Linear(4,2)), loss_func=CrossEntropyLossFlat(), cbs=ReproCallback(1))
    with first.no_bar(), first.no_logging(): first.fit(1)''')
case('progress bar', 'equal', arg('1'), args=[''],
     text=rows().replace('with learn.no_bar(), learn.no_logging(): ', 'if not arg: learn.remove_cb(ProgressCallback)\n'))
case('environment variables that mean nothing here', 'equal',
     env(USER='someone', COLUMNS='60', LANG='C', TZ='Asia/Tokyo', LOGLEVEL='debug'), kind='script')
case('order of the keys in a configuration', 'equal', on_files(lambda p: (p/'c.json').write_text('{"wd": 0.1, "lr": 0.01}')),
     files={'c.json':'{"lr": 0.01,\n "wd": 0.1}'}, head="import json\ncfg = json.load(open('c.json'))", more="wd=cfg['wd']",
     fit="learn.fit(1, cfg['lr'])")
case('a cache that functools fills', 'equal', arg('1'), args=[''], of=tfms, items=', f', head='''from functools import lru_cache
@lru_cache
def scale(k): return k/10
def f(o): return o*scale(len(o))''', before='if arg: dls.one_batch(); scale(7)')
case('a cache that a module fills', 'equal', arg('1'), args=[''], head='''class Net(Module):
    def __init__(self): self.a,self.cache = nn.Linear(4,2),{}
    def forward(self, x):
        if len(x) not in self.cache: self.cache[len(x)] = torch.full((len(x),1), 2.)
        return self.a(x)*self.cache[len(x)]''', model='Net()', before='if arg: model(x[:8])')
