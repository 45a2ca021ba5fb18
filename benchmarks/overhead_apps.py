"""Time of an epoch against plain fastai, for each application of `invariance.py`, with plain against plain beside it.

    python benchmarks/overhead_apps.py [--makes 8] [--device cuda] [--only NAMES] [--out F.md]

Learners take turns in one process. Of each, an epoch is made of the median step of three and the median of what is around the steps; of the learners made anew
again and again the best one counts, because one can be faster than its twin by where its memory lies, and other work on the machine makes all of them slower. Tables have ten times the rows
that `invariance.py` gives them, so that an epoch has tens of steps; torch's loaders feed a network of the usual size.
"""
import random
import invariance
from timing import Stamps,timed,total
from invariance import apps,default_device,environment,folder,make,ours,plain,sources
from fastai.vision.all import Learner,accuracy,xresnet18
from fastcore.script import call_parse
from pathlib import Path

@call_parse
def main(
    makes:int=8, # How often learners are made anew
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
        epochs = {'plain':[], 'again':[], 'ours':[]}
        for _ in range(makes):
            learns = {'plain':make(plain, app, where[app]), 'again':make(plain, app, where[app]), 'ours':make(ours, app, where[app], restore=False)}
            for o in learns.values():
                o.add_cb(Stamps())
                o.fit(1)
            rounds = [{k:timed(learns[k], 1) for k in random.sample(list(learns), 3)} for _ in range(3)]
            for k in learns: epochs[k].append(total([o[k] for o in rounds]))
        steps,t = sum(len(dl) for dl in learns['plain'].dls.loaders[:2]),{k:min(v) for k,v in epochs.items()}
        micros = lambda k: (t[k]-t['plain'])/steps*1e6
        lines.append(f"| {app} | {steps} | {t['ours']/t['plain']:.3f} | {t['again']/t['plain']:.3f} | {micros('ours'):.0f} | {micros('again'):.0f} |")
        print(lines[-1], flush=True)
    lines += ['', ', '.join(f'{k} {v}' for k,v in environment().items() if v) + f'; the best of {makes} learners each']
    if out: Path(out).write_text('\n'.join(lines) + '\n')
