"""Images a second where loading is the bottleneck: a fit with ours against plain fastai, and plain fastai against itself.

    python benchmarks/throughput.py [--workers 4,14] [--rounds 12] [--images 2688] [--minutes 8] [--out benchmarks/results/throughput.md]
    python benchmarks/throughput.py --device cpu --workers 0,2 --rounds 2 --images 64

JPEGs of 320 pixels, cut from scikit-learn's two photos into a temporary folder, are cropped at random to 224 by the workers; batches are
augmented on the device, and the network is so small that on a GPU the loaders set the pace. Three learners (ours, plain fastai, plain
fastai again) train an epoch and validate in each round, in random order. The start of the workers, which fastai forks anew for each pass,
counts. Ratios are medians over the rounds, with a bootstrapped 95 % interval.
"""
import importlib.metadata as md,os,random,statistics,sys,tempfile,time,warnings
from pathlib import Path
warnings.filterwarnings('ignore')
import numpy as np
import torch
from PIL import Image,ImageEnhance
from fastai.vision.all import *
from fastcore.script import call_parse
from fastai_repro import ReproCallback,ReproDataBlock,seeded
from fastai_repro.streams import SCHEME

px,crop,classes = 320,224,('china','flower')

# --- images

def photo(arr, rng):
    "A square of the photo, as large as `px` pixels"
    side = rng.randint(240, min(arr.shape[:2]))
    top,left = rng.randint(0, arr.shape[0]-side),rng.randint(0, arr.shape[1]-side)
    im = Image.fromarray(arr[top:top+side, left:left+side]).resize((px, px), Image.BILINEAR)
    return ImageEnhance.Brightness(im).enhance(rng.uniform(0.7, 1.3))

def make_images(path, n):
    "`n` JPEGs for training and a tenth of that for validation, in class folders"
    from sklearn.datasets import load_sample_images
    photos,rng = load_sample_images().images,random.Random(0)
    for split,k in (('train',n), ('valid',n//10)):
        for c in classes: (path/split/c).mkdir(parents=True)
        for i in range(k): photo(photos[i%2], rng).save(path/split/classes[i%2]/f'{i:06}.jpg', quality=90)
    return path

# --- learners

def block(cls):
    return cls((ImageBlock, CategoryBlock), get_items=get_image_files, get_y=parent_label, splitter=GrandparentSplitter(),
               item_tfms=RandomResizedCrop(crop), batch_tfms=aug_transforms())

def learner(cls, path, workers, bs, device, cbs=None):
    dls = block(cls).dataloaders(path, bs=bs, num_workers=workers, device=device)
    with seeded(42, 'init'): layers = nn.Conv2d(3, 8, 7, stride=8),nn.ReLU(),nn.AdaptiveAvgPool2d(1),nn.Flatten(),nn.Linear(8, 2)
    learn = Learner(dls, nn.Sequential(*layers), loss_func=CrossEntropyLossFlat(), cbs=cbs)
    learn.remove_cb(ProgressCallback)
    learn.logger = noop
    return learn

def learners(*args):
    return {'plain':learner(DataBlock, *args), 'again':learner(DataBlock, *args), 'ours':learner(ReproDataBlock, *args, ReproCallback())}

# --- rounds

def seconds(learn):
    if torch.cuda.is_available(): torch.cuda.synchronize()
    start = time.perf_counter()
    learn.fit(1)
    if torch.cuda.is_available(): torch.cuda.synchronize()
    return time.perf_counter()-start

def measure(learns, rounds, until):
    "Seconds of each learner in each round; no round begins that would end after `until`"
    res,longest = [],sum([seconds(o) for o in learns.values()])  # a first fit takes longer
    while len(res)<rounds and (not res or time.time()+longest<until):
        res.append({k:seconds(learns[k]) for k in random.sample(list(learns), len(learns))})
        longest = max(sum(o.values()) for o in res)
    return res

def share(workers):
    "The part of the time left that the first of these numbers of workers gets: few workers take longer"
    slow = [1/max(1, o) for o in workers]
    return slow[0]/sum(slow)

def ratio(res, a, b):
    "Median of `a`/`b` over the rounds, and an interval of 95 %"
    r,rng = np.array([o[a]/o[b] for o in res]),np.random.default_rng(0)
    return np.median(r),*np.percentile(np.median(rng.choice(r, (2000, len(r))), axis=1), [2.5, 97.5])

def line(workers, res, n):
    cell = lambda m,low,high: f'{m:.3f} ({low:.3f} to {high:.3f})'
    a,b = ratio(res, 'ours', 'plain'),ratio(res, 'again', 'plain')
    rate = lambda k: f'{n/statistics.median(o[k] for o in res):.0f}'
    cells = workers,len(res),rate('plain'),rate('again'),rate('ours'),cell(*a),cell(*b),f'{a[0]-b[0]:+.3f}'
    return f"| {' | '.join(map(str, cells))} |"

def titles():
    cells = 'workers','rounds','images a second, plain','plain again','ours','ours / plain','plain / plain','difference'
    return [f"| {' | '.join(cells)} |", '|---'*len(cells) + '|']

def environment(device):
    name = torch.cuda.get_device_name() if device=='cuda' else 'CPU'
    versions = ', '.join(f'{o} {md.version(o)}' for o in ('torch','fastai','pillow'))
    return f'{name}, {os.cpu_count()} cores, python {sys.version.split()[0]}, {versions}, scheme {SCHEME}'

@call_parse
def main(
    workers:str='4,14', # Numbers of workers, with commas
    rounds:int=12, # Rounds for each number of workers
    images:int=2688, # Images of a training epoch; a tenth as many are validated
    minutes:float=8, # Stop in time to be done in so many minutes, with fewer rounds if need be
    bs:int=64, # Batch size
    device:str='cuda' if torch.cuda.is_available() else 'cpu', # 'cuda' or 'cpu'
    out:str='', # Write the table to this file (Markdown)
):
    "Print the throughput of loaders in a fit"
    start,numbers = time.time(),[int(o) for o in workers.split(',')]
    default_device(device=='cuda')
    with tempfile.TemporaryDirectory() as d:
        path,lines = make_images(Path(d), images),titles()
        print(f'{time.time()-start:.0f} s for the images', *lines, sep='\n', flush=True)
        for i,w in enumerate(numbers):
            left = start + 60*minutes - time.time()
            res = measure(learners(path, w, bs, torch.device(device)), rounds, time.time() + left*share(numbers[i:]))
            lines.append(line(w, res, images//bs*bs + images//10))
            print(lines[-1], flush=True)
    lines += ['', f'{environment(device)}; {images} images of {px} pixels, batches of {bs}; {time.time()-start:.0f} s in all.']
    print(lines[-1])
    if out: Path(out).write_text('\n'.join(lines) + '\n')
