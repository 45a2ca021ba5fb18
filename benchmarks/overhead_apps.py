"""Time of an epoch against plain fastai, for each application of `invariance.py`, with plain against plain beside it.

    python benchmarks/overhead_apps.py [--pairs 20] [--device cuda] [--only NAMES] [--out F.md]

Rounds are interleaved in one process; ratios and microseconds a step are medians over the rounds. Tables have ten times the rows
that `invariance.py` gives them, so that an epoch has tens of steps; torch's loaders feed a network of the usual size.
"""
import random,statistics,time
import invariance
from invariance import apps,default_device,environment,folder,make,ours,plain,sources,torch
from fastai.vision.all import Learner,accuracy,xresnet18
from fastcore.script import call_parse
from pathlib import Path

def seconds(learn):
    start = time.perf_counter()
    learn.fit(1)
    if torch.cuda.is_available(): torch.cuda.synchronize()
    return time.perf_counter()-start

@call_parse
def main(
    pairs:int=20, # Rounds of each measurement
    device:str='cpu', # cpu or cuda
    only:str='', # Applications to do, with commas; default: all
    out:str='', # Write the table to this file (Markdown)
):
    "Print the overhead for each application"
    default_device(device=='cuda')
    invariance.repeats = 10
    apps['torch loaders'] = apps['torch loaders'][0],(lambda dls: Learner(dls, xresnet18(c_in=1, n_out=10), metrics=accuracy)),None
    where = sources(Path(folder)/'data')
    lines = ['| application | steps | ours / plain | plain / plain | microseconds a step, ours - plain | plain - plain |\n|---|---|---|---|---|---|']
    for app in only.split(',') if only else apps:
        learns = {'plain':make(plain, app, where[app]), 'again':make(plain, app, where[app]), 'ours':make(ours, app, where[app], restore=False)}
        for o in learns.values(): seconds(o)
        rounds = [{k:seconds(learns[k]) for k in random.sample(list(learns), 3)} for _ in range(pairs)]
        steps = sum(len(dl) for dl in learns['plain'].dls.loaders[:2])
        ratio = lambda k: statistics.median(o[k]/o['plain'] for o in rounds)
        micros = lambda k: statistics.median(o[k]-o['plain'] for o in rounds)/steps*1e6
        lines.append(f"| {app} | {steps} | {ratio('ours'):.3f} | {ratio('again'):.3f} | {micros('ours'):.0f} | {micros('again'):.0f} |")
        print(lines[-1], flush=True)
    lines += ['', ', '.join(f'{k} {v}' for k,v in environment().items() if v) + f'; {pairs} rounds']
    if out: Path(out).write_text('\n'.join(lines) + '\n')
