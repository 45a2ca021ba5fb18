"""What a resumed training has to wait for before its first step, and what checkpoints cost.

    python benchmarks/resume.py [--rounds 5] [--items 100000] [--long 130] [--device cuda] [--out benchmarks/results/resume.md]

Skipping: the time to the first batch of an epoch when it begins at step 0 and at step 10,000, beside Accelerate's `skip_first_batches` and
torchdata's `StatefulDataLoader` on the same data, where these are installed. Checkpoints: a training with `every='60s'` and `every=1` against none, the time in which the state of
a ResNet-50 is taken beside the time in which its tensors are copied, and with `--long` trainings of so many seconds that reach several checkpoints a minute apart.
"""
import importlib.util,random,statistics,tempfile,time,warnings
from pathlib import Path
warnings.filterwarnings('ignore')
from fastai.vision.all import *
from fastcore.script import call_parse
from fastai_repro import ReproCallback,ReproDataBlock,ResumeCallback,digits_path,seeded
from fastai_repro import resume
from fastai_repro.loaders import key_dls
from fastai_repro.codec import copy_of
from fastai_repro.state import LearnerState,named_tensors
from torchvision.models import resnet50

class Items:
    "Items that take 50 microseconds to make, as the smallest of files do"
    def __init__(self, n): self.n = n
    def __len__(self): return self.n
    def __getitem__(self, i):
        until = time.perf_counter() + 5e-5
        while time.perf_counter()<until: pass
        return torch.full((4,), float(i)),0

def timed(make, step):
    "Seconds to the first batch from `step` on"
    it = make(step)
    start = time.perf_counter()
    next(iter(it()))
    return time.perf_counter()-start

def ours(n, bs):
    dls = key_dls(DataLoaders(DataLoader(Items(n), bs=bs, shuffle=True, num_workers=0, indexed=True)), 42)
    return lambda step: lambda: dls.train.batches_from(step)

def accelerate(n, bs):
    from accelerate.data_loader import skip_first_batches
    dl = torch.utils.data.DataLoader(Items(n), bs, shuffle=True)
    return lambda step: lambda: skip_first_batches(dl, step)

def stateful(n, bs):
    from torchdata.stateful_dataloader import StatefulDataLoader
    def make(step):
        dl = StatefulDataLoader(Items(n), bs, shuffle=True)
        it = iter(dl)
        for _ in range(step): next(it)
        state,new = dl.state_dict(),StatefulDataLoader(Items(n), bs, shuffle=True)
        def go():
            new.load_state_dict(state)
            return new
        return go
    return make

def learner():
    files = sorted(get_image_files(digits_path()), key=lambda o: o.stem)[:600]
    dls = ReproDataBlock((ImageBlock, CategoryBlock), get_y=parent_label, item_tfms=Resize(32)).dataloaders(files, bs=64, num_workers=0)
    with seeded(42, 'init'): learn = vision_learner(dls, resnet18, pretrained=False, cbs=ReproCallback(42))
    learn.remove_cb(ProgressCallback)
    learn.logger = noop
    return learn

def seconds(every, folder):
    "Seconds of a training, and of its steps alone, without the write at the end"
    learn,path = learner(),Path(folder)/f'{random.random()}.ckpt'
    start = time.perf_counter()
    learn.fit(3, cbs=[] if every is None else ResumeCallback(path, every=every))
    return time.perf_counter()-start

def resnet50_learner(device, n=1024):
    "A ResNet-50 on images that are on the device already"
    x,y = torch.randn(64, 3, 224, 224, device=device),torch.randint(10, (64,), device=device)
    class Same:
        def __len__(self): return n
        def __getitem__(self, i): return i%64
    dls = DataLoaders.from_dsets(Same(), Same(), bs=64, device=device, num_workers=0, after_batch=[lambda b: (x[b], y[b])])
    with seeded(42, 'init'): model = resnet50(num_classes=10)
    learn = Learner(dls, model.to(device), loss_func=CrossEntropyLossFlat(), cbs=ReproCallback(42, check=False))
    return learn

class Take(Callback):
    "Takes the state after the second step, and copies the tensors that are in it"
    def after_batch(self):
        if self.training and self.iter==1:
            learn,copied = self.learn,lambda: [copy_of(t) for t in tensors]
            tensors = [*named_tensors(learn.model).values(), *(p.grad for p in learn.model.parameters()), *(t for s in learn.opt.state.values() for t in s.values() if isinstance(t, torch.Tensor))]
            def took(f):
                start = time.perf_counter()
                f()
                return time.perf_counter()-start
            self.times = [(took(lambda: resume._get_state(learn, LearnerState.take(learn))), took(copied), took(lambda: LearnerState.take(learn))) for _ in range(15)]
            raise CancelFitException

def state_of_resnet50(device):
    learn = resnet50_learner(device, 128)
    cb = Take()
    with learn.no_bar(): learn.fit(1, cbs=cb)
    whole,tensors,walk = (min(o)*1e3 for o in zip(*cb.times))
    return ['', f'State of a ResNet-50 on {device}, ms (fastest of 15): taken {whole:.1f}, its tensors alone {tensors:.1f}, the walk through all that is no weight {walk:.1f}']

def long_runs(device, seconds, rounds=2):
    "Seconds of trainings that last about `seconds`, in turn without checkpoints and with one a minute"
    learn = resnet50_learner(device)
    def run(epochs, cbs=()):
        learn.repro.restart()
        start = time.perf_counter()
        with learn.no_bar(), learn.no_logging(): learn.fit(epochs, cbs=cbs)
        return time.perf_counter()-start
    run(1)
    epochs = round(seconds/run(1))
    with tempfile.TemporaryDirectory() as d:
        times = [(run(epochs), run(epochs, ResumeCallback(Path(d)/f'{i}.ckpt', every='60s'))) for i in range(rounds)]
    return ['', f'ResNet-50 on {device}, {rounds} pairs of trainings: ' + '; '.join(f"{a:.1f} s without, {b:.1f} s with `every='60s'` ({int(b//60)} checkpoints and the last), {b/a:.4f}" for a,b in times)]

@call_parse
def main(
    rounds:int=5, # Rounds of each measurement, interleaved
    items:int=100_000, # Items of an epoch
    step:int=10_000, # Where to begin
    long:int=0, # Seconds of the trainings that reach several checkpoints; default: none
    device:str='cpu', # Where the ResNet-50 is: cpu or cuda
    out:str='', # Write the tables to this file (Markdown)
):
    "Print what it takes to skip to a position, and what checkpoints cost"
    bs = items//step//2 or 1
    ways = {'fastai_repro':ours, **{n:f for n,f,m in (('Accelerate, `skip_first_batches`',accelerate,'accelerate'), ('torchdata, `StatefulDataLoader`',stateful,'torchdata')) if importlib.util.find_spec(m)}}
    makers = {n:f(items, bs) for n,f in ways.items()}
    times = {(n,s):[] for n in makers for s in (0,step)}
    for _ in range(rounds):
        for n,s in random.sample(list(times), len(times)): times[n,s].append(timed(makers[n], s))
    t = {k:statistics.median(v) for k,v in times.items()}
    lines = [f'Seconds to the first batch of an epoch of {items:,} items, batch size {bs}', '', f'| loader | from step 0 | from step {step:,} | skipping |', '|---|---|---|---|']
    lines += [f'| {n} | {t[n,0]:.3f} | {t[n,step]:.3f} | {t[n,step]-t[n,0]:.3f} |' for n in makers]
    with tempfile.TemporaryDirectory() as d:
        runs = [{e:seconds(None if e=='again' else e, d) for e in random.sample([None,'again','60s',1], 4)} for _ in range(rounds)]
    ratio = lambda e: statistics.median(o[e]/o[None] for o in runs)
    lines += ['', f'ResNet-18 on the digits, {statistics.median(o[None] for o in runs):.1f} s: time with checkpoints to time without', '', '| without, again | every=\'60s\' | every=1 |', '|---|---|---|',
              f"| {ratio('again'):.3f} | {ratio('60s'):.3f} | {ratio(1):.3f} |"]
    lines += state_of_resnet50(device)
    if long: lines += long_runs(device, long)
    print('\n'.join(lines))
    if out: Path(out).write_text('\n'.join(lines) + '\n')
