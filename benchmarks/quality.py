"""What reproducibility costs in accuracy: many trainings with plain fastai and with ours, their distributions and two tests.

    python benchmarks/quality.py [--seeds 200] [--processes 16] [--epochs 4] [--images 1797] [--out benchmarks/results/quality.md]

A small CNN learns the digits, with random item and batch transforms. Each training has a seed of its own; plain fastai's are set by its
own `set_seed`. Validation images are the same for all. Welch's test compares the means, Kolmogorov-Smirnov's the distributions; the exit
status is 1 if one of them has a p value below 0.001.
"""
import os,random,sys,time,warnings
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
warnings.filterwarnings('ignore')
import numpy as np
from fastcore.script import call_parse,store_true

size,quantiles,measures = 16,(5,25,50,75,95),('accuracy','validation loss')

# --- one training

def image_files(path, n):
    "`n` files, of all digits in turn"
    from fastai.data.transforms import get_image_files
    return sorted(sorted(get_image_files(path), key=lambda o: o.stem)[:n])

def is_valid(o): return int(o.stem)%4==0

def block(cls, n):
    from fastai.vision.all import CategoryBlock,FuncSplitter,ImageBlock,PILImageBW,RandomResizedCrop,aug_transforms,parent_label
    return cls((ImageBlock(PILImageBW), CategoryBlock), get_items=partial(image_files, n=n), get_y=parent_label,
               splitter=FuncSplitter(is_valid), item_tfms=RandomResizedCrop(size, min_scale=0.7),
               batch_tfms=aug_transforms(size=size, do_flip=False, max_lighting=0.2))

def model():
    from fastai.layers import ConvLayer
    from torch import nn
    head = nn.AdaptiveAvgPool2d(2),nn.Flatten(),nn.Dropout(0.1),nn.Linear(128, 10)
    return nn.Sequential(ConvLayer(1, 16, stride=2), ConvLayer(16, 32, stride=2), *head)

def plain(seed, n, path):
    "Loaders, model and callbacks of plain fastai"
    from fastai.data.block import DataBlock
    from fastai.torch_core import set_seed
    set_seed(seed)
    return block(DataBlock, n).dataloaders(path, bs=32, num_workers=0),model(),[]

def ours(seed, n, path):
    from fastai_repro import ReproCallback,ReproDataBlock,seeded
    dls = block(ReproDataBlock, n).dataloaders(path, seed=seed, bs=32, num_workers=0)
    with seeded(seed, 'init'): return dls,model(),[ReproCallback()]

def train(job, images, epochs, path):
    "Accuracy and validation loss of the training `job`, a name and a seed; and its seconds"
    from fastai.vision.all import CrossEntropyLossFlat,Learner,ProgressCallback,accuracy,noop
    start = time.perf_counter()
    name,seed = job
    dls,net,cbs = dict(plain=plain, ours=ours)[name](seed, images, path)
    learn = Learner(dls, net, loss_func=CrossEntropyLossFlat(), metrics=accuracy, cbs=cbs)
    learn.remove_cb(ProgressCallback)
    learn.logger = noop
    learn.fit_one_cycle(epochs, 1e-2)
    loss,acc = learn.recorder.values[-1][1:]
    return name,acc,loss,time.perf_counter()-start

def on_one_core():
    "A process for trainings: one thread, no GPU"
    warnings.filterwarnings('ignore')
    import torch
    from fastai.torch_core import default_device
    torch.set_num_threads(1)
    default_device(False)

# --- all of them

def trainings(seeds, processes, **kwargs):
    "Name to an array of (accuracy, validation loss) for each seed; and the seconds of a training"
    jobs = [o for i in range(seeds) for o in (('plain', i), ('ours', seeds+i))]
    with ProcessPoolExecutor(processes, mp_context=get_context('spawn'), initializer=on_one_core) as pool:
        done = list(pool.map(partial(train, **kwargs), jobs))
    return {k:np.array([o[1:3] for o in done if o[0]==k]) for k in ('plain','ours')},np.median([o[3] for o in done])

def tests(a, b):
    "Mean of `b` minus mean of `a` with its 95 % confidence interval, and the p values of both tests"
    from scipy import stats
    welch = stats.ttest_ind(b, a, equal_var=False)
    low,high = welch.confidence_interval(0.95)
    return b.mean()-a.mean(),low,high,welch.pvalue,stats.ks_2samp(a, b).pvalue

def row(*cells): return f"| {' | '.join(map(str, cells))} |"

def head(*cells): return [row(*cells), '|---'*len(cells) + '|']

def distributions(res):
    lines = head('measure', '', 'trainings', 'mean', 'standard deviation', *(f'{q} %' for q in quantiles))
    for i,measure in enumerate(measures):
        for name,x in res.items():
            v = x[:,i]
            lines.append(row(measure, name, len(v), *(f'{o:.4f}' for o in (v.mean(), v.std(ddof=1), *np.percentile(v, quantiles)))))
    return lines

def comparison(res):
    lines,ps = head('measure', 'ours - plain', '95 % confidence interval', "Welch's test, p", 'Kolmogorov-Smirnov, p'),[]
    for i,measure in enumerate(measures):
        d,low,high,*p = tests(res['plain'][:,i], res['ours'][:,i])
        lines.append(row(measure, f'{d:+.4f}', f'{low:+.4f} to {high:+.4f}', *(f'{o:.3f}' for o in p)))
        ps += p
    return lines,min(ps)

def histogram(res, i, bins=12, width=40):
    "Both distributions of measure `i` as bars of text"
    edges = np.histogram_bin_edges(np.concatenate([x[:,i] for x in res.values()]), bins)
    counts = {k:np.histogram(x[:,i], edges)[0] for k,x in res.items()}
    bar = lambda k,j: '#'*round(width*counts[k][j]/max(o.max() for o in counts.values()))
    lines = [f'{edges[j]:15.3f} {bar("plain", j):{width}} {bar("ours", j)}' for j in range(bins)]
    return [f'{measures[i]:>15} {"plain":{width}} ours', *lines]

def environment():
    import fastai,torch
    from fastai_repro.streams import SCHEME
    python = sys.version.split()[0]
    return f'scheme {SCHEME}, python {python}, torch {torch.__version__}, fastai {fastai.__version__}, one thread a training'

@call_parse
def main(
    seeds:int=200, # Trainings with plain fastai, and as many with ours
    processes:int=os.cpu_count(), # Trainings at a time
    images:int=1797, # Number of images, a quarter of them for validation
    epochs:int=4, # Epochs of a training
    bars:store_true=False, # Print the distributions as bars, too
    out:str='', # Write the tables to this file (Markdown)
):
    "Print accuracy and validation loss with plain fastai and with ours, and exit with status 1 if they differ"
    from fastai_repro import digits_path
    res,seconds = trainings(seeds, processes, images=images, epochs=epochs, path=digits_path())
    tested,p = comparison(res)
    says = f'{images} images of {size} pixels, {epochs} epochs; a training took {seconds:.1f} s (median). {environment()}.'
    text = '\n'.join([*distributions(res), '', *tested, '', says])
    print(text)
    if bars: print(*('\n'.join(['', *histogram(res, i)]) for i in range(2)), sep='\n')
    if out: Path(out).write_text(text + '\n')
    if p<0.001: sys.exit(1)
