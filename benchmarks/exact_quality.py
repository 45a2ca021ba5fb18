"""Does exact arithmetic train as well? Two tasks, many seeds, `exact` against ordinary arithmetic, paired by seed.

    python benchmarks/exact_quality.py [--seeds 100] [--device cuda] [--out FILE.md]

A pair starts from the same weights, and has the same split and the same order; dropout draws other numbers.
"""
import argparse,statistics
from contextlib import nullcontext
from pathlib import Path
import numpy as np
import torch
import torch.nn.functional as F
from scipy import stats
from sklearn.datasets import load_breast_cancer,load_digits
from torch import nn
from fastai.optimizer import Adam
from fastai_repro.exact import exact_arithmetic
from fastai_repro.seed import seeded

def cnn():
    return nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(.1), nn.Linear(32, 10))

def mlp(): return nn.Sequential(nn.BatchNorm1d(30), nn.Linear(30, 64), nn.ReLU(), nn.BatchNorm1d(64), nn.Dropout(.2), nn.Linear(64, 32), nn.SiLU(), nn.LayerNorm(32), nn.Linear(32, 2))

def digits():
    d = load_digits()
    return torch.tensor(d.images/16, dtype=torch.float32)[:,None],torch.tensor(d.target).long()

def cancer():
    d = load_breast_cancer()
    return torch.tensor((d.data-d.data.mean(0))/d.data.std(0), dtype=torch.float32),torch.tensor(d.target).long()

TASKS = dict(digits=(digits, cnn, 4, 64), cancer=(cancer, mlp, 12, 32))

def train(task, seed, exact, device):
    data,model,epochs,bs = TASKS[task]
    (x,y),rng = data(),np.random.default_rng(seed)
    p = torch.tensor(rng.permutation(len(x)))
    k = len(x)//5
    (xv,yv),(xt,yt) = ((x[q].to(device),y[q].to(device)) for q in (p[:k],p[k:]))
    with seeded(seed, 'init', exact=True): m = model().to(device)
    torch.manual_seed(seed)
    opt = Adam(list(m.parameters()), lr=1e-2, wd=.01)
    with exact_arithmetic() if exact else nullcontext():
        for _ in range(epochs):
            for idx in torch.tensor(rng.permutation(len(xt))).to(device).split(bs):
                if len(idx)<2: continue
                F.cross_entropy(m(xt[idx]), yt[idx]).backward()
                opt.step()
                opt.zero_grad()
        m.eval()
        with torch.no_grad(): out = m(xv)
        return F.cross_entropy(out, yv).item(),(out.argmax(1)==yv).float().mean().item()

if __name__=='__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--seeds', type=int, default=100); p.add_argument('--device', default='cpu'); p.add_argument('--out'); p.add_argument('--tasks', nargs='+', default=list(TASKS))
    args = p.parse_args()
    lines = [f'torch {torch.__version__}, {args.device}, {args.seeds} seeds.', '', '| task | metric | ordinary | exact | exact - ordinary (paired) | p (paired t) | p (Welch) |', '|---|---|---|---|---|---|---|']
    for t in args.tasks:
        res = {e:np.array([train(t, s, e, args.device) for s in range(args.seeds)]) for e in (False,True)}
        for i,metric in enumerate(('valid_loss','accuracy')):
            a,b = res[False][:,i],res[True][:,i]
            d = b-a
            lines.append(f'| {t} | {metric} | {a.mean():.4f} ± {a.std(ddof=1):.4f} | {b.mean():.4f} ± {b.std(ddof=1):.4f} | {d.mean():+.5f} ± {d.std(ddof=1)/len(d)**.5:.5f} | {stats.ttest_rel(a, b).pvalue:.2f} | {stats.ttest_ind(a, b, equal_var=False).pvalue:.2f} |')
            print(lines[-1], flush=True)
    text = '\n'.join(lines)+'\n'
    print(text)
    if args.out: Path(args.out).write_text(text)
