"""Does a `Comparison` keep its promise? Simulated comparisons without and with a difference, and real trainings without one.

    python benchmarks/comparison_calibration.py [--sims 10000] [--trainings 200] [--out benchmarks/results/comparison_calibration]

Writes a table (.md) and the numbers (.json). The simulations take about half a minute on one core; `--trainings` makes that many comparisons of
five seeds (ten trainings each, about a tenth of a second a training). Limits: 5 % plus three standard errors of the share for a number of seeds
that was fixed before; 5 % for looks after every seed. What is above its limit is marked, and the exit status is then 1.
"""
import json,sys,time
from pathlib import Path
import numpy as np
from fastcore.script import call_parse
from fastai_repro.comparison import Comparison
from fastai_repro.intervals import all_equal,judge,multiplier,running

seeds,most = (3,5,10,12,20),30

# Noise: functions from (generator, simulations, seeds) to numbers of a and b, without a difference in their means

def both(draw, shared):
    "Exchangeable pairs: what both share, and what each has for itself"
    def pairs(rng, *shape):
        common = shared*draw(rng, shape) if shared else 0
        return tuple(common+draw(rng, shape) for _ in range(2))
    return pairs

def normal(rng, shape): return rng.normal(size=shape)
def t3(rng, shape): return rng.standard_t(3, shape)
def exponential(rng, shape): return rng.exponential(size=shape)

def accuracy(shared):
    "Share of 200 items; what is hard differs from seed to seed, for both or for each"
    def pairs(rng, *shape):
        p = lambda: rng.beta(180, 20, shape)
        pa = p()
        return tuple(rng.binomial(200, o)/200 for o in (pa, pa if shared else p()))
    return pairs

def skewed(rng, *shape): return rng.normal(size=shape),rng.exponential(size=shape)-1
def diverging(rng, *shape):
    "b ends at -10 in 5 % of its runs; its mean is that of a"
    return rng.normal(size=shape),np.where(rng.random(shape)<0.05, -10, rng.normal(size=shape))+0.5

exchangeable = {f'{name}, {how}': both(f, shared) for name,f in (('normal', normal), ('t3', t3), ('exponential', exponential))
                for how,shared in (('not correlated', 0), ('correlated', 3))}
exchangeable |= {'accuracy of 200 items, not correlated': accuracy(False), 'accuracy of 200 items, correlated': accuracy(True)}
asymmetric = {'exponential against normal': skewed, 'diverges in 5 % of runs': diverging}

# What comparisons say, after 2, 3, ... seeds

def looks(a, b, anytime=False):
    "Ends of the interval after each seed"
    n,(mean,sd) = np.arange(2, a.shape[-1]+1),running(b-a)
    half = np.where(all_equal(a, b), np.inf, multiplier(n, anytime=anytime)*sd/np.sqrt(n))
    return mean-half,mean+half

def check(a, b, **kwargs):
    "The first comparisons once more, through the class itself"
    import warnings
    low,high = looks(a[:50], b[:50], kwargs.get('anytime', False))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for i in range(50): assert np.allclose(Comparison(a[i], b[i], **kwargs).interval, (low[i,-1], high[i,-1]), equal_nan=True), i

def rate(wrong): return dict(rate=float(wrong.mean()), n=int(wrong.size), se=float(np.sqrt(max(wrong.mean()*(1-wrong.mean()), 1/wrong.size)/wrong.size)))

def calibration(pairs, sims, rng):
    "False verdicts and coverage, without a difference"
    res = {}
    for n in seeds:
        a,b = pairs(rng, sims, n)
        check(a, b)
        low,high = (o[:, -1] for o in looks(a, b))
        res[f'n={n}'] = rate(judge(low, high)>0)
    a,b = pairs(rng, sims, most)
    check(a, b, anytime=True)
    low,high = looks(a, b, anytime=True)
    res['anytime'] = rate((judge(low, high)>0)[:, 1:].any(1))
    low,high = looks(a, b)
    res['peeking'] = rate((judge(low, high)>0)[:, 1:].any(1))
    return res

def coverage(pairs, sims, rng, shift=1.):
    "How often intervals hold a true difference of `shift`"
    res = {}
    for n in seeds:
        a,b = pairs(rng, sims, n)
        low,high = (o[:, -1] for o in looks(a, b+shift))
        res[f'n={n}'] = rate((low<=shift)&(shift<=high))
    a,b = pairs(rng, sims, most)
    low,high = looks(a, b+shift, anytime=True)
    res['anytime'] = rate(((low<=shift)&(shift<=high))[:, 1:].all(1))
    return res

def beside(sims, rng, correlation, spread=1.):
    "Coverage of the intervals that stand beside: share of wins, saved seeds"
    res = {}
    for n in seeds:
        x = rng.multivariate_normal([0, 0], [[1, correlation*spread], [correlation*spread, spread**2]], (sims, n))
        c = [Comparison(*o.T) for o in x]
        saved = (1+spread**2)/(1+spread**2-2*correlation*spread)
        res[f'n={n}'] = dict(wins=rate(np.array([o.prob_better.interval[0]<=0.5<=o.prob_better.interval[1] for o in c])),
                             saved=rate(np.array([o.saved.interval[0]<=saved<=o.saved.interval[1] for o in c])))
    return res

def splits(sims, rng, n_items=250, share=0.2):
    """Two rules that are equally good on new data (each right on 85 % of all items), compared on random splits of one data set.
    False verdicts about new data, with the ratio of validation to training size and without"""
    res,valid = {'with `ratio`':{}, 'without':{}},int(n_items*share)
    for n in seeds:
        right = (rng.random((2, sims, n_items))<0.85)
        difference = (right[1].astype(float)-right[0])
        d = np.stack([np.take_along_axis(difference, rng.random((sims, n_items)).argpartition(valid, 1)[:, :valid], 1).mean(1) for _ in range(n)], 1)
        se = d.std(1, ddof=1)*np.sqrt(1/n + np.array([valid/(n_items-valid), 0])[:, None])
        for k,o in zip(res, abs(d.mean(1)) > multiplier(n)*se): res[k][f'n={n}'] = rate(o)
    return res

def welch(a, b):
    "Does Welch's test find a difference?"
    from scipy.special import stdtrit
    n,va,vb = a.shape[1],a.var(1, ddof=1),b.var(1, ddof=1)
    df = (n-1)*(va+vb)**2/(va**2+vb**2)
    return abs(b.mean(1)-a.mean(1)) > stdtrit(df, 0.975)*np.sqrt((va+vb)/n)

def power(sims, rng):
    "Share of verdicts 'better' where b is better by `effect` standard deviations of one setting"
    for correlation in (0, 0.5, 0.9, 0.98):
        for effect in (0.25, 0.5, 1.):
            for n in (5, 10, 20):
                x = rng.multivariate_normal([0, effect], [[1, correlation], [correlation, 1]], (sims, n))
                a,b = x[..., 0],x[..., 1]
                always = judge(*looks(a, b, anytime=True))==1
                stop = np.where(always.any(1), always.argmax(1)+2, n)
                yield dict(correlation=correlation, effect=effect, n=n, welch=float((welch(a, b)&(b.mean(1)>a.mean(1))).mean()),
                           paired=float((judge(*(o[:, -1] for o in looks(a, b)))==1).mean()), anytime=float(always.any(1).mean()), stop=float(stop.mean()))

# Real trainings without a difference

def trainer():
    "A small network on 400 of the digits; `twin` draws its initial weights from another stream, which makes no difference on average"
    from sklearn.datasets import load_digits
    import torch
    from torch import nn
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    from fastai.metrics import accuracy
    from fastai_repro import ReproCallback,seeded
    data = load_digits()
    torch.set_num_threads(1)
    items = [(torch.tensor(x/16., dtype=torch.float32), int(y)) for x,y in zip(data.data, data.target)]
    def train(seed, twin=False):
        with seeded(seed, 'split'): idx = torch.randperm(len(items))[:500].tolist()
        dls = DataLoaders.from_dsets([items[i] for i in idx[:400]], [items[i] for i in idx[400:]], bs=32, val_bs=100, num_workers=0)
        with seeded(seed, 'twin' if twin else 'init'): model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 10))
        learn = Learner(dls, model, loss_func=nn.CrossEntropyLoss(), metrics=accuracy, cbs=ReproCallback(seed))
        with learn.no_bar(), learn.no_logging(): learn.fit(2, 1e-2)
        return learn.recorder.values[-1][-1]
    return train

def trained(n, per=5):
    "Verdicts of `n` real comparisons without a difference, `per` seeds each"
    train,found,saved = trainer(),[],[]
    for i in range(n):
        s = range(per*i, per*i+per)
        c = Comparison([train(o) for o in s], [train(o, twin=True) for o in s])
        found.append(c.verdict!='open')
        saved.append(float(c.saved))
    return dict(rate(np.array(found)), seeds=per, saved=float(np.nanmedian(saved)))

# The table

def share(o, limit=None): return f"{100*o['rate']:.2f}" + (' **above**' if limit is not None and o['rate']>limit else '')
def limit(o): return 0.05+3*np.sqrt(0.05*0.95/o['n'])
def table(head, rows): return '\n'.join(['| '+' | '.join(head)+' |', '|'+'---|'*len(head), *('| '+' | '.join(map(str, r))+' |' for r in rows)])

def write(res, sims):
    cols = [f'n={n}' for n in seeds]
    false = lambda part, promise: table(['noise', *cols, 'anytime, looks 3 to 30', 'for contrast: t test looked at 3 to 30'],
        [[k, *(share(v[c], limit(v[c]) if promise else None) for c in cols), share(v['anytime'], 0.05 if promise else None), share(v['peeking'])] for k,v in res[part].items()])
    real = res['trainings']
    parts = [f"# Calibration of `Comparison`\n\n{sims:,} simulated comparisons for each number, confidence 95 %, percent. Made by `benchmarks/comparison_calibration.py`.",
        f"## False verdicts without a difference, exchangeable pairs\n\nPromised: at most {100*limit(dict(n=sims)):.2f} (5 plus three standard errors) for a fixed number of seeds, at most 5 for `anytime`.",
        false('exchangeable', True),
        "## Asymmetric differences\n\nEqual means, but a difference that leans to one side. No promise: these are the rates.", false('asymmetric', False),
        "## How often the interval holds a true difference\n\nFor `anytime` all intervals from 3 to 30 seeds together.",
        table(['noise', *cols, 'anytime'], [[k, *(share(v[c]) for c in cols), share(v['anytime'])] for k,v in res['coverage'].items()]),
        "## Splits of one data set\n\nTwo rules that are equally good on new data, compared on random splits of 250 items (200 and 50), percent of false verdicts about new data. The rules are not trained, so this is the part that the data alone bring.",
        table(['interval', *cols], [[k, *(share(v[c]) for c in cols)] for k,v in res['splits'].items()]),
        "## The intervals beside it\n\nHow often `.prob_better` and `.saved` hold the truth (normal pairs).",
        table(['pairs', 'interval', *cols], [[k, i, *(share(v[c][i]) for c in cols)] for k,v in res['beside'].items() for i in ('wins','saved')]),
        "## Power\n\nShare of verdicts 'better', percent, where b is better by `effect` standard deviations of one setting. `anytime` stops when the verdict is there: after so many seeds on average.",
        table(['correlation','effect','seeds','Welch, unpaired','paired','paired, anytime','stops after'],
              [[o['correlation'], o['effect'], o['n'], *(f'{100*o[k]:.1f}' for k in ('welch','paired','anytime')), f"{o['stop']:.1f}"] for o in res['power']])]
    if real: parts += [f"## Real trainings without a difference\n\n{real['n']} comparisons of {real['seeds']} seeds (a small network on the digits; b has its initial weights from another stream, and shares split, order and dropout): "
                       f"{share(real, limit(real))} % false verdicts, at most {100*limit(real):.1f} allowed. Pairing saved a median factor of {real['saved']:.2f} here."]
    return '\n\n'.join(parts)+'\n'

@call_parse
def main(
    sims:int=10_000, # Simulated comparisons for each number
    trainings:int=200, # Real comparisons without a difference; 0: none
    out:str=str(Path(__file__).parent/'results'/'comparison_calibration'), # File to write, without its ending
):
    start,rng = time.time(),np.random.default_rng(20)
    res = dict(exchangeable={k:calibration(f, sims, rng) for k,f in exchangeable.items()}, asymmetric={k:calibration(f, sims, rng) for k,f in asymmetric.items()},
               coverage={k:coverage(f, sims, rng, 0.1 if 'accuracy' in k else 1.) for k,f in {**exchangeable, **asymmetric}.items()},
               beside={'correlation 0': beside(sims//5, rng, 0), 'correlation 0.9': beside(sims//5, rng, 0.9), 'correlation 0.9, b spreads three times as far': beside(sims//5, rng, 0.9, 3.)},
               splits=splits(sims, rng), power=list(power(sims, rng)), trainings=trained(trainings) if trainings else None)
    text = write(res, sims)
    Path(f'{out}.md').write_text(text)
    Path(f'{out}.json').write_text(json.dumps(res, indent=1)+'\n')
    print(text, f'{time.time()-start:.0f} s', sep='\n')
    return int('**above**' in text)
