"""Plants faults in a training, one at a time, and says whether `verify` finds each at its step and with its cause.

    python benchmarks/faults.py [--quick] [--cuda] [--out benchmarks/results/faults]

Every run is a process of its own. The controls have no fault: 20 runs, 3 with --quick. --cuda adds kernels that are really not
deterministic, ConvNeXt's and a U-Net's, and needs a GPU. Writes a table as Markdown and the findings as JSON.
"""
import json,os,random,shutil,sys,tempfile,time,warnings
from functools import partial
from pathlib import Path
warnings.filterwarnings('ignore')
from fastai.vision.all import *
from fastcore.script import call_parse
from fastai_repro import digits_path,set_seed,ReproCallback
from fastai_repro.verify import verify

def digits(n=160, folder=None):
    "The first `n` digits, in `folder` if it is given"
    files = sorted(get_image_files(digits_path()), key=lambda o: o.stem)[:n]
    return files if folder is None else [Path(folder)/o.parent.name/o.name for o in files]

class Dim(Transform):
    "Item transform that draws from `random`, as it should"
    def encodes(self, x:PILImage): return PILImage.create((np.array(x)*(1-random.random()/4)).astype('uint8'))

def loaders(item=(), batch=(), folder=None):
    item,batch = ([o() for o in fs] for fs in (item, batch))  # made in the process that trains
    block = DataBlock((ImageBlock,CategoryBlock), splitter=RandomSplitter(0.2, seed=1), get_y=parent_label, item_tfms=[Dim(), *item, Resize(16)], batch_tfms=[*aug_transforms(size=16), *batch])
    return block.dataloaders(digits(folder=folder), bs=16, num_workers=0)

def net(*more): return nn.Sequential(nn.Conv2d(3,8,3,2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), Flatten(), *(o() for o in more), nn.Linear(8,10))

def learner(dls=None, model=None, cbs=None, **kwargs):
    "Seeded like a good program's"
    set_seed(42)
    learn = Learner(dls() if dls else loaders(), (model or net)(), loss_func=CrossEntropyLossFlat(), cbs=cbs, **kwargs)
    learn.remove_cb(ProgressCallback)
    learn.logger = noop
    return learn

class OwnNumpy(Transform):
    def __init__(self): self.rng = np.random.default_rng()
    def encodes(self, x:PILImage): return PILImage.create((np.array(x)*self.rng.uniform(0.5,1)).astype('uint8'))

class Clock(Transform):
    def encodes(self, x:PILImage): return PILImage.create((np.array(x)*(1-time.time_ns()%97/200)).astype('uint8'))

class Urandom(Transform):
    def encodes(self, x:TensorImage): return x + os.urandom(1)[0]/255

class DrawAt(Callback):
    def __init__(self, step): self.step = step
    def after_loss(self):
        if self.training and self.train_iter==self.step: random.random()

class OwnDropout(nn.Module):
    def __init__(self):
        super().__init__()
        self.rng = torch.Generator()
        self.rng.seed()
    def forward(self, x): return x * (torch.rand(x.shape, generator=self.rng)>0.1).to(x.device) if self.training else x

class NoisyFrom(nn.Module):
    "Noise of 1e-7 from a step on"
    def __init__(self, step): super().__init__(); self.step,self.n = step,0
    def forward(self, x):
        if not self.training: return x
        self.n += 1
        return x + 1e-7*(1+os.urandom(1)[0]) if self.n>self.step else x

class RoughGrad(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x): return x.clone()
    @staticmethod
    def backward(ctx, g): return g*(1+os.urandom(1)[0]*1e-6)

class Rough(nn.Module):
    "The backward of a kernel that is not deterministic, on a CPU"
    def forward(self, x): return RoughGrad.apply(x)

def noisy_step(p, lr, **kwargs): p.data.add_(p.grad, alpha=-lr*(1+os.urandom(1)[0]*1e-6))

class LrAt(Callback):
    order = 9_000
    def __init__(self, step, lr): self.step,self.lr = step,lr
    def before_step(self):
        if self.train_iter>=self.step: self.opt.set_hyper('lr', self.lr)

def late_seed():
    learn = learner()
    torch.seed()
    learn.model = net()
    set_seed(42)
    return learn

def drawing(variant): return learner(cbs=DrawAt(7) if variant else None)
def other_lr(variant): return learner(cbs=LrAt(9, 1e-3*(1+variant)))
def pixel(folders, variant): return learner(partial(loaders, folder=folders[variant]))

def unet():
    "A kernel that is really not deterministic"
    set_seed(42, reproducible=False)
    torch.backends.cudnn.deterministic = False
    fs = digits()
    dls = DataBlock((ImageBlock, MaskBlock(codes=list('ab'))), get_y=lambda o: (np.array(Image.open(o))>100).astype('uint8'), splitter=RandomSplitter(0.2, seed=1),
                    item_tfms=Resize(64)).dataloaders(fs, bs=16, num_workers=0, device='cuda')
    learn = unet_learner(dls, resnet18, pretrained=False, n_out=2)
    learn.remove_cb(ProgressCallback)
    return learn

def train(learn):
    with learn.no_bar(), learn.no_logging(): learn.fit(2)

def with_a_pixel(tmp):
    "Two folders of digits, one pixel of one file apart, and the step that sees it first"
    folders = [Path(tmp)/o for o in 'ab']
    for o in folders: shutil.copytree(digits_path(), o)
    learn = learner()
    item = learn.dls.train_ds.items[5]
    f = folders[1]/item.parent.name/item.name
    im = np.array(Image.open(f))
    im[3,3] ^= 64
    Image.fromarray(im).save(f)
    seen = []
    class See(Callback):
        def before_batch(self):
            if self.training and not seen and 5 in list(self.dl._DataLoader__idxs)[self.iter*16:(self.iter+1)*16]: seen.append(self.train_iter)
    train(learn.add_cb(See()))
    return [str(o) for o in folders],seen[0]

def faults(tmp):
    "Name, learner, what is varied, and what must be found: what, step, name, cause"
    folders,step = with_a_pixel(tmp)
    yield 'unseeded numpy generator in an item transform', partial(learner, partial(loaders, item=[OwnNumpy])), None, ('data', 0, 'x0', 'OwnNumpy (a generator of its own)')
    yield 'transform that reads the clock', partial(learner, partial(loaders, item=[Clock])), None, ('data', 0, 'x0', 'Clock (the clock)')
    yield 'batch transform that uses os.urandom', partial(learner, partial(loaders, batch=[Urandom])), None, ('data', 0, 'x0', 'Urandom (os.urandom)')
    yield 'one pixel changed in one file', partial(pixel, folders), dict(variant=[0,1]), ('data', step, 'x0', 'only the items [5]')
    yield 'another worker count with plain fastai', learner, dict(num_workers=[0,2]), ('data', 0, 'x0', '0 and 2 workers')
    yield 'callback that draws from random at step 7', drawing, dict(variant=[0,1]), ('generators', 7, 'python', 'DrawAt')
    yield 'dropout with its own generator', partial(learner, model=partial(net, OwnDropout)), None, ('forward', 0, '5', 'a generator of its own')
    yield 'weights initialised before seeding', late_seed, None, ('init', 0, '0.weight', 'before the seed was set')
    yield "noise of 1e-7 in one layer's output from step 5 on", partial(learner, model=partial(net, partial(NoisyFrom, 5))), None, ('forward', 5, '5', 'os.urandom')
    yield 'backward that is not deterministic', partial(learner, model=partial(net, Rough)), None, ('backward', 0, '5', 'no seed reaches')
    yield 'optimizer that adds noise', partial(learner, opt_func=partial(Optimizer, cbs=[noisy_step])), None, ('optimizer', 0, '', 'noisy_step')
    yield 'learning rate changed at step 9', other_lr, dict(variant=[0,1]), ('optimizer', 9, 'lr of parameter group 0', 'hyper-parameter')

def cuda_faults():
    yield 'unet_learner without cudnn.deterministic', unet, None, (('forward','backward'), None, '', 'deterministic')

def judge(v, expected):
    "Was the fault found as it should?"
    if not v.divergence: return False
    what,step,name,cause = expected
    d = v.divergence
    return d.what in ([what] if isinstance(what, str) else what) and step in (None, d.step) and (not name or d.name==name) and cause in d.cause

def row(name, make, vary, expected, runs=2):
    v = verify(make, train, runs, vary, progress=False)
    ok = v.same if expected is None else judge(v, expected)
    d = v.divergence
    found = 'no difference' if v.same else f'{d.what}, step {d.step}, {d.name}'
    print(f"{'ok  ' if ok else 'FAIL'}  {name:55} {found}{'' if v.same else ': '+d.cause}", flush=True)
    return dict(fault=name, ok=ok, expected=expected, runs=v.runs, steps=v.steps, found=found, cause=d.cause if d else '', remarks=d.remarks if d else [])

def table(rows):
    lines = ['| planted | runs | found | cause given | as expected |', '|---|---|---|---|---|']
    return '\n'.join([*lines, *(f"| {o['fault']} | {o['runs']} | {o['found']} | {o['cause']} | {'yes' if o['ok'] else 'NO'} |" for o in rows)]) + '\n'

@call_parse
def main(
    quick:bool=False, # Three control runs instead of 20
    cuda:bool=False, # Also a kernel that is really not deterministic
    only:str='', # Only faults whose name has this in it
    out:str='', # Write `OUT.md` and `OUT.json`
):
    "Plant faults and see whether they are found"
    with tempfile.TemporaryDirectory() as tmp:
        todo = [*faults(tmp), *(cuda_faults() if cuda else [])]
        rows = [row(*o) for o in todo if only in o[0]]
        if not only:
            rows.append(row('no fault: plain fastai, seeded', learner, None, None, runs=3 if quick else 20))
            rows.append(row('no fault: `ReproCallback`, 0 and 2 workers', partial(learner, cbs=ReproCallback(42)), dict(num_workers=[0,2]), None, runs=4 if quick else 20))
    if out:
        Path(f'{out}.md').write_text(table(rows))
        Path(f'{out}.json').write_text(json.dumps(rows, indent=1) + '\n')
    return 0 if all(o['ok'] for o in rows) else 1
