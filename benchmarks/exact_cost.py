"""What exact arithmetic costs: the time of a step, and of each operation in it.

    python benchmarks/exact_cost.py [--device cuda] [--size 128] [--bs 64] [--out FILE.md]

Steps (forward, loss, backward, fastai's Adam) with strict float32 (no TF32) and with `exact_arithmetic`: in turn, ten of each a round, the median of all. Ordinary steps
stand there twice; the one against the other (A/A) is the noise.
"""
import argparse,statistics,time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
import torch
import torch.nn.functional as F
from torch import nn
from fastai.collab import EmbeddingDotBias
from fastai.optimizer import Adam
from fastai.tabular.model import TabularModel
from fastai.vision.learner import create_body,create_head
from torchvision.models import resnet18
import fastai_repro.exact as exact

def vision(args):
    m = nn.Sequential(create_body(resnet18(weights=None), pretrained=False), create_head(512, 10))
    return m,(torch.rand(args.bs, 3, args.size, args.size),),torch.randint(10, (args.bs,)),F.cross_entropy

def tabular(args):
    m = TabularModel([(10,6),(20,8),(5,4)], 5, 2, [200,100], ps=[.1,.1], embed_p=.05)
    return m,(torch.randint(5, (64,3)),torch.randn(64, 5)),torch.randint(2, (64,)),F.cross_entropy

def collab(args): return EmbeddingDotBias(50, 1000, 1500, y_range=(0,5.5)),(torch.randint(1000, (64,2)),),torch.rand(64),F.mse_loss

def sync(device):
    if device=='cuda': torch.cuda.synchronize()

def clock(device):
    "On the CPU the time of this process, all threads together: other programs don't count"
    return time.perf_counter() if device=='cuda' else time.process_time()

def times(step, n, device, exactly):
    res = []
    with exact.exact_arithmetic() if exactly else nullcontext():
        for _ in range(n):
            sync(device)
            start = clock(device)
            step()
            sync(device)
            res.append(clock(device)-start)
    return res

def in_turn(step, rounds, n, device):
    "Milliseconds of an ordinary step, of an exact one, and of an ordinary one again"
    res = [[],[],[]]
    for i in range(rounds+1):
        for o,exactly in zip(res, (False,True,False)): o += times(step, n, device, exactly)[:n if i else 0]  # the first round warms up
    return [1000*statistics.median(o) for o in res]

def by_operation(step, device):
    "Seconds in each operation of one exact step, with a synchronization after each"
    spent,plain = Counter(),exact._ExactMode.__torch_dispatch__
    def timed(self, func, types, args=(), kwargs=None):
        start = clock(device)
        try: return plain(self, func, types, args, kwargs)
        finally:
            sync(device)
            spent[func._schema.name] += clock(device)-start
    exact._ExactMode.__torch_dispatch__ = timed
    try: times(step, 1, device, True)
    finally: exact._ExactMode.__torch_dispatch__ = plain
    total = sum(spent.values())
    return ', '.join(f'{k[6:]} {v/total:.0%}' for k,v in spent.most_common(6))

if __name__=='__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--device', default='cpu'); p.add_argument('--size', type=int, default=128); p.add_argument('--bs', type=int, default=64); p.add_argument('--rounds', type=int, default=10); p.add_argument('--n', type=int, default=10); p.add_argument('--threads', type=int); p.add_argument('--out')
    args = p.parse_args()
    if args.threads: torch.set_num_threads(args.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    name = torch.cuda.get_device_name() if args.device=='cuda' else f'CPU ({torch.backends.cpu.get_cpu_capability()}), {torch.get_num_threads()} threads'
    lines = [f'{name}, torch {torch.__version__}; vision: ResNet-18 with fastai\'s head, {args.bs} images of {args.size} pixels', '', '| model | ordinary, ms | A/A | exact, ms | ratio | where the time of an exact step goes |', '|---|---|---|---|---|---|']
    for f in (vision,tabular,collab):
        m,xs,y,loss = f(args)
        m,xs,y = m.to(args.device),tuple(o.to(args.device) for o in xs),y.to(args.device)
        opt = Adam(list(m.parameters()), lr=1e-3)
        def step():
            loss(m(*xs), y).backward()
            opt.step()
            opt.zero_grad()
        a,b,c = in_turn(step, args.rounds, args.n, args.device)
        lines.append(f'| {f.__name__} | {a:.2f} | {c/a:.2f} | {b:.2f} | {b/a:.1f} | {by_operation(step, args.device)} |')
        print(lines[-1], flush=True)
    if args.out: Path(args.out).write_text('\n'.join(lines)+'\n')
