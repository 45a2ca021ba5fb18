"""The layers of `replace_nondeterministic` against those that they replace: a thousand random cases of each kind, and their time.

    python benchmarks/layers.py [--check 1000] [--device cuda] [--kinds NAMES] [--time] [--out F.md]

A case is a layer with random options, a shape, a type and a layout. The forward must be equal to the bit; the gradient equal to that of
float64 within rounding, and for maxima exactly, with many equal values and some that are not a number among the inputs. On CUDA the
replacement runs in strict mode, twice, to the same bits. Without `hypothesis` the cases are drawn by `random`, and not made simpler when one fails.
"""
import json,random,statistics,time
from copy import deepcopy
from pathlib import Path
import torch
from torch import nn
from fastcore.script import call_parse,store_true
from fastai_repro.layers import find_nondeterministic,replace_nondeterministic
from fastai_repro.seed import deterministic

try: from hypothesis import HealthCheck,Phase,given,settings,strategies as st
except ImportError: given = None

# --- cases: a layer and the shape of its input, from integer(low, high) and choice(options)

def size_of(d, integer, low=1, high=9): return [integer(low, high) for _ in range(d)]
def lead(integer): return [integer(1, 3), integer(1, 3)]
def by_dims(name, d): return getattr(nn, f'{name}{d}d')

def adaptive(name, integer, choice):
    d = choice([1,2,3])
    size = size_of(d, integer)
    out = choice([1, [choice([1,2,3,n]) for n in size], [integer(1, 9) for _ in size]])
    return by_dims(name, d)(out[0] if d==1 and out!=1 else out if out==1 else tuple(out)),lead(integer)+size

def pool3d(cls, integer, choice, **kw):
    kernel = [integer(1, 3) for _ in range(3)]
    return cls(tuple(kernel), choice([None,1,2,3]), tuple(integer(0, k//2) for k in kernel), ceil_mode=choice([True,False]), **kw),lead(integer)+size_of(3, integer, 3)

def max_pool3d(integer, choice): return pool3d(nn.MaxPool3d, integer, choice)
def avg_pool3d(integer, choice): return pool3d(nn.AvgPool3d, integer, choice, count_include_pad=choice([True,False]))

def fractional(integer, choice):
    d = choice([2,3])
    size,shape = size_of(d, integer, 4, 8),lead(integer)
    samples = torch.tensor([[[integer(0, 99)/100 for _ in range(d)] for _ in range(shape[1])] for _ in range(shape[0])])
    return by_dims('FractionalMaxPool', d)(2, output_size=tuple(integer(1, n-2) for n in size), _random_samples=samples),shape+size

def upsample(integer, choice):
    mode = choice(['linear','bilinear','bicubic','trilinear'])
    d = dict(linear=1, bilinear=2, bicubic=2, trilinear=3)[mode]
    if choice([True,False]): kw = dict(size=tuple(size_of(d, integer)))
    else: kw = dict(scale_factor=tuple(integer(10, 35)/10 for _ in range(d)), recompute_scale_factor=choice([None,True]))
    return nn.Upsample(mode=mode, align_corners=choice([None,True,False]), **kw),lead(integer)+size_of(d, integer)

def pad(integer, choice):
    d,name = choice([1,2,3]),choice(['ReflectionPad','ReplicationPad'])
    size = size_of(d, integer)
    most = lambda n: n-1 if name[:3]=='Ref' else 4
    return by_dims(name, d)(tuple(integer(0, most(n)) for n in size[::-1] for _ in range(2))),lead(integer)+size

def padded_conv(integer, choice):
    d,kernel = choice([1,2,3]),choice([1,3,5])
    shape = lead(integer)+size_of(d, integer, 3, 6)
    return by_dims('Conv', d)(shape[1], 2, kernel, padding=integer(0, 2), padding_mode=choice(['reflect','replicate'])),[shape[0], shape[1], *(max(o, kernel) for o in shape[2:])]

kinds = {'AdaptiveMaxPool': lambda *a: adaptive('AdaptiveMaxPool', *a), 'MaxPool3d': max_pool3d, 'FractionalMaxPool': fractional, 'AdaptiveAvgPool': lambda *a: adaptive('AdaptiveAvgPool', *a),
         'AvgPool3d': avg_pool3d, 'Upsample': upsample, 'Pad': pad, 'Conv': padded_conv}

# --- what must hold

def inputs(kind, shape, dtype, choice, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randint(-2, 3, shape, generator=g).float() if 'Max' in kind else torch.randn(shape, generator=g)
    if 'Max' in kind and choice([True,False]): x[torch.rand(shape, generator=g)<0.05] = torch.nan
    return lay_out(x.to(dtype), choice(['plain','channels_last','transposed']))

def lay_out(x, how):
    if how=='transposed': return x.transpose(0, -1).contiguous().transpose(0, -1)
    if how=='channels_last' and x.dim() in (4,5): return x.to(memory_format=torch.channels_last if x.dim()==4 else torch.channels_last_3d)
    return x

def out_and_grad(layer, x, seed, whole, magnitude=False):
    x = x.detach().clone().requires_grad_()
    y = layer(x)
    g = torch.Generator().manual_seed(seed)
    dy = torch.randint(-3, 4, y.shape, generator=g) if whole else torch.randn(y.shape, generator=g).to(torch.bfloat16)  # numbers that every type has
    dy = dy.to(y)
    y.backward(dy.abs() if magnitude else dy)
    return y.detach(),x.grad

def bits(t): return t.clone(memory_format=torch.contiguous_format).view(-1).view(torch.uint8)

def check_case(kind, layer, x, seed):
    ours,whole = deepcopy(layer),'Max' in kind
    replace_nondeterministic(ours)
    try:
        with deterministic(): y,g0 = out_and_grad(layer, x, seed, whole)
    except (RuntimeError,NotImplementedError,ValueError) as e: return str(e)  # the original can't
    with deterministic(strict=True):
        y1,g1 = out_and_grad(ours, x, seed, whole)
        again = out_and_grad(ours, x, seed, whole)[1]
    assert torch.equal(bits(y), bits(y1)) and y.dtype==y1.dtype and y.stride()==y1.stride(), f'forward of {layer}, {tuple(x.shape)}, {x.dtype}'
    assert torch.equal(bits(g1), bits(again)), f'two gradients of {layer}, {tuple(x.shape)}, {x.dtype}'
    assert g1.dtype==x.dtype and (not whole or torch.equal(g1, g0)), f'gradient of {layer}, {tuple(x.shape)}, {x.dtype}: not that of the original'
    if kind=='FractionalMaxPool': return  # has other windows in float64
    exact = deepcopy(layer).double()
    g64,size = (out_and_grad(exact, x.double(), seed, whole, o)[1] for o in (False,True))
    error,bound = (g1.double()-g64).abs(),(0 if whole else (64 if kind=='Conv' else 16)*torch.finfo(x.dtype).eps*(size.abs()+size.abs().amax()))
    assert bool((error<=bound).all()), f'gradient of {layer}, {tuple(x.shape)}, {x.dtype}: off by {error.max()}'

dtypes = [torch.float32, torch.float64, torch.float16, torch.bfloat16]

def one(kind, integer, choice, device):
    seed = integer(0, 10**6)
    torch.manual_seed(seed)
    layer,shape = kinds[kind](integer, choice)
    dtype = choice(dtypes[:2] if kind=='AvgPool3d' and device=='cpu' else dtypes)  # the CPU has it for these only
    try: check_layer(layer)
    except ValueError: return
    return check_case(kind, layer.to(device, dtype), inputs(kind, shape, dtype, choice, seed).to(device), seed)

def check_layer(layer):
    if not find_nondeterministic(layer): raise ValueError('nothing to replace')

def check(kind, n, device='cpu', shrink=True):
    "Check `n` random cases of `kind`; gives the number in which the original works"
    done,tf32 = [],torch.backends.cudnn.allow_tf32
    def case(integer, choice): done.append(one(kind, integer, choice, device) is None)
    torch.backends.cudnn.allow_tf32 = False
    try: drawn(case, n, shrink)
    finally: torch.backends.cudnn.allow_tf32 = tf32
    return sum(done)

def drawn(case, n, shrink):
    "Call `case` `n` times with functions that draw an integer and a choice"
    if given is None: return [case(r.randint, r.choice) for r in map(random.Random, range(n))]
    @settings(max_examples=n, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck), phases=[o for o in Phase if shrink or o is Phase.generate])
    @given(st.data())
    def cases(data): case(lambda a,b: data.draw(st.integers(a, b)), lambda o: data.draw(st.sampled_from(o)))
    cases()

# --- time

sizes = {  # layer, input: fastai's heads, VGG, PSPNet, DeepLab, `unet_learner(blur=True)`, CycleGAN, video
    'AdaptiveMaxPool2d(1), ResNet-18':  (lambda: nn.AdaptiveMaxPool2d(1), (64,512,7,7)),
    'AdaptiveMaxPool2d(1), ResNet-50':  (lambda: nn.AdaptiveMaxPool2d(1), (64,2048,7,7)),
    'AdaptiveMaxPool2d(2)':             (lambda: nn.AdaptiveMaxPool2d(2), (64,512,7,7)),
    'AdaptiveAvgPool2d(7), VGG':        (lambda: nn.AdaptiveAvgPool2d(7), (64,512,10,10)),
    'AdaptiveAvgPool2d(6), PSPNet':     (lambda: nn.AdaptiveAvgPool2d(6), (16,2048,28,28)),
    'Upsample(2, bilinear)':            (lambda: nn.Upsample(scale_factor=2, mode='bilinear'), (16,256,56,56)),
    'Upsample(8, bilinear), DeepLab':   (lambda: nn.Upsample(scale_factor=8, mode='bilinear'), (16,21,28,28)),
    'Upsample(2, bicubic)':             (lambda: nn.Upsample(scale_factor=2, mode='bicubic'), (16,256,56,56)),
    'Upsample(2, trilinear)':           (lambda: nn.Upsample(scale_factor=2, mode='trilinear'), (4,64,8,28,28)),
    'ReplicationPad2d, U-Net blur':     (lambda: nn.ReplicationPad2d((1,0,1,0)), (16,96,112,112)),
    'ReflectionPad2d(3), CycleGAN':     (lambda: nn.ReflectionPad2d(3), (4,64,256,256)),
    'MaxPool3d(3, 2), video':           (lambda: nn.MaxPool3d(3, 2, 1), (8,64,16,56,56)),
    'AvgPool3d(2), video':              (lambda: nn.AvgPool3d(2), (8,64,16,56,56)),
}

def cross_entropy(): return nn.CrossEntropyLoss(),(torch.randn(16,21,224,224),torch.randint(0,21,(16,224,224)))

def seconds_of(f, n, device, queued):
    "For one call; `queued` behind other work of the GPU, as in a training step, where the CPU is ahead"
    if device!='cuda':
        start = time.perf_counter()
        for _ in range(n): f()
        return (time.perf_counter()-start)/n
    first,last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    if queued: torch.cuda._sleep(n*600_000)  # cycles: a third of a millisecond a call
    first.record()
    for _ in range(n): f()
    last.record()
    torch.cuda.synchronize()
    return first.elapsed_time(last)/1e3/n

def step(layer, x, *rest, grad=None):
    def _f():
        x.grad = None
        y = layer(x, *rest)
        y.backward(torch.ones_like(y) if grad is None else grad)
    return _f

def times(layer, x, rest, device, rounds, n):
    "Milliseconds forward and backward: the original, again, the replacement, both in strict mode, and both with nothing else on the GPU; medians, and what strict mode says of the original"
    ours = deepcopy(layer)
    replace_nondeterministic(ours)
    x = x.detach().requires_grad_()
    with torch.no_grad(): grad = torch.randn_like(layer(x, *rest))
    f = {k:step(l, x, *rest, grad=grad) for k,l in (('original',layer), ('again',layer), ('replacement',ours), ('original, strict',layer), ('replacement, strict',ours), ('original, alone',layer), ('replacement, alone',ours))}
    def timed(k, n):
        with deterministic(strict=True) if 'strict' in k else deterministic(): return seconds_of(f[k], n, device, 'alone' not in k)*1e3
    error = ''
    for k in list(f):
        try: timed(k, 3)
        except RuntimeError as e: f.pop(k); error = str(e).split(' does not')[0].split()[-1]
    done = [{k:timed(k, n) for k in random.sample(list(f), len(f))} for _ in range(rounds)]
    return {**{k:statistics.median(o[k] for o in done) for k in f}, **{f'{k} / original':statistics.median(o[k]/o['original'] for o in done) for k in f if k!='original'}, 'alone':statistics.median(o['replacement, alone']/o['original, alone'] for o in done), 'raises':error}

def row(name, dtype, res):
    num = lambda k,d: f'{res[k]:.{d}f}' if k in res else res['raises']
    return f"| {name} | {dtype} | {num('original',3)} | {num('again / original',2)} | {num('replacement / original',2)} | {num('original, strict / original',2)} | {num('replacement, strict / original',2)} | {num('alone',2)} |"

def time_all(device, rounds, n, scale, show):
    rows = []
    for dtype,channels_last in ((torch.float32,False), (torch.float16 if device=='cuda' else torch.bfloat16,True)):
        for name,make in [*sizes.items(), ('CrossEntropyLoss, pixels', None)]:
            layer,(x,*rest) = (make[0](),(torch.randn(max(1, int(make[1][0]*scale)), *make[1][1:]),)) if make else cross_entropy()
            x = x.to(device, dtype)
            if channels_last and x.dim()==4: x = x.to(memory_format=torch.channels_last)
            what = f"{str(dtype)[6:]}{', channels last' if channels_last and x.dim()==4 else ''}"
            try: res = times(layer.to(device), x, [o.to(device) for o in rest], device, rounds, n)
            except RuntimeError as e: res = dict(raises=str(e)[:60])  # an original that the device has not in this type
            rows.append(dict(layer=name, dtype=what, **res))
            show(rows)
    return rows

def table(rows):
    cols = 'layer, fastai size', 'type', 'original, ms', 'original again', 'replacement', 'original, strict', 'replacement, strict', 'replacement, alone'
    return '\n'.join([f"| {' | '.join(cols)} |", f"|{'---|'*len(cols)}", *(row(o['layer'], o['dtype'], o) for o in rows)])

@call_parse
def main(
    check:int=0, # Random cases of each kind
    time:store_true=False, # Compare the times
    device:str='cpu', # cpu or cuda
    kinds:str='', # Kinds to check, with commas; default: all
    rounds:int=11, # Of the timing
    n:int=50, # Calls in a round
    scale:float=1., # Of the batch sizes in the timing
    out:str='', # Write the table of times to this file (Markdown), and beside it as JSON
):
    "Check the replacements against the originals, and time them"
    for kind in (kinds.split(',') if kinds else globals()['kinds']) if check else ():
        start = globals()['time'].time()
        print(f"{kind}: {globals()['check'](kind, check, device)} cases, {globals()['time'].time()-start:.0f} s, {'random' if given is None else 'hypothesis'}", flush=True)
    def show(rows):
        print(row(rows[-1]['layer'], rows[-1]['dtype'], rows[-1]), flush=True)
        if out:
            made_in = f"torch {torch.__version__}, {torch.cuda.get_device_name() if device=='cuda' else 'CPU'}. Forward and backward, queued behind other work; ratios to the original, medians of {rounds} rounds. Alone: with nothing else on the GPU, where the time to launch shows."
            Path(out).parent.mkdir(parents=True, exist_ok=True)
            Path(out).write_text(f'{table(rows)}\n\n{made_in}\n')
            Path(out).with_suffix('.json').write_text(json.dumps(dict(made_in=made_in, rows=rows), indent=1) + '\n')
    if time: time_all(device, rounds, n, scale, show)
