"""A thousand random cases of each exact operation: equal bits in every order and with every number of threads, within the stated error, and one digest for all machines.

    python benchmarks/exact_properties.py [--device cuda] [--n 1000] [--out FILE.json] [--kinds NAMES]
    python benchmarks/exact_properties.py --compare A.json B.json ...

Inputs have magnitudes from 2**-100 to 2**100, zeros, denormals, and in one case of ten infinities and NaN. They come from the counter-based generator, so each machine
has the same. The digest of a kind is that of the results of all its cases, NaN written as one NaN. On CUDA each case is also made on the CPU and compared.
"""
import argparse,json,math,random,sys,time
from pathlib import Path
import torch
import torch.nn.functional as F
from torch import nn
from fastai_repro import digest
from fastai_repro.exact import exact_arithmetic
from fastai_repro.exact_math import *
from fastai_repro.exact_sums import *

def values(rng, *shape, wide=True, special=False):
    "Numbers of all magnitudes, some zero, some denormal; with `special` some that are no numbers"
    n,key = math.prod(shape),rng.randrange(2**60)
    x,kind = random_normal(key, n),random_below(key+1, n, 0, 40)
    if wide:
        low = rng.randint(-100, 80)
        powers = torch.tensor([2.**k for k in range(low, low+20)], dtype=torch.float64)
        x = x*powers[random_below(key+2, n, 0, 20)]
    x = torch.where(kind==0, 0., torch.where(kind==1, 1e-42, x))
    if special: x = torch.where(kind==2, math.inf, torch.where(kind==3, math.nan, torch.where(kind==4, -math.inf, x)))
    return x.float().view(shape)

def order(rng, n): return random_order(rng.randrange(2**60), n)
def special(rng): return rng.random()<.1

# --- sums: the case, the case in another order, and the error allowed

def case_sum(rng):
    x = values(rng, rng.randint(1, 9), rng.randint(1, 4000), special=special(rng))
    p,n = order(rng, x.shape[1]),x.shape[1]
    return [x],lambda x: exact_sum(x, 1),lambda x: exact_sum(x[:,p.to(x.device)], 1),lambda x: (x.double().sum(1), n*x.double().abs().amax(1)*2.**-sum_bits(n))

def case_matmul(rng):
    m,k,n = rng.randint(1, 20),rng.randint(1, 2000),rng.randint(1, 20)
    a,b,p = values(rng, m, k, special=special(rng)),values(rng, k, n),order(rng, k)
    bound = lambda a,b: (a.double()@b.double(), k*a.double().abs().amax(1, keepdim=True)*b.double().abs().amax(0)*2.**(1-product_bits(k)))
    return [a,b],exact_matmul,lambda a,b: exact_matmul(a[:,p.to(a.device)], b[p.to(a.device)]),bound

def conv_case(rng):
    d,transposed,groups = rng.randint(1, 2),rng.random()<.3,rng.choice([1,1,2,3])
    n,ci,co,k = rng.randint(1, 6),groups*rng.randint(1, 6),groups*rng.randint(1, 6),rng.randint(1, 3)
    args = [rng.randint(1, 2)]*d,[rng.randint(0, 1)]*d,[rng.randint(1, 2)]*d,transposed,[0]*d,groups
    return values(rng, n, ci, *[rng.randint(6, 12)]*d),values(rng, *((ci,co//groups) if transposed else (co,ci//groups)), *[k]*d),args

def case_conv(rng):
    x,w,args = conv_case(rng)
    p,c = order(rng, len(x)),order(rng, x.shape[1])
    other = lambda x,w: exact_conv(x[p.to(x.device)], w, *args)[p.argsort().to(x.device)] if args[-1]>1 or args[3] else exact_conv(x[:,c.to(x.device)], w[:,c.to(x.device)], *args)
    terms = max(w[0].numel(), w[:,0].numel())
    return [x,w],lambda x,w: exact_conv(x, w, *args),other,lambda x,w: (torch.convolution(x.double(), w.double(), None, *args), terms*x.double().abs().max()*w.double().abs().max()*2.**(1-product_bits(terms)))

def conv_gradient(rng, which):
    x,w,args = conv_case(rng)
    g = values(rng, *torch.convolution(x, w, None, *args).shape)
    f = exact_conv_input if which==0 else exact_conv_weight
    p = order(rng, len(x))
    def other(x, w, g):
        q = p.to(x.device)
        return f(g[q], x[q], w, *args)[q.argsort()] if which==0 else f(g[q], x[q], w, *args)
    def true(x, w, g):
        x,w = (o.double().requires_grad_() for o in (x, w))
        torch.convolution(x, w, None, *args).backward(g.double())
        res,pair = (x.grad,(g,w)) if which==0 else (w.grad,(g,x))
        terms = max(w[0].numel(), w[:,0].numel()) if which==0 else max(g[:,0].numel(), x[:,0].numel())
        return res.detach(),terms*pair[0].double().abs().max()*pair[1].detach().double().abs().max()*2.**(1-product_bits(terms))
    return [x,w,g],lambda x,w,g: f(g, x, w, *args),other,true

def case_conv_input(rng): return conv_gradient(rng, 0)
def case_conv_weight(rng): return conv_gradient(rng, 1)

def case_index_add(rng):
    n,rows = rng.randint(1, 500),rng.randint(1, 9)
    x,idx,p = values(rng, n, rng.randint(1, 5)),random_below(rng.randrange(2**60), n, 0, rows),order(rng, n)
    true = lambda x: (x.new_zeros(rows, x.shape[1], dtype=torch.float64).index_add(0, idx.to(x.device), x.double()), n*x.double().abs().max()*2.**-min(48, 61-n.bit_length()))
    return [x],lambda x: exact_index_add(rows, idx.to(x.device), x),lambda x: exact_index_add(rows, idx[p].to(x.device), x[p.to(x.device)]),true

# --- functions and modules in the mode

functions = dict(exp=torch.exp, log=torch.log, log1p=torch.log1p, sqrt=torch.sqrt, rsqrt=torch.rsqrt, sigmoid=torch.sigmoid, tanh=torch.tanh, erf=torch.erf, gelu=F.gelu, silu=F.silu, softplus=F.softplus, elu=F.elu, mish=F.mish,
                 softmax=lambda x: x.softmax(0), log_softmax=lambda x: x.log_softmax(0), power=lambda x: x.abs()**1.3, divided=lambda x: x/3, std=lambda x: x.std(), norm=lambda x: x.norm(), lerp=lambda x: torch.lerp(x, x+1, .3),
                 addcmul=lambda x: torch.addcmul(x, x, x, value=.3), alpha=lambda x: x.add(x, alpha=-.01), logsumexp=lambda x: x.logsumexp(0), cumsum=lambda x: x.cumsum(0))

def backward(f, xs):
    xs = [o.clone().requires_grad_() for o in xs]
    y = f(*xs)
    y.backward(torch.ones_like(y)+y.detach()*.25)
    return [y.detach(), *(o.grad for o in xs)]

def case_function(rng):
    name = rng.choice(list(functions))
    x = values(rng, rng.randint(2, 3000), wide=rng.random()<.5 and name not in ('std','addcmul'), special=special(rng) and name not in ('cumsum',))
    return [x],lambda x: backward(functions[name], [x]),None,None

def some_layer(rng):
    c = 2*rng.randint(1, 5)
    return rng.choice([lambda: (nn.Linear(c, 7), (9,c)), lambda: (nn.Conv2d(c, 6, 3, rng.randint(1, 2), 1, groups=2), (5,c,9,9)), lambda: (nn.Conv1d(c, 5, 3, dilation=2), (4,c,20)), lambda: (nn.ConvTranspose2d(c, 6, 3, 2), (3,c,5,5)),
        lambda: (nn.BatchNorm2d(c), (6,c,7,7)), lambda: (nn.BatchNorm1d(c), (16,c)), lambda: (nn.LayerNorm(c), (5,4,c)), lambda: (nn.GroupNorm(2, c), (4,c,6,6)), lambda: (nn.MaxPool2d(3, 2, 1), (3,c,9,9)), lambda: (nn.AvgPool2d(3, 2, 1), (3,c,9,9)),
        lambda: (nn.AdaptiveAvgPool2d((3,2)), (3,c,7,5)), lambda: (nn.AdaptiveMaxPool2d(2), (3,c,7,5)), lambda: (nn.Upsample(scale_factor=2), (2,c,4,4)), lambda: (nn.TransformerEncoderLayer(c, 2, 8, dropout=.1), (6,3,c)), lambda: (nn.Dropout(.3), (40,c))])()

def case_layer(rng):
    seed = rng.randrange(2**40)
    torch.manual_seed(seed)
    m,shape = some_layer(rng)
    x = values(rng, *shape, wide=False)*2.**rng.randint(-20, 20)
    if rng.random()<.2: x = (x*4).round()/4  # ties
    def f(x):
        m.to(x.device).zero_grad()
        for o in m.modules():
            if hasattr(o, 'reset_running_stats'): o.reset_running_stats()
        torch.manual_seed(seed)
        return [*backward(m, [x]), *(p.grad for p in m.parameters()), *m.buffers()]
    return [x],f,None,None

def some_loss(rng, x, y, soft):
    return rng.choice([lambda: F.cross_entropy(x, y), lambda: F.cross_entropy(x, y, label_smoothing=.1), lambda: F.mse_loss(x, soft), lambda: F.l1_loss(x, soft), lambda: F.smooth_l1_loss(x, soft), lambda: F.huber_loss(x, soft),
        lambda: F.binary_cross_entropy_with_logits(x, soft), lambda: F.binary_cross_entropy(x.sigmoid(), soft), lambda: F.cross_entropy(x, y, reduction='sum'), lambda: F.nll_loss(x.log_softmax(1), y, ignore_index=0)])()

def case_loss(rng):
    n,c = rng.randint(2, 200),rng.randint(2, 20)
    x,y,soft,state = values(rng, n, c, wide=False)*2.**rng.randint(-4, 6),random_below(rng.randrange(2**60), n, 0, c),random_uniform(rng.randrange(2**60), n*c).float().view(n, c),rng.getstate()
    def f(x):
        rng.setstate(state)
        return backward(lambda x: some_loss(rng, x, y.to(x.device), soft.to(x.device)), [x])
    return [x],f,None,None

def case_optimizer(rng):
    from fastai.optimizer import Adam,Lamb,Larc,RAdam,RMSProp,SGD,OptimWrapper
    make = rng.choice([lambda ps: Adam(ps, lr=.1, wd=.01), lambda ps: SGD(ps, lr=.1, mom=.9, wd=.1), lambda ps: SGD(ps, lr=.3), lambda ps: RAdam(ps, lr=.1), lambda ps: RMSProp(ps, lr=.01, mom=.9), lambda ps: Larc(ps, lr=.1), lambda ps: Lamb(ps, lr=.1),
                       lambda ps: OptimWrapper(opt=torch.optim.AdamW(ps, lr=.1)), lambda ps: OptimWrapper(opt=torch.optim.SGD(ps, lr=.1, momentum=.9, nesterov=True))])
    x,g = values(rng, rng.randint(1, 300), wide=False),values(rng, 1, 1)
    gs = [values(rng, *x.shape, wide=False)*2.**rng.randint(-20, 10) for _ in range(3)]
    def f(x):
        p = nn.Parameter(x.clone())
        opt = make([p])
        for g in gs:
            p.grad = g.to(x.device).clone()
            opt.step()
        return p.detach()
    return [x],f,None,None

def case_random(rng):
    seed,n = rng.randrange(2**60),rng.randint(1, 3000)
    def f(x):
        torch.manual_seed(seed)
        e = torch.empty(n, device=x.device)
        return [e.clone().normal_(), e.clone().uniform_(-1, 1), torch.rand(n, device=x.device), torch.randint(9, (n,), device=x.device), torch.randperm(n, device=x.device), e.clone().bernoulli_(.3), F.dropout(torch.ones_like(e))]
    return [torch.zeros(1)],f,None,None

KINDS = {k[5:]:v for k,v in list(globals().items()) if k.startswith('case_')}

def canonical(res):
    res = [o.detach().cpu() for o in (res if isinstance(res, (list,tuple)) else [res]) if o is not None]
    return digest([torch.where(o.isnan(), torch.tensor(math.nan, dtype=o.dtype), o) if o.is_floating_point() else o for o in res])

def on_threads(n, f):
    old = torch.get_num_threads()
    torch.set_num_threads(n)
    try: return f()
    finally: torch.set_num_threads(old)

def check(kind, n, device, threads):
    rng,bits,bad = random.Random(kind),[],dict(order=0, threads=0, error=0, device=0)
    for i in range(n):
        with exact_arithmetic(): xs,f,other,true = KINDS[kind](rng)
        state = rng.getstate()
        there = [o.to(device) for o in xs]
        with exact_arithmetic():
            bits.append(canonical(f(*there)))
            if other is not None: bad['order'] += canonical(other(*there))!=bits[-1]
            if device!='cpu': bad['device'] += canonical(f(*xs))!=bits[-1]
            elif i%10==0: bad['threads'] += on_threads(threads[i//10%len(threads)], lambda: canonical(f(*xs)))!=bits[-1]
        if true is not None and all(o.isfinite().all() for o in xs):
            value,allowed = true(*xs)
            bad['error'] += not ((f(*xs).cpu()-value).abs()<=allowed*1.001+2e-66).all()
        rng.setstate(state)
    return dict(cases=n, digest=digest(bits), **bad)

def machine(device): return dict(device=torch.cuda.get_device_name() if device=='cuda' else torch.backends.cpu.get_cpu_capability(), torch=torch.__version__)

if __name__=='__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--device', default='cpu'); p.add_argument('--n', type=int, default=1000); p.add_argument('--out'); p.add_argument('--kinds', nargs='+', default=list(KINDS)); p.add_argument('--compare', nargs='+')
    args = p.parse_args()
    if args.compare:
        all_ = [json.loads(Path(o).read_text()) for o in args.compare]
        ok = True
        for k in KINDS:
            d = {o['kinds'][k]['digest'] for o in all_ if k in o['kinds']}
            ok = ok and len(d)<=1
            print(k, 'equal' if len(d)==1 else d)
        sys.exit(not ok)
    res = dict(machine=machine(args.device), kinds={})
    print('| kind | cases | digest | other order | other threads | beyond the error | CPU differs | seconds |\n|---|---|---|---|---|---|---|---|')
    for k in args.kinds:
        start = time.perf_counter()
        o = res['kinds'][k] = check(k, args.n, args.device, [1,2,3,5])
        print(f"| {k} | {o['cases']} | {o['digest'][:12]} | {o['order']} | {o['threads']} | {o['error']} | {o['device'] if args.device!='cpu' else ''} | {time.perf_counter()-start:.0f} |", flush=True)
        if args.out: Path(args.out).write_text(json.dumps(res, indent=1))
