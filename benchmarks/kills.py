"""Kill trainings at random moments, start them again until they are done, and compare with trainings that nobody killed.

    python benchmarks/kills.py [--kills 100] [--only NAMES] [--device cuda] [--jobs 2] [--out benchmarks/results/kills.md]

Each training is a process of its own, killed with SIGKILL: at a random time, or while a checkpoint is being written. Compared are digests of all
weights, losses, metrics and learning rates. The control is fastai's `SaveModelCallback` with `start_epoch`.
"""
import json,os,random,signal,subprocess,sys,tempfile,time,warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
warnings.filterwarnings('ignore')
from fastcore.script import call_parse,store_true

epochs = 3

def trainings():
    "Name to (application of `invariance.py`, number of workers, callbacks, fit)"
    from fastai.vision.all import MixUp,MixedPrecision
    one_cycle = lambda l,cbs: l.fit_one_cycle(epochs, cbs=cbs)
    return {
        'images, MixUp':            ('image classification', 0, lambda: [MixUp()], one_cycle),
        'images, 2 workers':        ('image classification', 2, lambda: [MixUp()], one_cycle),
        'images, fine_tune':        ('image classification', 0, lambda: [], lambda l,cbs: l.fine_tune(epochs-1, freeze_epochs=1, cbs=cbs)),
        'tabular':                  ('tabular', 0, lambda: [], one_cycle),
        'text classification':      ('text classification', 0, lambda: [], one_cycle),
        'language model':           ('language model', 0, lambda: [], one_cycle),
        'images, mixed precision':  ('image classification', 0, lambda: [MixedPrecision('fp16' if is_cuda() else 'bf16')], one_cycle),
    }

def is_cuda():
    import torch
    from fastai.torch_core import default_device
    return default_device().type=='cuda'

def train(name, folder, device, control):
    "Train `name` with its checkpoint in `folder`, and print the digest"
    import invariance as iv,torch
    from fastai.vision.all import SaveModelCallback,default_device,defaults
    from fastai_repro import ResumeCallback,digest,set_seed
    torch.set_num_threads(1)
    default_device(device=='cuda')
    app,workers,cbs,fit = trainings()[name]
    at = iv.apps[app][2]
    learn = iv.make(iv.plain if control else iv.ours, app, folder.parent/at.__name__ if at else None, cbs=cbs(), num_workers=workers)
    learn.path = folder
    if control:
        done = len(list((folder/'models').glob('*.pth')))
        if done: learn.load(f'model_{done-1}', with_opt=True, weights_only=False)
        set_seed(42)
        learn.fit_one_cycle(epochs, cbs=SaveModelCallback(every_epoch=True, with_opt=True), start_epoch=done)
    else: fit(learn, [ResumeCallback(folder/'run.ckpt', every=1)])
    r = learn.recorder
    print(json.dumps(digest([learn.model] if control else [learn.model, r.losses, r.values, r.lrs, r.iters])))

class Failed(Exception): pass

def start(name, folder, device, control):
    cmd = [sys.executable, __file__, '--child', name, '--folder', str(folder), '--device', device, *(['--plain'] if control else [])]
    return subprocess.Popen(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)

def result(p):
    out,err = p.communicate()
    if p.returncode: raise Failed(err[-2000:])
    return json.loads(out.splitlines()[-1])

def is_writing(folder): return any(folder.glob('.run.ckpt.????????'))

def modified(path):
    try: return path.stat().st_mtime_ns
    except FileNotFoundError: return None  # what was being written has got its name

def moment(p, folder, rng, aim, spread):
    "Wait for a moment to kill: while a checkpoint is written, or a random time of up to `spread` seconds after the first change in the folder (0: soon)"
    def files(): return {o.name:when for o in folder.rglob('*') if o.suffix!='.lock' and (when := modified(o))}
    before,until = files(),None
    while p.poll() is None:
        if until is None and files()!=before: until = time.time() + (rng.random()*spread if spread else 0.3)
        if until and (aim and is_writing(folder) or time.time()>until): return is_writing(folder)
        time.sleep(0.0005 if aim else 0.01)

def killed(name, folder, device, kills, rng, control=False):
    "Kill `name` until it is done or has been killed `kills` times; the digest, the kills, and how many hit a write"
    n = writes = 0
    while n<kills:
        p = start(name, folder, device, control)
        hit = moment(p, folder, rng, aim=rng.random()<0.3, spread=0 if control else 1)
        if p.poll() is not None: break
        os.killpg(p.pid, signal.SIGKILL)
        p.communicate()
        n,writes = n+1,writes+bool(hit)
    else: p = start(name, folder, device, control)
    return result(p),n,writes

def campaign(name, root, device, kills, seed):
    "Rounds of kills until there were enough"
    rng,n,writes,rounds,equal = random.Random(seed),0,0,0,0
    want = result(start(name, root/f'{seed}-whole', device, False))
    while n<kills:
        got,k,w = killed(name, root/f'{seed}-{rounds}', device, kills-n, rng)
        n,writes,rounds,equal = n+k,writes+w,rounds+1,equal+(got==want)
        print(f'{name}: {n} kills, {rounds} trainings, {equal} equal', file=sys.stderr, flush=True)
        if k==0: break
    return dict(name=name, kills=n, writes=writes, trainings=rounds, equal=equal)

def control(root, device):
    "fastai's own way, killed once in the middle"
    want = result(start('images, MixUp', root/'control-whole', device, True))
    try: got,n,_ = killed('images, MixUp', root/'control', device, 1, random.Random(0), control=True)
    except Failed: got,n = None,1  # it was killed while it wrote, and can't be loaded
    return dict(name='control: `SaveModelCallback` and `start_epoch`', kills=n, writes=0, trainings=1, equal=int(got==want))

@call_parse
def main(
    kills:int=105, # Kills in all
    only:str='', # Trainings to do, with semicolons; default: all
    device:str='cpu', # cpu or cuda
    jobs:int=2, # Trainings at a time
    out:str='', # Write the table to this file (Markdown)
    child:str='', # (internal) the training to do
    folder:str='', # (internal) its folder
    plain:store_true=False, # (internal) with plain fastai
):
    "Print a table of kills, and exit with status 1 if a training came out otherwise"
    if child: return train(child, Path(folder), device, plain)
    import invariance as iv
    names = only.split(';') if only else list(trainings())
    with tempfile.TemporaryDirectory() as d:
        iv.sources(d)
        with ThreadPoolExecutor(jobs) as pool:
            jobs_ = [pool.submit(campaign, o, Path(d), device, -(-kills//len(names)), i) for i,o in enumerate(names)] + [pool.submit(control, Path(d), device)]
            rows = [o.result() for o in jobs_]
    total = {k: sum(o[k] for o in rows[:-1]) for k in ('kills','writes','trainings','equal')}
    line = lambda o: f"| {o['name']} | {o['kills']} | {o['writes']} | {o['trainings']} | {o['equal']} |"
    text = '\n'.join(['| training | kills | of them while writing | trainings | equal |', '|---|---|---|---|---|', *map(line, [*rows[:-1], dict(name='all', **total), rows[-1]]),
                      '', f"{', '.join(f'{k} {v}' for k,v in iv.environment().items() if v)}; device {device}"])
    print(text)
    if out: Path(out).write_text(text + '\n')
    if total['equal']<total['trainings'] or rows[-1]['equal']: sys.exit(1)
