"""No two generators draw the same: all pairs of generators that an item, a batch or a step draws from, and all streams, against chance.

    python benchmarks/independence.py [--items 1000] [--batches 500] [--keys 100000] [--workers 0] [--out F.md]

Generators of each kind are held in twos, one by a dataset and one by a transform, and drawn from beside the global ones. Compared is the
first number that each draws for an item, and for raw 32-bit words each of the first eight with each of the other's. Bounds are those of the
binomial distribution, corrected for all comparisons that are made. The exit status is 1 if one is broken.
"""
import random,sys,warnings
from collections import namedtuple
from functools import partial
from itertools import combinations
from pathlib import Path
warnings.filterwarnings('ignore')
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader as TorchLoader
from scipy import stats
from fastcore.basics import noop
from fastcore.script import call_parse
from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai_repro import ReproCallback,repro_dls
from fastai_repro.streams import SCHEME,stream_seed

seed,risk,lags = 42,1e-3,10 # seed of all loaders; the chance that anything at all is out of bounds where nothing is wrong; lags of streams
highs = {'randint(2)':2, 'randint(10)':10, 'words':2**32, 'uniform':None}

# --- generators

def on_device(device): return lambda s: torch.Generator(device).manual_seed(s)

def numpy_with(bits): return lambda s: np.random.Generator(bits(s))

held = {'random.Random':random.Random, 'RandomState':np.random.RandomState, 'default_rng':np.random.default_rng,
        'torch.Generator':on_device('cpu'), **{o:numpy_with(getattr(np.random, o)) for o in ('MT19937','Philox','SFC64','PCG64DXSM')}}
common = {'python':random, 'numpy':np.random, 'torch':torch}
# of an integer seed these take 32 bits
narrow = 'numpy','torch','RandomState 1','RandomState 2','torch.Generator 1','torch.Generator 2'

def on_gpu():
    "What batches and steps can draw from besides, where there is a GPU"
    return ({'torch.Generator on the GPU':on_device('cuda')}, {'torch on the GPU':torch.cuda}) if torch.cuda.is_available() else ({}, {})

def of_torch(g, what, n):
    kw = dict(device=g.device, generator=g) if isinstance(g, torch.Generator) else dict(device='cuda' if g is torch.cuda else 'cpu')
    if what=='uniform': return torch.rand(n, **kw).cpu().numpy()
    if what!='words': return torch.randint(highs[what], (n,), **kw).cpu().numpy()
    x = torch.empty(n//2, dtype=torch.int64, device=kw['device']).random_(-2**63, None, generator=kw.get('generator'))
    return x.cpu().numpy().view(np.uint32)  # all 64 bits of a number, so that no word of the generator is left out

def of_python(g, what, n):
    f = {'uniform':g.random, 'words':lambda: g.getrandbits(32)}.get(what, lambda: g.randrange(highs[what]))
    return [f() for _ in range(n)]

def of_numpy(g, what, n):
    if what=='uniform': return g.random(n)
    integers = g.integers if isinstance(g, np.random.Generator) else g.randint
    return integers(highs[what], size=n, dtype=np.uint32 if what=='words' else np.int64)

def draw(g, what, n):
    "The next `n` numbers of `g`: a generator, or a module that has a global one"
    if g in (torch, torch.cuda) or isinstance(g, torch.Generator): return of_torch(g, what, n)
    return (of_python if g is random or isinstance(g, random.Random) else of_numpy)(g, what, n)

class Sources:
    "Holds generator number `number` of each kind; a call draws `n` numbers from each, and from the global ones that `modules` have"
    def __init__(self, what, n, number, kinds=held, modules={}):
        self.what,self.n,self.modules = what,n,modules
        self.held = {f'{k} {number}':f(number) for k,f in kinds.items()}
    def names(self): return [*self.modules, *self.held]
    def __call__(self):
        drawn = [draw(g, self.what, self.n) for g in (*self.modules.values(), *self.held.values())]
        return torch.from_numpy(np.array(drawn, dtype=np.float64))

# --- an item, a batch and a step that draw

class Items:
    "A dataset whose items are draws, with `tfm` of a transform's too"
    def __init__(self, length, what, n, tfm=noop): self.length,self.sources,self.tfm = length,Sources(what, n, 1, modules=common),tfm
    def __len__(self): return self.length
    def __getitem__(self, i): return self.tfm(self.sources())

class ItemTransform:
    def __init__(self, what, n): self.sources = Sources(what, n, 2)
    def __call__(self, x): return torch.cat([x, self.sources()])

class BatchTransform:
    "Gives draws in place of the batch"
    def __init__(self, what, n):
        kinds,modules = on_gpu()
        self.first,self.second = Sources(what, n, 1, {**held, **kinds}, {**common, **modules}),Sources(what, n, 2, {**held, **kinds})
    def names(self): return [*self.first.names(), *self.second.names()]
    def __call__(self, x=None): return torch.cat([self.first(), self.second()])

class Layer(nn.Module):
    "A layer that draws in training, and writes down what"
    def __init__(self, what, n, drawn):
        super().__init__()
        self.linear,self.transform,self.write = nn.Linear(1, 1),BatchTransform(what, n),drawn.append
    def forward(self, x):
        if self.training: self.write(self.transform())
        return self.linear(x)

def two(make, *args, **kwargs): return DataLoaders(make(*args, **kwargs), make(*args, **kwargs))

def item_names(): return [*Items(1, 'words', 2).sources.names(), *ItemTransform('words', 2).sources.names()]

def batch_names(): return BatchTransform('words', 2).names()

def fastai_items(length, what, n, workers):
    dls = repro_dls(lambda: two(DataLoader, Items(length, what, n), bs=50, num_workers=workers, after_item=ItemTransform(what, n)), seed)
    return torch.cat(list(dls.train))

def torch_items(length, what, n, workers):
    dls = repro_dls(lambda: two(TorchLoader, Items(length, what, n, ItemTransform(what, n)), batch_size=50, num_workers=workers), seed)
    return torch.cat(list(dls.train))

def fastai_batches(length, what, n, workers):
    dls = repro_dls(lambda: two(DataLoader, list(range(length)), bs=1, num_workers=workers, after_batch=BatchTransform(what, n)), seed)
    return torch.stack(list(dls.train))

def fit(dls, model, epochs, *cbs):
    learn = Learner(dls, model, loss_func=nn.functional.mse_loss, cbs=[ReproCallback(seed), *cbs])
    learn.remove_cb(ProgressCallback)
    learn.logger = noop
    learn.fit(epochs)

def steps(length, what, n, workers):
    data,drawn = [(torch.ones(1), torch.ones(1))]*length,[]
    dls = repro_dls(lambda: DataLoaders(DataLoader(data, bs=1, num_workers=workers), DataLoader(data[:1], bs=1)), seed)
    fit(dls, Layer(what, n, drawn), 1)
    return torch.stack(drawn)

# --- pairs

Test = namedtuple('Test', 'name n chance low high') # share that chance gives in `n` comparisons, and its bounds
Pair = namedtuple('Pair', 'a b values broken surprise')

def binomial(name, n, p, level):
    return Test(name, n, p, stats.binom.ppf(level/2, n, p)/n, stats.binom.isf(level/2, n, p)/n)

def correlation(n):
    bound = 5/n**.5  # five standard deviations: 0.05 over 10,000
    return Test('correlation', n, 0, -bound, bound)

def tests_of(n, n_uniform, level):
    return [binomial('randint(2)', n, 1/2, level), binomial('randint(10)', n, 1/10, level), binomial('words', 64*n, 2**-32, level),
            binomial('bits', 32*n, 1/2, level), correlation(n_uniform)]

def equal_bits(a, b): return 1 - np.unpackbits((a.astype(np.uint32)^b.astype(np.uint32)).view(np.uint8)).mean()

def compared(x, i, j):
    "What each test sees of the generators `i` and `j`; `x` has an array (items, generators, numbers) for each kind of draw"
    a,b = x['words'][:,i],x['words'][:,j]
    return [*((x[o][:,i,0]==x[o][:,j,0]).mean() for o in ('randint(2)','randint(10)')), (a[:,:,None]==b[:,None]).mean(),
            equal_bits(a[:,0], b[:,0]), np.corrcoef(x['uniform'][:,i,0], x['uniform'][:,j,0])[0,1]]

def surprise(value, test):
    "Minus the logarithm of the probability of such a value by chance; to sort by"
    if test.name=='correlation': return -stats.norm.logsf(abs(value)*test.n**.5)
    count = round(value*test.n)
    return -min(stats.binom.logsf(count-1, test.n, test.chance), stats.binom.logcdf(count, test.n, test.chance), 0)

def pair(x, names, tests, i, j):
    values = compared(x, i, j)
    broken = [t.name for v,t in zip(values, tests) if not t.low<=v<=t.high]
    s = [surprise(v, t) for v,t in zip(values, tests)]
    return Pair(names[i], names[j], values, broken, (len(broken), max(s), min(sum(s), 1e9)))

def pairs(make, names, n, n_uniform, level):
    "All pairs of generators, worst first, and the tests"
    x = {o:make(n_uniform if o=='uniform' else n, o, 8 if o=='words' else 1).numpy() for o in highs}
    tests = tests_of(n, n_uniform, level)
    return sorted((pair(x, names, tests, i, j) for i,j in combinations(range(len(names)), 2)), key=lambda o: o.surprise, reverse=True),tests

def percent(o): return f'{100*o:.1f} %'

def shown(value, test, mark=True):
    s = f'{value:.3f}' if test.name=='correlation' else f'{round(value*test.n)}' if test.name=='words' else percent(value)
    return s if not mark or test.low<=value<=test.high else f'**{s}**'

def bounds(test):
    s = f'{shown(test.low, test, False)} to {shown(test.high, test, False)}'
    return f"{'equal ' if test.name!='correlation' else ''}{test.name}: {s}"

def row(*cells): return f"| {' | '.join(map(str, cells))} |"

def head(*cells): return [row(*cells), '|---'*len(cells) + '|']

def pair_table(title, found, tests, n):
    "All pairs, folded up"
    lines = [f'### {title}', '', f"Bounds of chance over {n:,}, {tests[-1].n:,} for correlations: {'; '.join(map(bounds, tests))}.", '',
             f'<details><summary>All {len(found)} pairs, worst first</summary>', '', *head('generators', '', *(t.name for t in tests))]
    return [*lines, *(row(p.a, p.b, *map(shown, p.values, tests)) for p in found), '', '</details>', '']

def pair_summary(title, found, tests, n):
    p = found[0]
    return row(title, f'{n:,}', len(found), sum(bool(o.broken) for o in found), f'{p.a}, {p.b}', *map(shown, p.values, tests))

# --- streams

uses = {'places': lambda i: ('item', 0, 'epoch', 0, i),
        'batches':lambda i: ('batch', 0, 'epoch', 0, i),
        'epochs': lambda i: ('order', 0, 'epoch', i),
        'loaders':lambda i: ('item', i, 'epoch', 1, 0),
        'looks':  lambda i: ('item', 0, 'look', i, 0),
        'steps':  lambda i: ('step', 'epoch', 0, 'train', i),
        'names':  lambda i: ('init', f'model {i}')}

def seeds_of(n):
    "64-bit seeds of `n` neighbouring keys of each use, and of `n` neighbouring seeds"
    res = {k:[stream_seed(seed, *f(i)) for i in range(n)] for k,f in uses.items()}
    res['seeds of a run'] = [stream_seed(i, 'init') for i in range(n)]
    return {k:np.array(v, dtype=np.uint64) for k,v in res.items()}

def duplicates(o): return len(o) - len(np.unique(o))

def p_uniform(o, bits): return stats.kstest((o & np.uint64(2**bits-1)).astype(np.float64)/2**bits, 'uniform').pvalue

def lag_correlation(o): return max((np.corrcoef(o[:-k], o[k:])[0,1] for k in range(1, lags+1)), key=abs)

def streams(n, level):
    "Lines of a table, and how many bounds are broken"
    found,bound = seeds_of(n),stats.norm.isf(level/2)/n**.5
    lines,broken = [],duplicates(np.concatenate(list(found.values())))
    for k,o in found.items():
        p,low,r = p_uniform(o, 64),p_uniform(o, 32),lag_correlation(o/2**64)
        broken += (p<level) + (low<level) + (abs(r)>bound)
        lines.append(row(k, f'{n:,}', duplicates(o), f'{p:.3f}', f'{low:.3f}', f'{r:.4f}'))
    lines.append(row('all together', f'{n*len(found):,}', duplicates(np.concatenate(list(found.values()))), '', '', ''))
    says = f'Uniform: p values of Kolmogorov-Smirnov, at least {level:.1e}; largest correlation at lags 1 to {lags}: at most {bound:.4f}.'
    columns = 'keys that differ in','seeds','duplicates','uniform','their lower 32 bits','lag correlation'
    return [*head(*columns), *lines, '', says, ''],broken

# --- places, passes, epochs, loaders, looks and steps together, as loaders and a training draw them

class Passes(Callback):
    "Notes what a fit sees, and passes over the third loader twice in each epoch"
    def __init__(self, seen): self.seen = seen
    def before_batch(self): self.seen.append(self.xb[0])
    def after_train(self): self.seen += [x for _ in range(2) for x,_ in self.dls[2]]

class Labelled(Items):
    def __getitem__(self, i): return super().__getitem__(i),torch.ones(1)

class Reads(Layer):
    def forward(self, x): return super().forward(x[:,0,:1].float()/2**32)

def training(length, workers):
    "The first 64 bits of each generator: for each item of two looks at three loaders and of a training of two epochs, and for its steps"
    def loader(): return DataLoader(Labelled(length, 'words', 2, ItemTransform('words', 2)), bs=4, num_workers=workers)
    dls = repro_dls(lambda: DataLoaders(loader(), loader(), loader()), seed)
    seen,drawn = [x for _ in range(2) for dl in dls.loaders for x,_ in dl],[]
    fit(dls, Reads('words', 2, drawn), 2, Passes(seen))
    return torch.cat(seen).numpy(),torch.stack(drawn).numpy()

def to_64_bits(x): return (x[...,0].astype(np.uint64)<<np.uint64(32) | x[...,1].astype(np.uint64)).ravel()

def group(items, steps_, names, is_in):
    "The draws of generators that are in a group, of items and steps together"
    pick = lambda x,names: to_64_bits(x[:,[i for i,o in enumerate(names) if is_in(o)]])
    return np.concatenate([pick(items, names), pick(steps_, batch_names())])

def together(length, workers, level):
    "Lines of a table, and how many bounds are broken"
    items,steps_ = training(length, workers)
    rows,broken = [],0
    for name,is_in,bits in (('numpy, RandomState, torch', lambda o: o in narrow, 32), ('all others', lambda o: o not in narrow, 64)):
        o = group(items, steps_, item_names(), is_in)
        bound = int(stats.poisson.isf(level, len(o)**2/2**(bits+1)))
        rows.append(row(name, f'{len(o):,}', bits, duplicates(o), bound))
        broken += duplicates(o)>bound
    return [*head('generators', 'draws of 64 bits', 'bits of a seed', 'duplicates', 'bound'), *rows, ''],broken

# ---

def environment(): return f'scheme {SCHEME}, python {sys.version.split()[0]}, torch {torch.__version__}, numpy {np.__version__}'

def families(items, batches, workers):
    "Name to (function that draws, names of the generators, number, number for correlations)"
    batch = "batches, fastai's loader"
    return {"items, fastai's loader":(partial(fastai_items, workers=workers), item_names(), items, 10*items),
            "items, torch's loader":(partial(torch_items, workers=workers), item_names(), items, 10*items),
            batch:(partial(fastai_batches, workers=workers), batch_names(), batches, batches),
            'steps of a fit':(partial(steps, workers=workers), batch_names(), batches, batches)}

def report(items, batches, keys, workers):
    "The whole text, and how many bounds are broken"
    todo = families(items, batches, workers)
    level = risk/(5*sum(len(names)*(len(names)-1)//2 for _,names,_,_ in todo.values()) + (2+lags)*(len(uses)+1) + 2)
    found = {k:(*pairs(f, names, n, many, level), n) for k,(f,names,n,many) in todo.items()}
    by_stream,broken_streams = streams(keys, level)
    in_training,broken_draws = together(max(4, keys//300), workers, level)
    broken = sum(bool(p.broken) for o,*_ in found.values() for p in o) + broken_streams + broken_draws
    verdict = f'{broken} pairs or streams are out of bounds' if broken else 'All are within the bounds of chance'
    text = ['# No two generators draw the same', '', f'{verdict}. {environment()}.', '', '## Pairs of generators', '',
            'Shares of equal numbers, and the correlation of uniform ones; for words, how many are equal. Shown is the worst pair.', '',
            *head('where', 'number', 'pairs', 'out of bounds', 'worst pair', 'randint(2)', 'randint(10)', 'words', 'bits', 'correlation'),
            *(pair_summary(k, *v) for k,v in found.items()), '', '## Streams', '', *by_stream,
            '## Three loaders, looked at twice, and a training of two epochs on them', '',
            'The first 64 bits that each generator draws for an item, in any pass, and for a step. Some generators take 32 bits of a seed,',
            'so that a few duplicates are chance.', '', *in_training, '## All pairs', '',
            *(o for k,v in found.items() for o in pair_table(k, *v))]
    return '\n'.join(text).rstrip() + '\n',broken

@call_parse
def main(
    items:int=1000, # Items to compare; ten times as many for correlations
    batches:int=500, # Batches and steps to compare
    keys:int=100_000, # Keys of each stream
    workers:int=0, # Workers of the loaders; results are the same for any number
    out:str='', # Write the tables to this file (Markdown)
):
    "Print a table of all pairs of generators and one of all streams, and exit with status 1 if one of them is not as chance would have it"
    text,broken = report(items, batches, keys, workers)
    print(text)
    if out: Path(out).write_text(text)
    if broken: sys.exit(1)
