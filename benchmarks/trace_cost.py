"""What tracing costs: time of a training step with and without `TraceCallback`, and of the comparison of two long traces.

    python benchmarks/trace_cost.py [--device cuda] [--steps 40] [--rounds 12] [--out benchmarks/results/trace_cost]

On a GPU: ResNet-50, 224 pixels, batch 64, synthetic images; fp32 and mixed precision. On a CPU: ResNet-18 on the digits at 32 pixels, batch 64.
Variants train in turn in one process, on loaders that cost nothing; each round also times the untraced training against itself: that A/A
ratio is what the machine's noise makes of a ratio of 1. `timing.py` says how a fit is timed.
"""
import json,random,tempfile,time,warnings
from pathlib import Path
warnings.filterwarnings('ignore')
from fastai.vision.all import *
from fastai.callback.fp16 import MixedPrecision
from fastcore.script import call_parse
from fastai_repro import TraceCallback,compare_traces,digits_path,seeded
from timing import Stamps,step,timed,total

class Repeat:
    "A loader that gives the same batches again and again"
    def __init__(self, batches, n): self.batches,self.n,self.dataset,self.bs = batches,n,[],len(batches[0][0])
    def __len__(self): return self.n
    def __iter__(self): return (self.batches[i%len(self.batches)] for i in range(self.n))
    def to(self, device): pass

def synthetic(device, n):
    xs = [(torch.randn(64,3,224,224, device=device), torch.randint(10, (64,), device=device)) for _ in range(4)]
    return DataLoaders(Repeat(xs, n), Repeat(xs[:1], 1), device=torch.device(device))

def digits(device, n):
    files = sorted(get_image_files(digits_path()), key=lambda o: o.stem)[:4*64]
    dls = DataBlock((ImageBlock,CategoryBlock), splitter=IndexSplitter([]), get_y=parent_label, item_tfms=Resize(32)).dataloaders(files, bs=64, num_workers=0, device=device)
    xs = [tuple(b) for b in dls.train]
    return DataLoaders(Repeat(xs, n), Repeat(xs[:1], 1), device=torch.device(device))

def learner(dls, arch, amp, cbs=None):
    with seeded(42, 'init'): model = arch(num_classes=10)
    learn = Learner(dls, model, loss_func=CrossEntropyLossFlat(), metrics=accuracy, cbs=L(Stamps()) + L(cbs) + (L(MixedPrecision()) if amp else L()))
    learn.remove_cb(ProgressCallback)
    learn.logger = noop
    return learn

def warm(learn, n=10):
    "Fit `n` steps: the first ones take longer"
    loader = learn.dls.train
    learn.dls.loaders[0] = Repeat(loader.batches, n)
    learn.fit(1, 1e-4)
    learn.dls.loaders[0] = loader

def measure(name, dls, arch, amp, rounds, tmp):
    "The step of the untraced training, and the time of each variant in ratio to it"
    variants = dict(plain=None, again=None, epoch='epoch', step='step')
    of = {k:[] for k in variants}
    for r in range(rounds):
        if r%2==0:  # new learners: one may be faster than the other by where its memory lies
            learns = {k:learner(dls, arch, amp, TraceCallback(Path(tmp)/f'{r}_{k}.jsonl', v) if v else None) for k,v in variants.items()}
            for o in learns.values(): warm(o)
        for k in random.sample(list(learns), len(learns)): of[k].append(timed(learns[k], 1, 1e-4))
    res = dict(training=name, ms=1000*step(of['plain']), rounds=rounds, steps=len(dls.train), **{k:total(of[k])/total(of['plain']) for k in ('again','epoch','step')})
    print(f"{name}: {res['ms']:.1f} ms a step; of that: untraced again {res['again']:.3f}, level epoch {res['epoch']:.3f}, level step {res['step']:.3f}", flush=True)
    return res

def long_traces(tmp, n=10_000):
    "Seconds to compare two traces of `n` steps that differ in the last, and two that are the same"
    a,b = Path(tmp)/'a.jsonl',Path(tmp)/'b.jsonl'
    x = torch.randn(64,3)
    dls = DataLoaders(Repeat([(x,x)], n), Repeat([(x,x)], 1))
    learn = Learner(dls, nn.Linear(3,3), loss_func=nn.MSELoss(), cbs=TraceCallback(a))
    learn.remove_cb(ProgressCallback)
    learn.logger = noop
    learn.fit(1)
    lines = a.read_bytes().split(b'\n')
    last = max(i for i,l in enumerate(lines) if b'"phase":"train"' in l)
    b.write_bytes(b'\n'.join([*lines[:last], lines[last].replace(b'"loss":"', b'"loss":"0'), *lines[last+1:]]))
    def timed(x, y):
        start = time.perf_counter()
        d = compare_traces(x, y)
        return time.perf_counter()-start,d
    same,none = timed(a, a)
    differ,d = timed(a, b)
    assert none is None and d.step==n-1
    print(f'two traces of {n} steps ({a.stat().st_size/1e6:.0f} MB each): compared in {same:.2f} s if they are the same, {differ:.2f} s if the last step differs', flush=True)
    return dict(steps=n, megabytes=a.stat().st_size/1e6, same_s=same, last_differs_s=differ)

def table(rows, long):
    lines = ['| training | ms a step | untraced again | level epoch | level step |', '|---|---|---|---|---|']
    lines += [f"| {o['training']} | {o['ms']:.1f} | {o['again']:.3f} | {o['epoch']:.3f} | {o['step']:.3f} |" for o in rows]
    return '\n'.join(lines) + f"\n\nTwo traces of {long['steps']:,} steps compare in {long['same_s']:.2f} s, in {long['last_differs_s']:.2f} s if the last step differs.\n"

@call_parse
def main(
    device:str='cuda' if torch.cuda.is_available() else 'cpu', # 'cuda' or 'cpu'
    steps:int=40, # Steps in a timed epoch
    rounds:int=12, # Rounds of each measurement
    out:str='', # Write `OUT.md` and `OUT.json`
):
    "Print what tracing costs"
    from torchvision.models import resnet18,resnet50
    name = torch.cuda.get_device_name() if device=='cuda' else f'CPU, {torch.get_num_threads()} threads'
    with tempfile.TemporaryDirectory() as tmp:
        if device=='cuda':
            dls = synthetic(device, steps)
            rows = [measure(f'ResNet-50, 224 px, batch 64, {o}, {name}', dls, resnet50, o=='amp', rounds, tmp) for o in ('fp32','amp')]
        else: rows = [measure(f'ResNet-18, digits at 32 px, batch 64, {name}', digits(device, steps), resnet18, False, rounds, tmp)]
        long = long_traces(tmp)
    if out:
        Path(f'{out}.md').write_text(table(rows, long))
        Path(f'{out}.json').write_text(json.dumps(dict(device=name, torch=torch.__version__, rows=rows, long=long), indent=1) + '\n')
