"""The small training with which `ReproCallback` is tested: noise on the items, augmentation of the batches, dropout in the model."""
import random
from fastai.vision.all import *
from fastai_repro import ReproCallback,ReproDataBlock,digest,digits_path,seeded
from fastai_repro.seed import get_states

path = digits_path()
files = sorted(get_image_files(path), key=lambda o: o.stem)[:200]

class Noise(RandTransform):
    "Noise from all three generators"
    def encodes(self, x:PILImage):
        a = np.array(x) + np.random.rand(*x.shape,1)*20 + random.random()*10 + torch.rand(1).item()*10
        return PILImage.create(a.clip(0,255).astype('uint8'))

args = dict(blocks=(ImageBlock, CategoryBlock), splitter=RandomSplitter(0.2, seed=1), get_y=parent_label,
            item_tfms=[Noise(), Resize(16)], batch_tfms=aug_transforms(size=16))

def loaders(bs=32, num_workers=0, block=ReproDataBlock, seed=None, **kwargs):
    "Loaders of `block`, with other arguments where they are given"
    seeds = {} if seed is None else dict(seed=seed)
    return block(**{**args, **kwargs}).dataloaders(files, bs=bs, num_workers=num_workers, **seeds)

def net():
    body = nn.Conv2d(3,8,3,2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*body, Flatten(), nn.Dropout(0.2), nn.Linear(8,10))

def quiet(learn):
    "Without a progress bar and without printing"
    learn.remove_cb(ProgressCallback)
    learn.logger = noop
    return learn

def learner(dls, cbs=None, **kwargs):
    "A learner whose model is made from seed 42"
    with seeded(42, 'init'): model = net()
    split = lambda m: L(m[:4],m[4:]).map(params)
    return quiet(Learner(dls, model, loss_func=CrossEntropyLossFlat(), metrics=accuracy, splitter=split, cbs=cbs, **kwargs))

def strict_learner(strict=True, **kwargs):
    "A learner with a layer that has no deterministic kernel on CUDA"
    with seeded(42, 'init'): model = nn.Sequential(nn.Conv2d(3,8,3,2), nn.ReLU(), AdaptiveConcatPool2d(), Flatten(), nn.Linear(16,10))
    cb = ReproCallback(strict=strict)
    return quiet(Learner(loaders(**kwargs), model, loss_func=CrossEntropyLossFlat(), metrics=accuracy, cbs=cb))

def result(learn):
    "The bits of all weights, losses and metrics"
    return digest([learn.model, learn.recorder.losses, learn.recorder.values])

def run(n=1, seed=42, before=noop, cbs=None, bs=32, num_workers=0, **kwargs):
    "The result of `n` epochs, after doing `before(learn)`"
    learn = learner(loaders(bs, num_workers), L(cbs)+ReproCallback(seed, **kwargs))
    before(learn)
    learn.fit_one_cycle(n)
    return result(learn)

def generators():
    "A digest of the states of all generators"
    py,npy,cpu,others = get_states()
    return digest([list(py[1]), py[2], npy[1], list(npy[2:]), cpu, *(o for _,o in others)])

class Stop(Callback):
    "Raises `ex` in the third training batch"
    def __init__(self, ex): self.ex = ex
    def before_batch(self):
        if self.training and self.iter==2: raise self.ex

class Draw(Callback):
    "Draws from every generator at every event, and only watches"
    def __init__(self, order): self.order = order

def _draw(self): random.random(), np.random.rand(), torch.rand(1)
for o in vars(event):
    if o[:6] in ('before','after_'): setattr(Draw, o, _draw)
