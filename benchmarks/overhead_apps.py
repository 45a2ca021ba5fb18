"""Time of an epoch against plain fastai, for each application of `invariance.py`, with plain against plain beside it.

    python benchmarks/overhead_apps.py [--pairs 20] [--device cuda] [--only NAMES] [--out F.md]

Rounds are interleaved in one process, each with new learners; `timing.py` says how a fit is timed. Tables have ten times the rows that
`invariance.py` gives them, so that an epoch has tens of steps; torch's loaders feed a network of the usual size.
"""
import random
import invariance
from timing import Stamps,timed,total
from invariance import apps,default_device,environment,folder,make,ours,plain,sources
from fastai.vision.all import Learner,accuracy,xresnet18
from fastcore.script import call_parse
from pathlib import Path

short = 'tabular','weighted tabular','collab dot product','collab neural net','language model' # tens of short steps: six epochs for each learner

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
        rounds = {'plain':[], 'again':[], 'ours':[]}
        repeats = 6 if app in short else 1
        for seed in range(pairs):  # new learners each time: one may be faster than the other by where its memory lies
            learns = {'plain':make(plain, app, where[app]), 'again':make(plain, app, where[app]), 'ours':make(ours, app, where[app], restore=False)}
            learns['ours'].repro.seed = seed  # plain fastai shuffles anew each time, and some orders of texts take longer than others
            for o in learns.values():
                o.add_cb(Stamps())
                o.fit(1)
            for k in random.sample(list(learns)*repeats, 3*repeats): rounds[k].append(timed(learns[k], 1))
        steps = sum(len(dl) for dl in learns['plain'].dls.loaders[:2])
        t = {k:total(v) for k,v in rounds.items()}
        micros = lambda k: (t[k]-t['plain'])/steps*1e6
        lines.append(f"| {app} | {steps} | {t['ours']/t['plain']:.3f} | {t['again']/t['plain']:.3f} | {micros('ours'):.0f} | {micros('again'):.0f} |")
        print(lines[-1], flush=True)
    lines += ['', ', '.join(f'{k} {v}' for k,v in environment().items() if v) + f'; {pairs} rounds']
    if out: Path(out).write_text('\n'.join(lines) + '\n')
