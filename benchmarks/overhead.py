"""What `fastai_repro` costs: time per epoch against plain fastai, microseconds per item, batch and step, and `rewind` and `rebuild`.

    python benchmarks/overhead.py [--pairs 24] [--workers 0,2] [--out benchmarks/results/overhead.md]

Plain fastai and ours train in turn, in one process, on the same data and model. Each round also times plain fastai against
itself: that A/A ratio is what the machine's noise makes of a ratio of 1. Ratios are medians over the rounds.
"""
import os,platform,random,statistics,tempfile,time,timeit,warnings
warnings.filterwarnings('ignore')
from fastai.vision.all import *
import fastai
from fastcore.script import call_parse
from fastai_repro import *
from fastai_repro import loaders
from fastai_repro.seed import isolated,seed_all,seed_cpu
from fastai_repro.objects import Generators
from fastai_repro.streams import stream_key,stream_keys

def block(cls, n, size):
    def get_items(path): return sorted(get_image_files(path), key=lambda o: o.stem)[:n]
    return cls((ImageBlock, CategoryBlock), get_items=get_items, get_y=parent_label, splitter=RandomSplitter(0.2, seed=0),
               item_tfms=Resize(size), batch_tfms=aug_transforms(size=size))

def learner(dls, cbs=None):
    with seeded(42, 'init'): learn = vision_learner(dls, resnet18, pretrained=False, metrics=accuracy, cbs=cbs)
    learn.remove_cb(ProgressCallback)
    learn.logger = noop
    return learn

def seconds(learn):
    start = time.perf_counter()
    learn.fit(1)
    return time.perf_counter()-start

def epochs(workers, pairs, n, size):
    "Median ratios of ours to plain fastai and of plain fastai to itself"
    kwargs = dict(bs=64, num_workers=workers)
    make = dict(plain=lambda: learner(block(DataBlock, n, size).dataloaders(digits_path(), **kwargs)),
                again=lambda: learner(block(DataBlock, n, size).dataloaders(digits_path(), **kwargs)),
                ours =lambda: learner(block(ReproDataBlock, n, size).dataloaders(digits_path(), **kwargs), ReproCallback()))
    learns = {k:f() for k,f in make.items()}
    for o in learns.values(): seconds(o)
    rounds = []
    for _ in range(pairs):
        order = random.sample(list(learns), len(learns))
        rounds.append({k:seconds(learns[k]) for k in order})
    ratio = lambda a,b: statistics.median(o[a]/o[b] for o in rounds)
    yield (f"an epoch, {f'{workers} workers' if workers else 'no workers'}", f"{ratio('ours','plain'):.3f} of plain fastai's time, which is "
           f"{statistics.median(o['plain'] for o in rounds):.2f} s (plain against plain {ratio('again','plain'):.3f})")

def micros(f, n=2000): return min(timeit.repeat(f, number=n, repeat=7))/n*1e6

def parts():
    "Microseconds of our part, at its fastest of seven"
    key = stream_keys(42, 'item', 0, 'epoch', 3)
    def item(): seed_cpu(key(17))
    def batch():
        with isolated(): seed_all(key(17))
    def plain_step(learn):
        for e in ('batch','backward','step'): type(learn)._with_events(learn, noop, e, CancelBatchException)
    def our_step(learn):
        for e in ('batch','backward','step'): learn._with_events(noop, e, CancelBatchException)
    dls = block(ReproDataBlock, 100, 8).dataloaders(digits_path(), bs=64, num_workers=0)
    learn = learner(dls, ReproCallback())
    learn.fit(1)
    cb = learn.repro
    cb._now = type(cb._now)(is_inside=True)
    cb._find_generators()
    learn.cbs,learn.training = L(cb),True
    ours = micros(lambda: our_step(learn))
    learn.cbs = L()
    yield 'an item', f'{micros(item):.1f} µs'
    yield 'a step in a fit', f'{ours - micros(lambda: plain_step(learn)):.0f} µs'
    yield 'a batch outside of a fit', f'{micros(batch):.0f} µs'

def held():
    "Microseconds that one more generator takes for each item"
    bits = {o.__name__:np.random.Generator(o(0)) for o in (np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64)}
    kinds = {**bits, 'RandomState':np.random.RandomState(0), 'random.Random':random.Random(0), 'torch.Generator':torch.Generator()}
    key = stream_key(42, 'item', 0)
    def cost(o):
        g = Generators(dict(o=o))
        return micros(lambda: g.seed(key))
    yield 'each generator that the transforms of an item hold', ', '.join(f'`{n}` {cost(o):.1f}' for n,o in kinds.items()) + ' µs'

def rehearsal(rounds=15):
    "Milliseconds of the rehearsal of one loader, beside those in which the first item and batch are made again"
    dls = block(ReproDataBlock, 200, 64).dataloaders(digits_path(), bs=64, num_workers=0)
    clock,times,plain = dls._clock,{True:[], False:[]},loaders.rehearse
    def timed(make, *args, **kwargs):
        def again():
            start = time.perf_counter()
            try: return make()
            finally: spent.append(time.perf_counter()-start)
        return plain(again, *args, **kwargs)
    loaders.rehearse = timed
    for i in range(2*rounds):
        spent = []
        clock.begin(i)
        clock.to_check = {0} if i%2 else set()
        batches,start = dls.train.batches_from(0),time.perf_counter()
        next(batches)
        times[bool(i%2)].append(time.perf_counter()-start-sum(spent))
        batches.close()
    loaders.rehearse = plain
    clock.end(0)
    yield ('the rehearsal of a loader, once a run', f'{(min(times[True])-min(times[False]))*1e3:.1f} ms, and an item and a batch more '
           f'(a first batch of 64 takes {min(times[False])*1e3:.1f} ms)')

def folder(path, n):
    "`n` images in ten class folders"
    im = get_image_files(digits_path())[0].read_bytes()
    for i in range(10): (path/str(i)).mkdir(parents=True)
    for i in range(n): (path/str(i%10)/f'{i:06}.png').write_bytes(im)
    return path

def rebuilds(n):
    "Time of a plain build, of ours, of `rewind` and of `rebuild` for `n` items"
    def build(cls): return cls((ImageBlock, CategoryBlock), get_items=get_image_files, get_y=parent_label, splitter=RandomSplitter(0.2, seed=0), item_tfms=Resize(8)).dataloaders(path, num_workers=0)
    def timed(f):
        start = time.perf_counter()
        return f(),time.perf_counter()-start
    with tempfile.TemporaryDirectory() as d:
        path = folder(Path(d)/'images', n)
        build(DataBlock)
        _,plain = timed(lambda: build(DataBlock))
        dls,ours = timed(lambda: build(ReproDataBlock))
        _,rebuild = timed(dls.rebuild)
        yield f'`rebuild`, {n:,} items', f'{rebuild:.2f} s (a build takes {ours:.2f} s, plain fastai\'s {plain:.2f} s)'
        yield f'`rewind`, {n:,} items', f'{micros(dls.rewind):.2f} µs'

def all_rows(pairs, workers, n, size):
    "What is measured, and what came out"
    for w in workers: yield from epochs(w, pairs, n, size)
    for f in (parts, held, rehearsal): yield from f()
    for items in (1000, 100_000): yield from rebuilds(items)

@call_parse
def main(
    pairs:int=24, # Rounds of each measurement
    workers:str='0,2', # Numbers of workers, with commas
    n:int=400, # Number of images
    size:int=32, # Their size in pixels
    out:str='', # Write the table to this file (Markdown)
):
    "Print what fastai_repro costs"
    lines = ['| | |', '|---|---|']
    print(*lines, sep='\n')
    for what,cost in all_rows(pairs, [int(o) for o in workers.split(',')], n, size):
        lines.append(f'| {what} | {cost} |')
        print(lines[-1], flush=True)
    lines += ['', f"{n} of scikit-learn's digits at {size} pixels, ResNet-18, batch size 64; medians of {pairs} rounds. "
              f'python {platform.python_version()}, torch {torch.__version__}, fastai {fastai.__version__}, {len(os.sched_getaffinity(0))} cores, threads {torch.get_num_threads()}']
    print(lines[-1])
    if out: Path(out).write_text('\n'.join(lines) + '\n', encoding='utf-8')
