"""How many runs does pairing save in real trainings? Four tasks, four changes each: spread of the difference with all streams shared, the split alone, or none.

    python benchmarks/power.py [--procs 16] [--seeds 20] [--tasks digits,tabular,collab,text] [--out benchmarks/results/power]

Each run is a training of a few seconds on one thread; `--procs` of them run at a time (20 seeds: 720 runs). All data come with the installed packages.
What is compared is the validation loss without smoothing (cross-entropy; mean squared error for ratings). The runs needed are those that find, with
power 0.8 at 95 %, a difference of half the spread that the unchanged setting has over seeds: two for each seed.
"""
import os
os.environ.update(OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='')  # so small trainings are fastest on one thread each
import json,multiprocessing,time,warnings
from concurrent.futures import ProcessPoolExecutor,as_completed
from functools import lru_cache
from pathlib import Path
import numpy as np
from fastcore.script import call_parse
warnings.filterwarnings('ignore')

# name: (kind of change, keyword arguments)
changes = dict(
    digits=dict(smoothing=('hyper-parameter', dict(eps=0.1)), rotations=('augmentation', dict(aug=True)), wider=('width', dict(width=16)), deeper=('architecture', dict(deeper=True))),
    tabular=dict(decay=('hyper-parameter', dict(wd=0.3)), noise=('augmentation', dict(noise=0.3)), wider=('width', dict(layers=(60,30))), deeper=('architecture', dict(layers=(20,20,10)))),
    collab=dict(decay=('hyper-parameter', dict(wd=0.3)), noise=('augmentation', dict(noise=1.)), wider=('width', dict(factors=20)), network=('architecture', dict(net=True))),
    text=dict(decay=('hyper-parameter', dict(wd=0.3)), dropout_of_words=('augmentation', dict(noise=0.1)), wider=('width', dict(emb=32)), deeper=('architecture', dict(n_layers=2))))

def nll(x, y):
    "Cross-entropy without smoothing"
    import torch.nn.functional as F
    return F.cross_entropy(x, y.view(-1).long())

def fitted(learn, epochs, lr, metric=-1):
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(epochs, lr)
    return float(learn.recorder.values[-1][metric])

def noisy(change):
    "A callback that changes inputs or targets of training batches"
    from fastai.callback.core import Callback
    class Noise(Callback):
        def before_batch(self):
            if self.training: self.learn.xb,self.learn.yb = change(self.xb, self.yb)
    return Noise()

def digits(split, seed, eps=0., aug=False, width=8, deeper=False):
    from fastai.vision.all import (CategoryBlock,ImageBlock,L,LabelSmoothingCrossEntropyFlat,Learner,PILImageBW,RandomSplitter,aug_transforms,get_image_files,nn,parent_label)
    from fastai_repro import ReproCallback,ReproDataBlock,digits_path,seeded
    block = ReproDataBlock((ImageBlock(PILImageBW), CategoryBlock), get_items=lambda p: L(sorted(get_image_files(p), key=lambda o: o.stem)[:600]), get_y=parent_label,
                           splitter=RandomSplitter(0.2), batch_tfms=aug_transforms(do_flip=False, max_rotate=15., max_zoom=1.1, max_warp=0.) if aug else None)
    dls = block.dataloaders(digits_path(), seed=split, bs=32, num_workers=0)
    def conv(i, o, stride=1): return [nn.Conv2d(i, o, 3, stride, 1), nn.BatchNorm2d(o), nn.ReLU()]
    with seeded(seed, 'init'):
        model = nn.Sequential(*conv(1, width), *conv(width, 2*width, 2), *(conv(2*width, 2*width) if deeper else []), *conv(2*width, 2*width, 2),
                              nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.1), nn.Linear(2*width, 10))
    return fitted(Learner(dls, model, loss_func=LabelSmoothingCrossEntropyFlat(eps), metrics=nll, cbs=ReproCallback(seed)), 6, 1e-2)

@lru_cache
def table():
    from fastai.tabular.all import pd
    from sklearn.datasets import load_breast_cancer
    data = load_breast_cancer(as_frame=True)
    df = data.frame.copy()
    df['size'] = pd.cut(df['mean radius'], 4, labels=list('abcd')).astype(str)
    return df,list(data.feature_names[:8])

def tabular(split, seed, wd=None, noise=0., layers=(20,10)):
    import torch
    from fastai.tabular.all import Categorify,CategoryBlock,FillMissing,Normalize,TabularDataLoaders,tabular_config,tabular_learner
    from fastai_repro import ReproCallback,repro_dls,seeded
    df,conts = table()
    dls = repro_dls(lambda: TabularDataLoaders.from_df(df, procs=[Categorify, FillMissing, Normalize], cat_names=['size'], cont_names=conts, y_names='target',
                                                       y_block=CategoryBlock, bs=64, num_workers=0), split)
    cbs = [ReproCallback(seed)] + ([noisy(lambda xb, yb: ((xb[0], xb[1]+noise*torch.randn_like(xb[1])), yb))] if noise else [])
    with seeded(seed, 'init'): learn = tabular_learner(dls, list(layers), metrics=nll, config=tabular_config(ps=0.1), wd=wd, cbs=cbs)
    return fitted(learn, 5, 1e-2)

@lru_cache
def ratings():
    from fastai.collab import pd
    from sklearn.datasets import load_digits
    ink = load_digits().data[:100].astype('float32')
    user,item = ink.nonzero()
    return pd.DataFrame(dict(user=user, item=item, rating=ink[user,item]))

def collab(split, seed, wd=None, noise=0., factors=10, net=False):
    import torch
    from fastai.collab import CollabDataLoaders,collab_learner
    from fastai_repro import ReproCallback,repro_dls,seeded
    dls = repro_dls(lambda: CollabDataLoaders.from_df(ratings(), bs=64, num_workers=0), split)
    cbs = [ReproCallback(seed)] + ([noisy(lambda xb, yb: (xb, (yb[0]+noise*torch.randn_like(yb[0]),)))] if noise else [])
    with seeded(seed, 'init'): learn = collab_learner(dls, y_range=(0,17), cbs=cbs, wd=wd, **(dict(use_nn=True, layers=[20]) if net else dict(n_factors=factors)))
    return fitted(learn, 4, 5e-3)

@lru_cache
def texts(n=150, words=40):
    "Passages of code and of documentation from Python's library"
    import ast,inspect
    from fastai.text.all import pd
    found = {'code':[], 'doc':[]}
    for f in sorted(Path(inspect.__file__).parent.glob('*.py')):
        source = f.read_text(errors='ignore')
        try: doc = ' '.join(filter(None, (ast.get_docstring(o) for o in ast.walk(ast.parse(source)) if isinstance(o, (ast.Module,ast.ClassDef,ast.FunctionDef)))))
        except SyntaxError: continue
        for k,text in (('doc', doc), ('code', source[len(source)//2:])):
            if len(parts := text.split())>words: found[k].append(' '.join(parts[:words]))
    return pd.DataFrame([dict(text=t, label=k) for k,v in found.items() for t in v[:n]])

def text(split, seed, wd=None, noise=0., emb=16, n_layers=1):
    import torch
    from fastai.text.all import (AWD_LSTM,BaseTokenizer,CategoryBlock,ColReader,DataBlock,RandomSplitter,TextBlock,awd_lstm_clas_config,text_classifier_learner)
    from fastai_repro import ReproCallback,repro_dls,seeded
    block = DataBlock((TextBlock.from_df('text', seq_len=20, tok=BaseTokenizer(), n_workers=0), CategoryBlock), get_x=ColReader('text'), get_y=ColReader('label'), splitter=RandomSplitter(0.2))
    dls = repro_dls(lambda: block.dataloaders(texts(), bs=16, num_workers=0), split)
    drop = lambda xb, yb: ((torch.where(torch.rand(xb[0].shape, device=xb[0].device)<noise, 0, xb[0]),), yb)
    cbs = [ReproCallback(seed)] + ([noisy(drop)] if noise else [])
    config = {**awd_lstm_clas_config, 'emb_sz':emb, 'n_hid':24, 'n_layers':n_layers}
    with seeded(seed, 'init'): learn = text_classifier_learner(dls, AWD_LSTM, pretrained=False, seq_len=20, config=config, metrics=nll, wd=wd, cbs=cbs)
    return fitted(learn, 3, 1e-2)

tasks = dict(digits=digits, tabular=tabular, collab=collab, text=text)

def job(task, change, seed, shared):
    "One training: with all streams of `seed`, or with its split alone"
    import torch
    torch.set_num_threads(1)
    start = time.time()
    kwargs = changes[task][change][1] if change else {}
    return tasks[task](seed, seed if shared=='all' else 10_000+seed, **kwargs),time.time()-start

def run_all(jobs, procs):
    if procs==1: return {o:job(*o) for o in jobs}
    res,start = {},time.time()
    with ProcessPoolExecutor(procs, mp_context=multiprocessing.get_context('spawn')) as pool:
        futures = {pool.submit(job, *o):o for o in jobs}
        for i,f in enumerate(as_completed(futures)):
            res[futures[f]] = f.result()
            if i%50==49: print(f'{i+1} of {len(jobs)} runs, {time.time()-start:.0f} s', flush=True)
    return res

def unpaired_runs(effect, va, vb):
    "Runs of each setting that Welch's test needs for `effect` with power 0.8"
    from scipy.special import nctdtr,stdtrit
    for n in range(2, 100_000):
        df = (n-1)*(va+vb)**2/(va**2+vb**2)
        if df>2000 or 1-nctdtr(df, effect/np.sqrt((va+vb)/n), stdtrit(df, 0.975))>=0.8: return n if df<=2000 else int(np.ceil((va+vb)*(2.8016/effect)**2))

def row(task, change, seeds, numbers):
    from fastai_repro.comparison import Comparison
    from fastai_repro.intervals import seeds_to_find
    a,b,some = ([numbers[task, c, s, shared] for s in seeds] for c,shared in (('','all'), (change,'all'), (change,'split')))
    c,split = Comparison(a, b, higher=False),Comparison(a, some, higher=False)
    va,vb = c.a.var(ddof=1),c.b.var(ddof=1)
    effect = 0.5*np.sqrt(va)
    paired,unpaired = int(seeds_to_find(effect/c.sd)),unpaired_runs(effect, va, vb)
    return dict(task=task, change=change, kind=changes[task][change][0], difference=c.difference, interval=c.interval, verdict=c.verdict, spread=float(np.sqrt(va)), all=c.sd, split=split.sd,
                none=float(np.sqrt(va+vb)), correlation=c.correlation, correlation_split=split.correlation, saved=float(c.saved), saved_interval=c.saved.interval, paired=2*paired, unpaired=2*unpaired)

def write(rows, seeds, seconds):
    says = lambda o: ('pairing costs runs' if o['saved']<1 else 'pairing does not pay' if o['unpaired']<1.2*o['paired'] else f"{o['unpaired']/o['paired']:.1f} times fewer")
    table = ['| task | change | kind | difference | all streams shared | split shared | nothing shared | correlation | runs, paired | runs, unpaired | |', '|'+'---|'*11]
    table += [f"| {o['task']} | {o['change'].replace('_', ' ')} | {o['kind']} | {o['difference']:+.4f} | {o['all']:.4f} | {o['split']:.4f} | {o['none']:.4f} | {o['correlation']:.2f} | {o['paired']} | {o['unpaired']} | {says(o)} |" for o in rows]
    twice = sum(o['unpaired']>=2*o['paired'] for o in rows)
    return f"""# Runs that pairing saves

Spread (standard deviation over {seeds} seeds) of the difference in validation loss between a setting and a changed one, with all random streams shared, with the split alone, and with nothing shared.
Runs: of both settings together, to find a difference of half the spread of the unchanged setting with power 0.8 at 95 %. Made by `benchmarks/power.py`.

""" + '\n'.join(table) + f"\n\nAt least twice fewer runs on {twice} of {len(rows)} rows. A run took {seconds:.1f} s on one thread in the median.\n"

@call_parse
def main(
    procs:int=1, # Trainings at a time, each on one thread
    seeds:int=20, # Seeds for each setting
    tasks:str='digits,tabular,collab,text', # Which tasks
    out:str=str(Path(__file__).parent/'results'/'power'), # File to write, without its ending
):
    names = tasks.split(',')
    from fastai_repro import digits_path
    digits_path()  # written once, before there are many that want it
    jobs = [(t, c, s, shared) for t in names for s in range(seeds) for c,shared in [('','all'), *((c, o) for c in changes[t] for o in ('all','split'))]]
    jobs.sort(key=lambda o: o[0]!='text' and o[0]!='digits')  # the long ones first
    done = run_all(jobs, procs)
    rows = [row(t, c, range(seeds), {k:v for k,(v,_) in done.items()}) for t in names for c in changes[t]]
    text = write(rows, seeds, float(np.median([s for _,s in done.values()])))
    Path(f'{out}.md').write_text(text)
    Path(f'{out}.json').write_text(json.dumps(dict(rows=rows, runs=[[*k, v, round(s, 2)] for k,(v,s) in done.items()]), indent=1)+'\n')
    print(text)
