"""One digest on every machine: trainings with `exact=True` under other threads, instruction sets, libraries, devices.

    python benchmarks/exact.py --out FOLDER                  # this CPU: every variant in a new process, resumable
    python benchmarks/exact.py --out FOLDER --device cuda    # the GPU, and one row of this CPU
    python benchmarks/exact.py --compare A B ...             # the folders of two or more machines: do their digests agree?
    python benchmarks/exact.py --table A B ... > benchmarks/results/exact.md

`exact=False` beside it is the control. A row is kept in FOLDER/<variant>.json as soon as it is there.
"""
import argparse,json,os,platform,subprocess,sys,time
from pathlib import Path

CASES = 'cnn','vision','tabular','collab','collab_nn'

def variants(device):
    "Name: environment, what to set in torch. All of them in a new process"
    if device=='cuda':
        return {'cuda':({}, {}), 'cuda, cuDNN off':({}, dict(cudnn=False)), 'cuda, TF32 allowed':({}, dict(tf32=True)), 'cuda, cuDNN benchmark':({}, dict(benchmark=True)),
                'cuda, 1 thread, 2 workers':({}, dict(threads=1, workers=2)), 'cpu of that machine':({}, dict(device='cpu', threads=4))}
    res = {f'{n} threads':({}, dict(threads=n)) for n in (1,2,3,5)}
    res |= {f'ATEN_CPU_CAPABILITY={o}':(dict(ATEN_CPU_CAPABILITY=o), {}) for o in ('default','avx2','avx512')}
    res |= {f'MKL_CBWR={o}':(dict(MKL_CBWR=o), {}) for o in ('COMPATIBLE','AVX2','AVX2,STRICT')}
    res |= {f'ONEDNN_MAX_CPU_ISA={o}':(dict(ONEDNN_MAX_CPU_ISA=o), {}) for o in ('SSE41','AVX2')}
    res |= {'oneDNN off':({}, dict(onednn=False)), 'NumPy without AVX':(dict(NPY_DISABLE_CPU_FEATURES='AVX2 FMA3 AVX512F AVX512_SKX'), {}),
            '2 workers':({}, dict(workers=2)), 'strict':({}, dict(strict=True))}
    return res

def image_dls(n, bs, workers, item_tfms, batch_tfms):
    from fastai.vision.all import CategoryBlock,ImageBlock,RandomSplitter,get_image_files,parent_label
    from fastai_repro import ReproDataBlock,digits_path
    path = digits_path()
    files = sorted(get_image_files(path))
    files = files[::len(files)//n][:n]
    block = ReproDataBlock(blocks=(ImageBlock,CategoryBlock), get_items=lambda o: files, get_y=parent_label, splitter=RandomSplitter(.25, seed=0), item_tfms=item_tfms, batch_tfms=batch_tfms)
    return block.dataloaders(path, seed=42, bs=bs, num_workers=workers, device=DEVICE)

def cnn(cb, init, workers):
    from fastai.vision.all import Learner,Resize,accuracy,GradientClip
    from torch import nn
    dls = image_dls(160, 32, workers, Resize(28), [])
    with init():
        model = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.GELU(), nn.Conv2d(16, 32, 3, 2, 1, groups=2), nn.GroupNorm(4, 32), nn.SiLU(),
                              nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2), nn.Flatten(), nn.Dropout(.2), nn.Linear(128, 32), nn.LayerNorm(32), nn.Tanh(), nn.Linear(32, 10))
    learn = Learner(dls, model, metrics=accuracy, cbs=[cb, GradientClip(1.)])
    learn.fit_one_cycle(2, 1e-2)
    return learn

def vision(cb, init, workers):
    from fastai.vision.all import Normalize,RandomResizedCrop,aug_transforms,error_rate,imagenet_stats,vision_learner
    from torchvision.models import resnet18
    dls = image_dls(96, 24, workers, RandomResizedCrop(48, min_scale=.7), [*aug_transforms(size=32, flip_vert=True), Normalize.from_stats(*imagenet_stats)])
    with init(): learn = vision_learner(dls, resnet18, pretrained=False, normalize=False, metrics=error_rate, cbs=cb)
    learn.fine_tune(1, 1e-2, freeze_epochs=1)
    return learn

def frame(n=600):
    import numpy as np,pandas as pd
    rng = np.random.default_rng(0)
    df = pd.DataFrame({'a':rng.integers(0, 9, n), 'b':rng.integers(0, 30, n).astype(str), 'x':rng.integers(0, 1000, n)/64, 'z':rng.integers(-99, 99, n)/32})
    df['y'] = np.where((df.a*2+df.x+df.z*3+rng.integers(0, 9, n))>20, 'up', 'down')
    df['rating'] = ((df.a+df.b.astype(int))%5+1).astype('float32')
    return df

def tabular(cb, init, workers):
    from fastai.tabular.all import Categorify,FillMissing,Normalize,RandomSplitter,TabularDataLoaders,accuracy,tabular_learner
    from fastai_repro import repro_dls
    make = lambda: TabularDataLoaders.from_df(frame(), procs=[Categorify,FillMissing,Normalize], cat_names=['a','b'], cont_names=['x','z'], y_names='y',
                                              splits=RandomSplitter(.2, seed=0)(range(600)), bs=32, num_workers=workers, device=DEVICE)
    dls = repro_dls(make, seed=42)
    with init(): learn = tabular_learner(dls, layers=[100,50], metrics=accuracy, cbs=cb, config=dict(ps=.1, embed_p=.05))
    learn.fit_one_cycle(2, 1e-2)
    return learn

def collab(cb, init, workers, **kwargs):
    from fastai.collab import CollabDataLoaders,collab_learner
    from fastai_repro import repro_dls
    dls = repro_dls(lambda: CollabDataLoaders.from_df(frame(), user_name='a', item_name='b', rating_name='rating', seed=0, bs=32, num_workers=workers, device=DEVICE), seed=42)
    with init(): learn = collab_learner(dls, n_factors=20, y_range=(0.5,5.5), cbs=cb, **kwargs)
    learn.fit_one_cycle(2, 1e-2)
    return learn

def collab_nn(cb, init, workers): return collab(cb, init, workers, use_nn=True, layers=[50,20])

def train(case, exact, workers, strict=False):
    import torch
    from fastai_repro import ReproCallback,digest,seeded
    start = time.perf_counter()
    learn = globals()[case](ReproCallback(42, exact=exact, strict=strict), lambda: seeded(42, 'init', exact=exact), workers)
    if DEVICE=='cuda': torch.cuda.synchronize()
    values = [list(o) for o in learn.recorder.values]
    return dict(weights=digest(dict(learn.model.state_dict())), losses=digest([o.detach() for o in learn.recorder.losses]), metrics=digest(values),
                all=digest([dict(learn.model.state_dict()), [o.detach() for o in learn.recorder.losses], values]), loss=values[-1][1], seconds=round(time.perf_counter()-start, 2))

def one(out, name, sets):
    "One row, in this process"
    global DEVICE
    import torch,torchvision,fastai.vision.all,fastai.tabular.all,fastai.collab,fastai_repro  # not a part of the times
    from fastai.torch_core import default_device
    import fastprogress.fastprogress as fp
    fp.NO_BAR = True
    DEVICE = sets.get('device', ARGS.device)
    default_device(DEVICE!='cpu')
    if 'threads' in sets: torch.set_num_threads(sets['threads'])
    if 'onednn' in sets: torch._C._set_mkldnn_enabled(sets['onednn'])
    if 'cudnn' in sets: torch.backends.cudnn.enabled = sets['cudnn']
    if 'benchmark' in sets: torch.backends.cudnn.benchmark = True
    if 'tf32' in sets: torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    path = out/(name.replace(' ', '_').replace('=', '-').replace(',', '')+'.json')
    row = json.loads(path.read_text()) if path.exists() else dict(name=name, machine=machine(), results={})
    for case in ARGS.cases:
        for exact in (True,False):
            key = f'{case} {"exact" if exact else "ordinary"}'
            if key in row['results']: continue
            try: row['results'][key] = train(case, exact, sets.get('workers', 0), sets.get('strict', False))
            except Exception as e:
                import traceback
                traceback.print_exc()
                row['results'][key] = dict(all=f'{type(e).__name__}: {str(e)[:200]}', loss=None, seconds=None)
            path.write_text(json.dumps(row, indent=1))
            print(name, key, row['results'][key]['all'], row['results'][key]['loss'], row['results'][key]['seconds'], flush=True)

def machine():
    import fastai,numpy,torch,PIL
    cpu = next((o.split(':')[1].strip() for o in open('/proc/cpuinfo') if o.startswith('model name')), platform.processor()) if Path('/proc/cpuinfo').exists() else platform.processor()
    return dict(cpu=cpu, cores=os.cpu_count(), capability=torch.backends.cpu.get_cpu_capability(), device=torch.cuda.get_device_name() if DEVICE=='cuda' else 'cpu',
                torch=torch.__version__, fastai=fastai.__version__, python=platform.python_version(), numpy=numpy.__version__, pillow=PIL.__version__)

def main():
    out = Path(ARGS.out)
    out.mkdir(parents=True, exist_ok=True)
    for name,(env,sets) in variants(ARGS.device).items():
        if ARGS.only and ARGS.only not in name: continue
        cmd = [sys.executable, __file__, '--out', str(out), '--device', ARGS.device, '--one', json.dumps([name, sets]), '--cases', *ARGS.cases]
        subprocess.run(cmd, env={'OMP_WAIT_POLICY':'passive', **os.environ, **env})
    print(table([out]))

def rows(folders): return [(Path(f).name, json.loads(p.read_text())) for f in folders for p in sorted(Path(f).glob('*.json'), key=lambda p: p.stat().st_mtime)]

def table(folders):
    found = rows(folders)
    keys = [f'{c} {k}' for c in CASES for k in ('exact','ordinary')]
    res = ['| variant | device | torch | '+' | '.join(keys)+' |', '|---'*(3+len(keys))+'|']
    for _,r in found:
        m = r['machine']
        device = m['device'] if m['device']!='cpu' else f"{m['cpu']} ({m['capability']})"
        res.append(f"| {r['name']} | {device} | {m['torch']} | "+' | '.join(short(r['results'].get(k)) for k in keys)+' |')
    res += ['', 'How many digests there are:', '', '| case | rows | exact | ordinary |', '|---|---|---|---|']
    for c in CASES:
        n = [{r['results'][f'{c} {k}']['all'] for _,r in found if f'{c} {k}' in r['results']} for k in ('exact','ordinary')]
        res.append(f'| {c} | {sum(f"{c} exact" in r["results"] for _,r in found)} | {len(n[0])} | {len(n[1])} |')
    return '\n'.join(res)

def short(o): return '' if o is None else o['all'][:8] if o['loss'] is not None else o['all'][:40]

def compare(folders):
    "One digest for each case over all rows of all folders?"
    ok,found = True,rows(folders)
    for c in CASES:
        digests = {}
        for f,r in found:
            if f'{c} exact' in r['results']: digests.setdefault(r['results'][f'{c} exact']['all'], []).append(f"{f}/{r['name']}")
        ok = ok and len(digests)==1
        print(c, 'ONE digest over' if len(digests)==1 else f'{len(digests)} DIGESTS over', sum(map(len, digests.values())), 'rows')
        if len(digests)>1:
            for d,names in digests.items(): print('   ', d, names)
    return ok

if __name__=='__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--out', default='exact_results')
    p.add_argument('--device', default='cpu', choices=['cpu','cuda'])
    p.add_argument('--cases', nargs='+', default=list(CASES), choices=CASES)
    p.add_argument('--only', help='variants whose name contains this')
    p.add_argument('--one')
    p.add_argument('--compare', nargs='+')
    p.add_argument('--table', nargs='+')
    ARGS = p.parse_args()
    DEVICE = ARGS.device
    if ARGS.compare: sys.exit(not compare(ARGS.compare))
    elif ARGS.table: print(table(ARGS.table))
    elif ARGS.one: one(Path(ARGS.out), *json.loads(ARGS.one))
    else: main()
