"""The trainings of `kills.py`, each as small as it gets; what the hidden ones keep beside their weights is in their names.

They stand in a module of their own so that a server can import it once and fork a process for each training.
"""
import json,os,random,signal,time,warnings
from collections import deque
from pathlib import Path
warnings.filterwarnings('ignore')
import invariance as iv
from fastai.vision.all import *
from fastai_repro import ReproCallback,ResumeCallback,digest,resume,seeded,set_seed

epochs = 3

# --- parts

def scans(kind, _, num_workers=0):
    return kind.dls(lambda: DataLoaders.from_dsets(iv.Scans(0,160), iv.Scans(160,200), bs=16, num_workers=num_workers))

def images(kind, path, num_workers=0): return iv.apps['image classification'][0](kind, path, num_workers=num_workers)

def body(pretrained=False):
    return nn.Sequential(nn.Conv2d(3,8,3,2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8,8,3,2), nn.ReLU(), nn.AdaptiveAvgPool2d(1))

def net(*layers):
    head = nn.ReLU(), nn.AdaptiveAvgPool2d(1), Flatten(), nn.Dropout(0.2), nn.Linear(8,10)
    return nn.Sequential(nn.Conv2d(1,8,3,2), nn.BatchNorm2d(8), *layers, *head)

def halves(model): return [params(model[:3]), params(model[3:])]

def vision(dls): return vision_learner(dls, body, pretrained=False, metrics=accuracy)

def small(*layers, cls=Learner, loss=None, **kw):
    "A function that makes a learner of a small net with a layer more, or with a loss of its own"
    return lambda dls: cls(dls, net(*(o() for o in layers)), loss_func=loss() if loss else None, metrics=accuracy, **kw)

# --- what moves: in layers

class Counts(nn.Module):
    "Grows with every call"
    def __init__(self):
        super().__init__()
        self.calls = 0
    def forward(self, x):
        self.calls += 1
        return x*(1 + self.calls/30)

class Walk(nn.Module):
    "Scales by a random walk"
    def __init__(self):
        super().__init__()
        self.rng,self.at = random.Random(0),1.
    def forward(self, x):
        self.at += (self.rng.random()-0.5)/4
        return x*self.at

class Walker:
    "A random walk, as an object of the user's own class"
    def __init__(self): self.rng,self.at = random.Random(0),1.
    def step(self):
        self.at += (self.rng.random()-0.5)/4
        return self.at

class Strolls(nn.Module):
    def __init__(self):
        super().__init__()
        self.walker = Walker()
    def forward(self, x): return x*self.walker.step()

class Recalls(nn.Module):
    "Scales by the mean of the last calls"
    def __init__(self):
        super().__init__()
        self.last = deque(maxlen=5)
    def forward(self, x):
        self.last.append(x.abs().mean().item())
        return x*(sum(self.last)/len(self.last))

class Meter:
    "A running mean"
    def __init__(self): self.n,self.mean = 0,1.
    def add(self, x):
        self.n += 1
        self.mean += (x-self.mean)/self.n

class Meters(nn.Module):
    def __init__(self):
        super().__init__()
        self.meter = Meter()
    def forward(self, x):
        self.meter.add(x.abs().mean().item())
        return x*self.meter.mean

class Shared(nn.Module):
    "Grows with every call of any of its kind"
    calls = 0
    def forward(self, x):
        type(self).calls += 1
        return x*(1 + self.calls/30)

def counting():
    "A hook that counts in its closure"
    n = 0
    def hook(module, inp, out):
        nonlocal n
        n += 1
        return out*(1 + n/30)
    return hook

def hooked(dls):
    learn = small()(dls)
    learn.model[1].register_forward_hook(counting())
    return learn

# --- in losses

class Anneals(nn.Module):
    "Smooths the labels more and more"
    def __init__(self):
        super().__init__()
        self.calls = 0
    def forward(self, x, y):
        self.calls += 1
        return F.cross_entropy(x, y, label_smoothing=min(0.5, self.calls/60))

class Balances(nn.Module):
    "Weighs classes by how often they came, counted in a buffer"
    def __init__(self):
        super().__init__()
        self.register_buffer('seen', torch.ones(10))
    def forward(self, x, y):
        self.seen += torch.bincount(y, minlength=10).float()
        return F.cross_entropy(x, y, weight=self.seen.mean()/self.seen)

def annealing():
    "A loss that counts in its closure"
    calls = 0
    def loss(x, y):
        nonlocal calls
        calls += 1
        return F.cross_entropy(x, y, label_smoothing=min(0.5, calls/60))
    return loss

# --- in callbacks and learners

class Relates(Callback):
    "Divides the loss by its running mean, which it keeps on the learner"
    def before_fit(self): self.learn.ema_loss = 1.
    def after_loss(self):
        if not self.training: return
        self.learn.ema_loss = 0.9*self.ema_loss + 0.1*self.loss.item()
        self.learn.loss_grad = self.loss_grad/self.ema_loss

class Averages(Callback):
    "The mean of the weights after each step, put into the model at the end"
    def before_fit(self): self.n,self.means = 0,[p.detach().clone() for p in self.model.parameters()]
    def after_batch(self):
        if not self.training: return
        self.n += 1
        for m,p in zip(self.means, self.model.parameters()): m.lerp_(p.detach(), 1/self.n)
    def after_fit(self):
        with torch.no_grad():
            for m,p in zip(self.means, self.model.parameters()): p.copy_(m)

class Cools(Learner):
    "Its learning rate follows the running mean of the loss"
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.heat = 1.
    def _do_one_batch(self):
        if self.training: self.opt.set_hyper('lr', 0.01*self.heat)
        super()._do_one_batch()
        if self.training: self.heat = 0.9*self.heat + 0.1*self.loss.item()

class Watch(Callback):
    "Says which fit it is, and kills the process at the step of the environment variable KILL_AT"
    order = 2000  # after the checkpoint
    def before_train(self): print('phase', 1 if getattr(self.opt, 'frozen_idx', 0) else 2, flush=True)
    def after_batch(self):
        if self.training and self.train_iter==int(os.environ.get('KILL_AT', 0)): os.kill(os.getpid(), signal.SIGKILL)

def trackers():
    "The rate is reduced at epochs 2 and 4, the training stops at 5, and the model of an epoch between is loaded"
    far = dict(min_delta=0.5)
    return [EarlyStoppingCallback(patience=5, **far), SaveModelCallback(min_delta=0.03), ReduceLROnPlateau(patience=2, factor=2, **far)]

# --- trainings

def one_cycle(learn, cbs): learn.fit_one_cycle(epochs, 0.01, cbs=cbs)
def flat(n): return lambda learn,cbs: learn.fit(n, 0.01, cbs=cbs)
def tuned(learn, cbs): learn.fine_tune(epochs-1, 0.01, freeze_epochs=1, cbs=cbs)

class Case:
    "A training: how loaders, learner and callbacks are made, how it is fitted, and if it has a state that is easily missed"
    def __init__(self, learn=None, fit=one_cycle, dls=scans, data=None, cbs=list, hidden=False, num_workers=0, kill_at=15): store_attr()

def app(name, **kw): return Case(iv.apps[name][1], dls=iv.apps[name][0], data=iv.apps[name][2], **kw)
def hidden(*args, **kw): return Case(*args, hidden=True, **kw)
def precision(): return MixedPrecision('fp16' if default_device().type=='cuda' else 'bf16')

cases = {
    'images, MixUp':                      Case(vision, dls=images, data=iv.digits_at, cbs=lambda: [MixUp()]),
    'images, 2 workers':                  Case(vision, dls=images, data=iv.digits_at, num_workers=2),
    'images, fine_tune':                  Case(vision, tuned, images, iv.digits_at),
    'tabular':                            app('tabular'),
    'text classification':                app('text classification'),
    'language model':                     app('language model'),
    "torch's loaders, fit":               app('torch loaders', fit=flat(epochs)),
    "torch's loaders, fine_tune":         Case(small(splitter=halves), tuned, iv.torch_loaders),
    'mixed precision':                    Case(vision, dls=images, data=iv.digits_at, cbs=lambda: [precision()]),
    'layer: counter':                     hidden(small(Counts)),
    'layer: `random.Random` and a float': hidden(small(Walk)),
    "layer: object with `random.Random`": hidden(small(Strolls)),
    'layer: `deque`':                     hidden(small(Recalls)),
    "layer: object of the user's class":  hidden(small(Meters)),
    'layer: class attribute':             hidden(small(Shared)),
    'hook: counter in its closure':       hidden(hooked),
    'loss: counter':                      hidden(small(loss=Anneals)),
    'loss: buffer':                       hidden(small(loss=Balances)),
    'loss: counter in its closure':       hidden(small(loss=annealing)),
    'callback: value kept on `learn`':    hidden(small(), cbs=lambda: [Relates()]),
    'callback: averaged weights':         hidden(small(), cbs=lambda: [Averages()]),
    'callbacks: stop, save, lower lr':   hidden(small(), flat(12), cbs=trackers, kill_at=35),
    'subclass of `Learner`':              hidden(small(cls=Cools), flat(epochs)),
}

# --- a process

def without_state():
    "Take the mechanism out: only weights, buffers, the optimizer and what fastai's recorder and scheduler keep come back from a checkpoint"
    put,own = resume._put_state,{'cbs.recorder#1','cbs.param_scheduler#1','opt.frozen_idx',*(f'learn.{o}' for o in 'epoch train_iter pct_train smooth_loss final_record'.split())}
    def put_less(learn, state, *args, **kwargs):
        rest = {**state['rest'], 'roots':{k:v for k,v in state['rest']['roots'].items() if k in own}}
        put(learn, {**state, 'rest':rest}, *args, **kwargs)
    resume._put_state = put_less

def learner(case, kind, folder, cbs=()):
    dls = case.dls(kind, folder.parent/case.data.__name__ if case.data else None, num_workers=case.num_workers)
    with seeded(42, 'init'): learn = case.learn(dls)
    learn.add_cbs([*case.cbs(), *cbs])
    learn.path = folder
    return learn

def train_plain(case, folder):
    "fastai's own way to go on: weights and optimizer of the last whole epoch"
    done = len(list((folder/'models').glob('*.pth')))
    set_seed(42, reproducible=True)
    learn = learner(case, iv.plain, folder, [Watch()])
    if done: learn.load(f'model_{done-1}', with_opt=True, weights_only=False)
    set_seed(42, reproducible=True)
    learn.fit_one_cycle(epochs, 0.01, cbs=SaveModelCallback(every_epoch=True, with_opt=True), start_epoch=done)
    return learn

def train(name, folder, device='cpu', plain=False, less=False, kill_at=0):
    "Train `name` with its checkpoint in `folder`; the last line printed has the digests"
    torch.set_num_threads(1)
    default_device(device=='cuda')
    os.environ['KILL_AT'] = str(kill_at)
    if less: without_state()
    case,folder,start = cases[name],Path(folder),time.time()
    if plain: learn = train_plain(case, folder)
    else: case.fit(learn := learner(case, iv.ours, folder, [ReproCallback(42), Watch()]), [ResumeCallback(folder/'run.ckpt', every=1)])
    r = learn.recorder
    whole = digest([learn.model, r.losses, r.values, r.lrs, r.iters])
    print(json.dumps(dict(weights=digest(learn.model), all=whole, seconds=time.time()-start)))
