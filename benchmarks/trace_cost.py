"""What tracing costs: time of a training step with and without `TraceCallback`, of the comparison of two long traces, and of the notes on a notebook's cells.

    python benchmarks/trace_cost.py [--device cuda] [--steps 100] [--rounds 12] [--notebooks FOLDER] [--out benchmarks/results/trace_cost]

On a GPU: ResNet-50, 224 pixels, batch 64, synthetic images; fp32 and mixed precision. On a CPU: ResNet-18 on the digits at 32 pixels, batch 64.
Variants train in turn in one process, on loaders that cost nothing; each round also times the untraced training against itself: that A/A
ratio is what the machine's noise makes of a ratio of 1. `timing.py` says how a fit is timed. What a fit costs once, at its beginning and end, is told
beside it. The notes on cells are measured in a notebook with tables, pictures and texts, and in those of a folder, by the processor's time that they take.
"""
import json,random,subprocess,tempfile,time,warnings
from pathlib import Path
warnings.filterwarnings('ignore')
from fastai.vision.all import *
from fastai.callback.fp16 import MixedPrecision
from fastcore.script import call_parse
from fastai_repro import TraceCallback,compare_traces,digits_path,seeded
from fastai_repro.process import RunSpec,launch_run
from timing import Stamps,step,timed

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
    dls = DataBlock((ImageBlock,CategoryBlock), splitter=IndexSplitter([]), get_y=parent_label, item_tfms=Resize(32)).dataloaders(files,
                                                                                          bs=64, num_workers=0, device=device)
    xs = [tuple(b) for b in dls.train]
    return DataLoaders(Repeat(xs, n), Repeat(xs[:1], 1), device=torch.device(device))

def learner(dls, arch, amp, cbs=None):
    with seeded(42, 'init'): model = arch(num_classes=10)
    learn = Learner(dls, model, loss_func=CrossEntropyLossFlat(), metrics=accuracy,
                    cbs=L(Stamps()) + L(cbs) + (L(MixedPrecision()) if amp else L()))
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
    res = dict(training=name, ms=1000*step(of['plain']), rounds=rounds, steps=len(dls.train),
               **{k:ratios(of[k], of['plain']) for k in ('again','epoch','step')})
    told = ', '.join(f"{k} {o['ratio']:.3f} and {o['fit_ms']:.1f} ms a fit" for k,o in res.items() if isinstance(o, dict))
    print(f"{name}: {res['ms']:.1f} ms a step; in ratio to it: {told}", flush=True)
    return res

def fastest(rounds):
    "Seconds of a fit's beginning and end, and of all between, each part at its fastest: other work on the machine only ever adds to it"
    parts = np.min([r.parts for r in rounds], axis=0)
    return parts[0]+parts[-1],parts[1:-1].sum()

def ratios(rounds, plain):
    "What is between beginning and end in ratio to the untraced training, and what beginning and end take longer"
    (edge,inner),(edge0,inner0) = fastest(rounds),fastest(plain)
    return dict(ratio=inner/inner0, fit_ms=1000*(edge-edge0))

cells = ["""import pandas as pd
from fastai.vision.all import *
from fastai.text.all import *
from fastai_repro import digits_path,set_seed""", 'set_seed(42)', """path = digits_path()
files = get_image_files(path)
words = [f'{o.parent.name} {o.stem} ' * 20 for o in files]
df = pd.DataFrame(dict(text=words, label=[o.parent.name for o in files], **{f'x{i}':np.random.rand(len(files)) for i in range(50)}))
pixels = np.stack([np.array(PILImage.create(o)) for o in files])""", """dls = ImageDataLoaders.from_folder(path, valid_pct=0.2, item_tfms=Resize(28), batch_tfms=aug_transforms(), num_workers=0)
counts = Counter(df.label)""", 'learn = vision_learner(dls, resnet18, pretrained=False, metrics=accuracy)', 'learn.fine_tune(1)', """preds,targs = learn.get_preds()
wrong = [files[i] for i in (preds.argmax(1)!=targs).nonzero().flatten()]""", 'df2 = df.sample(frac=1, random_state=1)\ntotal = float(df2.x0.sum())', 'learn.fit_one_cycle(1)', 'interp = ClassificationInterpretation.from_learner(learn)\nlosses = interp.losses']

def notebook(folder):
    "A notebook as a file"
    path = Path(folder)/'pictures and tables.ipynb'
    made = [dict(cell_type='code', id=f'c{i}', metadata={}, source=o, execution_count=None, outputs=[]) for i,o in enumerate(cells)]
    path.write_text(json.dumps(dict(cells=made, metadata={}, nbformat=4, nbformat_minor=5)))
    return path

def cell_notes(path):
    "Seconds that a notebook takes, and its notes"
    path = Path(path).resolve()
    with tempfile.TemporaryDirectory() as tmp:
        spec = RunSpec(script=str(path), notes=f'{tmp}/notes.jsonl', trackers_off=True)
        p = launch_run(spec, tmp, cwd=path.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        out,_ = p.communicate()
        if p.returncode: raise SystemExit(f'{out[-2000:]}\n{path.name} failed')
        notes = [json.loads(o) for o in Path(spec.notes).read_text().splitlines()]
    last = [o for o in notes if o['kind']=='cell'][-1]
    res = dict(notebook=path.name, cells=last['cell'], seconds=last['seconds'], busy=last['busy'], share=last['busy']/last['seconds'],
               cut=sorted({n for o in notes for n in o.get('cut', [])}))
    print(f"{path.name}: {res['cells']} cells, {res['seconds']:.1f} s, of these {res['busy']:.3f} s for notes ({100*res['share']:.1f} "
          f"%), not read: {res['cut']}", flush=True)
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
    print(f'two traces of {n} steps ({a.stat().st_size/1e6:.0f} MB each): compared in {same:.2f} s if they are the same, {differ:.2f} s '
          'if the last step differs', flush=True)
    return dict(steps=n, megabytes=a.stat().st_size/1e6, same_s=same, last_differs_s=differ)

def table(rows, long, books):
    lines = ['| training | ms a step | untraced again | level epoch | level step | a fit, level step |', '|---|---|---|---|---|---|']
    lines += [f"| {o['training']}, fits of {o['steps']} steps | {o['ms']:.1f} | {o['again']['ratio']:.3f} | {o['epoch']['ratio']:.3f} | "
              f"{o['step']['ratio']:.3f} | {o['step']['fit_ms']:.1f} ms |" for o in rows]
    lines += ['', f"Two traces of {long['steps']:,} steps compare in {long['same_s']:.2f} s, in {long['last_differs_s']:.2f} s if the "
                  "last step differs.", '',
              '| notebook | code cells | seconds | of these for notes | share | not read |', '|---|---|---|---|---|---|']
    lines += [f"| {o['notebook']} | {o['cells']} | {o['seconds']:.1f} | {o['busy']:.3f} | {100*o['share']:.1f} % | {', '.join(o['cut'])} |" for o in books]
    return '\n'.join(lines) + '\n'

@call_parse
def main(
    device:str='cuda' if torch.cuda.is_available() else 'cpu', # 'cuda' or 'cpu'
    steps:int=100, # Steps in a timed fit
    rounds:int=12, # Rounds of each measurement
    notebooks:str='', # Folder with notebooks whose notes are measured too
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
        books = [cell_notes(o) for o in (notebook(tmp), *(sorted(Path(notebooks).glob('*.ipynb')) if notebooks else ()))]
    if out:
        Path(f'{out}.md').write_text(table(rows, long, books))
        Path(f'{out}.json').write_text(json.dumps(dict(device=name, torch=torch.__version__, rows=rows, long=long, notebooks=books),
                                                  indent=1) + '\n')
