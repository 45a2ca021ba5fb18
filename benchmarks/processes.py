"""Trainings by one, two and four processes, and what changes a bit of their results.

    python benchmarks/processes.py [--device cuda] [--only NAMES] [--kills 30] [--out FOLDER]

Each training is run by 1, 2 and 4 processes that make 4, 2 and 1 of the four parts of each batch. Compared are digests of weights and
buffers, of the optimizer's state, of all losses and metrics, of the predictions, and of the pixels that the model gets. On a CPU processes
talk through gloo; with `--device cuda` through NCCL where each has a GPU of its own, else through gloo: several processes share one GPU.

The first row of each table is made with `torchrun`. All others are forked from a process that has imported everything, which takes a
fraction of the time, except on a GPU.
"""
import json,os,random,signal,socket,statistics,subprocess,sys,tempfile,time,traceback,warnings
from contextlib import nullcontext
from pathlib import Path
warnings.filterwarnings('ignore')
os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
sys.path.insert(0, str(Path(__file__).parent))
import torch
from fastcore.script import call_parse
import invariance
from invariance import *
from fastai.distributed import *
from fastai_repro.digests import digest

# --- one training, in one of its processes

def digits_dls(rank, fault, bs=16, size=12, n=200, block=ReproDataBlock, workers=0, n_valid=71, **kw):
    "Images with random transforms of items and batches; 71 are for validation"
    files = sorted(get_image_files(digits_path()))[::1797//n][:n]
    if fault=='files' and rank==1: files[0] = sorted(get_image_files(digits_path()))[1]
    return block((ImageBlock(PILImageBW), CategoryBlock), get_y=parent_label, splitter=IndexSplitter([*range(0,n,3), *range(1,n,3)][:n_valid]), item_tfms=RandomResizedCrop(size, min_scale=.5),
                 batch_tfms=aug_transforms(max_rotate=20)).dataloaders(files, bs=bs, num_workers=workers, **kw)

def cnn(): return nn.Sequential(ConvLayer(1,8), nn.Dropout(.3), ConvLayer(8,16), nn.AdaptiveAvgPool2d(1), Flatten(), nn.Linear(16,10))

def head_and_body(m): return [params(m[:3]), params(m[3:])]

class PixelDigests(Callback):
    "Keeps a digest of what the model gets of each part, before MixUp"
    order,only_watches = -50,True
    def before_fit(self): self.seen = {}
    def before_batch(self):
        repro = getattr(self.learn, 'repro', None)
        if self.training and repro: self.seen[f'{self.learn.train_iter} {repro.part}'] = digest(self.xb)

class StopHere(Callback):
    "Ends this process in a step"
    order,only_watches = 2000,True
    def __init__(self, step): self.step = step
    def after_batch(self):
        if self.training and self.learn.train_iter==self.step: os.kill(os.getpid(), signal.SIGKILL)

class Times(Callback):
    order,only_watches = 20_000,True
    def before_fit(self): self.at = []
    def after_batch(self):
        if self.training: self.at.append(time.perf_counter())

fits = dict(cycle=lambda l: l.fit_one_cycle(2, 1e-2), tune=lambda l: l.fine_tune(2, 1e-2), three=lambda l: l.fit(3, 1e-2), ones=lambda l: [l.fit(1, 1e-2) for _ in range(3)],
            one=lambda l: l.fit_one_cycle(1, 1e-2), long=lambda l: l.fit(1, 1e-2))

def make_learner(case, rank, parts, workers, fault, how, data, threads=None, bs=16):
    kind = plain if how=='plain' else ours
    cbs = [] if how=='plain' else [ReproCallback(7 if fault=='seed' and rank==1 else 42, parts=parts, threads=threads, exact=case=='exact')]
    if case in apps:
        dls_of,make,_ = apps[case]
        dls = dls_of(kind, Path(data)/case.replace(' ','_'), num_workers=workers)
        with seeded(42, 'init'): learn = make(dls)
        return learn.add_cbs(cbs)
    big = case=='resnet18'
    dls = digits_dls(rank, fault, size=24 if big else 28 if case=='cnn at 28 pixels' else 12, bs=64 if case=='cnn at 28 pixels' else bs, n=120 if big else 200, n_valid=31 if big else 71, block=kind.block, workers=workers)
    with seeded(42, 'init', exact=case=='exact'): model = create_vision_model(resnet18, 10, n_in=1, pretrained=False) if big else cnn()
    learn = Learner(dls, model, metrics=[accuracy, F1Score(average='macro')], loss_func=CrossEntropyLossFlat(), splitter=trainable_params if big else head_and_body)
    if case=='gradient accumulation': learn.add_cb(GradientAccumulation(32))
    if case=='gradient clip': learn.add_cb(GradientClip(.1))
    if case=='half precision': learn.to_fp16()
    return learn.add_cbs([*cbs, MixUp(), PixelDigests()])

def context(learn, backend, device):
    if 'WORLD_SIZE' not in os.environ: return nullcontext()
    from accelerate import InitProcessGroupKwargs
    kw = dict(cpu=True) if device=='cpu' else {}
    return learn.distrib_ctx(sync_bn=False, kwargs_handlers=[InitProcessGroupKwargs(backend=backend)], **kw)

def floats(o): return [[None if x is None else float(x) for x in r] for r in o]

def train(case, fit='cycle', parts=4, workers=0, fault=None, how='ours', data=None, ckpt=None, stop=None, device='cpu', backend='gloo', threads=None, bs=16):
    "Train, and give the digests of what came out"
    default_device(device=='cuda')
    rank = rank_distrib()
    fastai_set_seed(42, reproducible=True)
    learn = make_learner(case, rank, parts, workers, fault, how, data, threads, bs)
    if fault=='weight' and rank==1: next(learn.model.parameters()).data.view(-1)[0] += 1e-3
    if ckpt: learn.add_cb(ResumeCallback(ckpt, every=3))
    if stop and stop[0]==rank: learn.add_cb(StopHere(stop[1]))
    learn.add_cb(Times())
    with context(learn, backend, device), learn.no_bar(), learn.no_logging():
        fits[fit](learn)
        steps = np.diff(learn.times.at)
        losses,values = [float(o) for o in learn.recorder.losses],floats(learn.recorder.values)
        preds = learn.get_preds(dl=learn.dls.valid if case=='torch loaders' else None, with_loss=True)
        record = floats([learn.validate()])
    opt = learn.opt.state_dict()
    whole = dict(weights=digest(learn.model), opt=digest(opt['state']), losses=digest(losses), metrics=digest(values), predictions=digest(list(preds)), validation=digest(record))
    targets = torch.stack([learn.dls.valid_ds[i][1] for i in range(len(learn.dls.valid_ds))]) if case not in apps else preds[1]
    exact = case=='torch loaders' or abs(float(preds[2].double().mean()) - record[0][0])<1e-5 and bool((preds[1]==targets).all()) and len(preds[0])==len(learn.dls.valid_ds)
    pixels = getattr(getattr(learn, 'pixel_digests', None), 'seen', {})
    return dict(**whole, all=digest(list(whole.values())), exact=exact, pixels=pixels, step=float(statistics.median(steps)) if len(steps)>1 else None)

def run_all(specs, folder):
    "All trainings of `specs` in this process, one after another; an error ends them"
    res = []
    for spec in specs:
        try: res.append(train(**spec))
        except Exception as e:
            res.append(dict(error=f'{type(e).__name__}: {e}', trace=traceback.format_exc()))
            break
    (Path(folder)/f'{rank_distrib()}.json').write_text(json.dumps(res))
    if torch.distributed.is_initialized(): torch.distributed.destroy_process_group()

# --- processes

def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]

def fork(n, specs, folder, cores=None):
    "One process after another, which then train together; how they ended"
    port,pids = free_port(),[]
    for r in range(n):
        pid = os.fork()
        if pid:
            pids.append(pid)
            continue
        rc = 1
        try:
            if not os.environ.get('FASTAI_REPRO_SHOW'): os.dup2(os.open(os.devnull, os.O_WRONLY), 1), os.dup2(os.open(str(folder/f'{r}.err'), os.O_WRONLY | os.O_CREAT), 2)
            random.seed(), np.random.seed(), torch.seed()
            if n>1: os.environ.update(RANK=str(r), LOCAL_RANK=str(r), WORLD_SIZE=str(n), LOCAL_WORLD_SIZE=str(n), MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
            run_all(specs, folder)
            rc = 0
        except BaseException: traceback.print_exc()
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(rc)
    return reap(pids)

def reap(pids, patience=600):
    "Wait for all; when one has failed, the others get ten seconds"
    left,until = set(pids),time.monotonic()+patience
    while left:
        for p in list(left):
            ended,res = os.waitpid(p, os.WNOHANG)
            if not ended: continue
            left.discard(p)
            if os.waitstatus_to_exitcode(res): until = min(until, time.monotonic()+10)
        if time.monotonic()>until:
            for p in left: os.kill(p, signal.SIGKILL)
        time.sleep(.02)

def launched(n, specs, folder, command, env=None):
    "The same by a command, in new interpreters"
    (folder/'specs.json').write_text(json.dumps(specs))
    start = dict(torchrun=['-m','torch.distributed.run','--nproc-per-node',str(n),'--master-port',str(free_port())], python=[],
                 accelerate=['-m','accelerate.commands.launch','--num_processes',str(n),'--num_machines','1','--mixed_precision','no','--dynamo_backend','no',*(['--multi_gpu'] if n>1 else ['--cpu']),'--main_process_port',str(free_port())])[command]
    p = subprocess.Popen([sys.executable, *start, __file__, '--worker', str(folder)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **(env or {})}, start_new_session=True)
    try: out,_ = p.communicate(timeout=900 if specs[0]['device']=='cpu' else 200)
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGKILL)
        out = p.communicate()[0] + '\nit took too long'
    if p.returncode and not list(folder.glob('[0-9]*.json')): print(out[-3000:])

def trained(n, specs, command=None, **kw):
    "What each process says of each training"
    if specs[0]['device']=='cuda' and command is None: command = 'python' if n==1 else 'torchrun'  # no forks where CUDA has begun
    with tempfile.TemporaryDirectory() as d:
        folder = Path(d)
        launched(n, specs, folder, command, **kw) if command else fork(n, specs, folder)
        ranks = [json.loads((folder/f'{r}.json').read_text()) if (folder/f'{r}.json').exists() else [] for r in range(n)]
        if os.environ.get('FASTAI_REPRO_SHOW'): print(*[o.get('trace', '')[-3000:] for r in ranks for o in r])
    return [[r[i] if i<len(r) else dict(error='it was killed') for r in ranks] for i in range(len(specs))]

# --- tables

def verdict(results):
    "One word for the digests of several trainings, each by several processes"
    errors = [o['error'] for r in results for o in r if 'error' in o]
    if errors: return f'fails: {errors[0][:110]}'
    names = 'weights','opt','losses','metrics','predictions','validation'
    moved = [n for n in names if len({o[n] for r in results for o in r})>1]
    pixels = [digest(sorted({k:v for o in r for k,v in o['pixels'].items()}.items())) for r in results]
    moved += ['pixels']*(len(set(pixels))>1) + ['validation of all items, in order']*(not all(o['exact'] for r in results for o in r))
    return 'one digest' if not moved else 'differ: '+', '.join(moved)

def row(name, *cells): return '| ' + ' | '.join([name, *map(str, cells)]) + ' |'

def table(title, head, rows): return '\n'.join([f'## {title}', '', row(*head), row(*['---']*len(head)), *rows, ''])

small = [('small CNN, `fit_one_cycle`', dict(case='cnn')), ('small CNN, `fine_tune`', dict(case='cnn', fit='tune')), ('small CNN, 2 workers', dict(case='cnn', workers=2)),
         ('ResNet-18, `fit_one_cycle`', dict(case='resnet18', fit='one')), ('gradient accumulation', dict(case='gradient accumulation')), ('gradient clipping', dict(case='gradient clip')),
         ('`exact=True`', dict(case='exact'))]
others = [('tabular', dict(case='tabular', fit='one')), ('collaborative filtering', dict(case='collab dot product', fit='one')),
          ('text classification', dict(case='text classification', fit='one')), ('torch loaders', dict(case='torch loaders', fit='one')), ('torch loaders, 2 workers', dict(case='torch loaders', fit='one', workers=2))]

def same_bits(counts, common, command, trainings=''):
    "Four parts by all numbers of processes"
    if common['device']=='cuda': others.append(('half precision', dict(case='half precision')))
    chosen = [o for o in small+others if trainings in o[0]]
    specs = [{**common, **s} for _,s in chosen]
    runs = {n: trained(n, specs, command if n>1 or common['device']=='cuda' else 'python' if command else None) for n in counts}
    return runs,[row(name, *(runs[n][i][0].get('all', 'error')[:8] for n in counts), verdict([runs[n][i] for n in counts])) for i,(name,_) in enumerate(chosen)]

def again(runs, counts, common, command):
    "In new processes, with 2 workers, one fit of three epochs and three of one"
    res = []
    more = [dict(common, case='cnn'), dict(common, case='cnn', workers=2), dict(common, case='cnn', fit='three'), dict(common, case='cnn', fit='ones')]
    new = {n: trained(n, more, command) for n in counts}
    first = [runs[n][0] for n in counts]
    res.append(row('again, in new processes', verdict(first+[new[n][0] for n in counts])))
    res.append(row('0 workers and 2', verdict(first+[new[n][1] for n in counts])))
    weights = [{k:v for k,v in o.items() if k in ('weights','opt')} for n in counts for i in (2,3) for o in new[n][i]]
    res.append(row('`fit(3)` and three `fit(1)`', 'one digest' if len({digest(list(o.values())) for o in weights})==1 and all(weights) else 'differ'))
    return res

def controls(counts, common, command):
    res,n = [],counts[-1]
    one = trained(1, [dict(common, case='cnn'), dict(common, case='cnn', parts=None), dict(common, case='cnn', parts=2)])
    ddp = trained(n, [dict(common, case='cnn', parts=None), dict(common, case='cnn', parts=None, fit='three'), dict(common, case='cnn', parts=None, fit='ones')], command)
    new = trained(n, [dict(common, case='cnn', parts=None)], command)
    res.append(row('one process: without `parts` against `parts=4`', verdict(one[:2])))
    res.append(row('one process: `parts=2` against `parts=4`', verdict([one[0], one[2]])))
    res.append(row(f'{n} processes without `parts` (`DistributedDataParallel`) against one', verdict([one[1], ddp[0]])))
    res.append(row(f'{n} processes without `parts`, again in new processes', verdict([ddp[0], new[0]])))
    res.append(row(f'{n} processes without `parts`, `fit(3)` and three `fit(1)`', 'one digest' if len({o.get('weights') for r in ddp[1:] for o in r})==1 else 'differ'))
    fast = trained(2, [dict(common, case='cnn', how='plain')], command)
    res.append(row('plain fastai, two processes against one', verdict([trained(1, [dict(common, case='cnn', how='plain')])[0], fast[0]])))
    return res

def faults(common, command):
    return [row(f'another {name} in the process of rank 1', ' / '.join(sorted({o.get('error', 'nothing was noticed')[:150] for o in trained(2, [dict(common, case='cnn', fault=fault)], command)[0]})))
            for name,fault in (('weight','weight'), ('file list','files'), ('seed','seed'))]

def kills(n, common, data):
    "Kill a process at a random step, go on with another number of processes"
    rng,wrong,done,by = random.Random(0),0,0,Counter()
    want = trained(1, [dict(common, case='cnn', fit='tune')])[0][0]['all']
    while done<n:
        ckpt,count = Path(data)/f'{done}.ckpt',0
        while True:
            k,stop = rng.choice([1,2,4]),None
            if count<3 and done<n: stop = rng.randrange(k),rng.randint(2, 15)
            got = trained(k, [dict(common, case='cnn', fit='tune', ckpt=str(ckpt), stop=stop)])[0]
            by[k] += 1
            if stop is None or all('all' in o for o in got): break
            done,count = done+1,count+1
        wrong += any(o.get('all')!=want for o in got)
    return [row('kills', done), row('processes that trained, and how often', ', '.join(f'{k}: {v}' for k,v in sorted(by.items()))), row('wrong ends', wrong)]

def threads(common, cores):
    "The same number of torch's threads on several numbers of cores"
    res = []
    for n in (2, None):
        runs = []
        for k in cores:
            env = dict(OMP_NUM_THREADS='', FASTAI_REPRO_CORES=str(k))
            runs.append(trained(1, [dict(common, case='cnn at 28 pixels', parts=None, threads=n)], 'python', env=env)[0])
        res.append(row(f'`threads={n}`', *(r[0].get('all', r[0].get('error'))[:8] for r in runs), verdict(runs)))
    return res

def cost(common, command, rounds=3):
    "Median step, fastest of several trainings"
    def steps(n, *kinds):
        "Fastest median of each kind; they take turns"
        got = trained(n, [dict(common, case='resnet18', fit='three', **k) for k in kinds]*rounds, command if n>1 else None)
        return [min(o[0].get('step') or float('nan') for o in got[i::len(kinds)]) for i in range(len(kinds))]
    (ddp,parts),(none,one,again_) = steps(2, dict(parts=None), dict(parts=2, bs=32)),steps(1, dict(parts=None), dict(parts=1), dict(parts=None))
    return [row('two processes: `parts=2` against `DistributedDataParallel`, ResNet-18', f'{parts/ddp:.2f}', f'{ddp*1e3:.0f} ms'),
            row('one process: `parts=1` against none', f'{one/none:.3f}', f'{none*1e3:.0f} ms'), row('one process: none against none (A/A)', f'{again_/none:.3f}', f'{none*1e3:.0f} ms')]

def head(device, backend):
    where = torch.cuda.get_device_name() + f' x {torch.cuda.device_count()}' if device=='cuda' else f'{os.cpu_count()} cores'
    return f'# Any number of processes\n\nMade by `benchmarks/processes.py --device {device}`: {where}, {backend}, torch {torch.__version__}.\n\n'

def write_data(data):
    for name in ('text classification',): apps[name][2](data/name.replace(' ','_'), False)

def worker(folder):
    if n := os.environ.get('FASTAI_REPRO_CORES'):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:int(n)])
        torch.set_num_threads(int(n))
    run_all(json.loads((Path(folder)/'specs.json').read_text()), folder)

if __name__=='__main__' and '--worker' in sys.argv:
    worker(sys.argv[-1])
    sys.exit()

@call_parse
def main(
    device:str='cpu', # 'cpu' or 'cuda'
    only:str='', # Tables to make: same again controls faults kills threads cost; default: all
    trainings:str='', # In the first table, only those whose name contains this
    kills_n:int=30, # How many kills
    out:str=None, # Folder for the tables
):
    "Trainings by several processes"
    counts,command = (1,2,4),None
    backend = 'nccl' if device=='cuda' and torch.cuda.device_count()>1 else 'gloo'
    if device=='cuda': counts,command = ((1,2) if torch.cuda.device_count()<4 else (1,2,4)),'torchrun'
    wanted = only.split() or ['same','again','controls','faults','kills','threads','cost']
    with tempfile.TemporaryDirectory() as d:
        data = Path(d)
        write_data(data)
        common,tables,start = dict(data=str(data), device=device, backend=backend),[],time.time()
        def add(*args):
            tables.append(table(*args))
            print(tables[-1], f'({time.time()-start:.0f} s)\n', flush=True)
            if out: (Path(out)/f'processes_{device}.md').mk_write(head(device, backend)+'\n'.join(tables))
        runs = {}
        if {'same','again'} & set(wanted):
            runs,rows = same_bits(counts, common, 'torchrun', trainings)
            add('Four parts by several processes', ['training', *(f'{n} x {4//n}' for n in counts), 'all'], rows)
        if device=='cuda' and not trainings: add('NCCL with one process', ['training', 'against gloo'], [row('small CNN', verdict([runs[1][0], trained(1, [dict(common, case='cnn', backend='nccl')], 'torchrun')[0]]))] if runs else [])
        if runs and not trainings and (device=='cpu' or backend=='nccl'):
            n = 1 if device=='cpu' else 2  # on a CPU it starts several processes through MPI only
            add('Started by `accelerate launch`', ['training', 'against `torchrun`'], [row(f'small CNN, {n} processes', verdict([runs[n][0], trained(n, [dict(common, case='cnn')], 'accelerate')[0]]))])
        if 'again' in wanted: add('What changes nothing', ['change', 'result'], again(runs, counts, common, command))
        if 'controls' in wanted: add('Controls', ['change', 'result'], controls(counts, common, command))
        if 'faults' in wanted: add('What processes tell each other', ['fault', 'error'], faults(common, command))
        if 'kills' in wanted and device=='cpu': add('Kills', ['what', 'result'], kills(kills_n, common, data))
        cores = [k for k in (1,2,4,16) if k<=len(os.sched_getaffinity(0))]
        if 'threads' in wanted and device=='cpu': add('Threads', ['threads', *(f'{k} cores' for k in cores), 'all'], threads(common, cores))
        if 'cost' in wanted: add('Cost', ['what', 'ratio', 'step'], cost(common, command))
