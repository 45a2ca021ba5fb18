"""fastai's applications by mode and precision: equal over processes and runs or not, and the time of a step against plain fastai.

    python benchmarks/strict.py [--device cuda] [--quick] [--apps NAMES] [--phase equal|time] [--out benchmarks/results/strict_h200.md]

Modes: `plain` fastai, seeded and without a flag; `benchmark`, the same with `cudnn.benchmark`; `deterministic`, `ReproCallback()`; `strict`, `ReproCallback(strict=True)`;
and the control `unreplaced`, torch's strict mode without `replace_nondeterministic`. Data are synthetic, the same in all modes.
First each mode trains every application in two processes, three runs in each, all processes at once; then the modes take turns in one process, and the median of all their steps is taken.
The results are written after every cell, beside them the machine's manifest. `--phase` does one half and keeps the other half of an `--out` that is there.
"""
import contextlib,importlib.metadata as md,itertools,json,os,platform,random,re,signal,subprocess,sys,tempfile,time,warnings
warnings.filterwarnings('ignore')
from pathlib import Path
from typing import NamedTuple
import torchvision.models as tvm
from fastai.vision.all import *
from fastai.vision.gan import GANLearner,basic_critic,basic_generator
from fastai.tabular.all import TabularModel
from fastai.collab import EmbeddingDotBias
from fastai.callback.rnn import rnn_cbs
from fastai.text.models.awdlstm import AWD_LSTM,awd_lstm_clas_config,awd_lstm_lm_config
from fastai.text.models.core import get_language_model,get_text_classifier
from fastcore.script import call_parse,store_true
from fastai_repro import ReproCallback,RunManifest,digest,seeded,set_seed
from fastai_repro.seed import deterministic
from timing import Stamps,step,timed

# --- applications: model, batch and loss, from the size of an image and of a batch

class App(NamedTuple):
    model:object               # function of the image size
    batch:object               # function of batch size and image size
    loss:object = None         # function that makes the loss
    size:tuple = (128,32)      # image and batch size when bits are compared
    load:tuple = (224,64)      # when time is taken
    precisions:tuple = ('fp32','fp16','bf16','channels_last')
    learner:object = Learner
    cbs:object = None

def images(bs, size): return torch.randn(bs, 3, size, size),torch.randint(0, 10, (bs,))
def masks(bs, size): return torch.randn(bs, 3, size, size),torch.randint(0, 5, (bs, size, size))
def rows(bs, _): return torch.randint(0, 8, (bs, 6)),torch.randn(bs, 10),torch.randint(0, 2, (bs,))
def ratings(bs, _): return torch.stack([torch.randint(0, 1000, (bs,)), torch.randint(0, 2000, (bs,))], 1),torch.rand(bs)*5
def words(bs, length): return torch.randint(2, 5000, (bs, length)),torch.randint(2, 5000, (bs, length))
def documents(bs, length): return torch.randint(2, 5000, (bs, length)),torch.randint(0, 2, (bs,))
def noise(bs, size): return torch.randn(bs, 100),torch.randn(bs, 3, size, size)

def headed(arch): return lambda size: create_vision_model(arch, 10, pretrained=False)
def vit(size): return tvm.VisionTransformer(size, 16, 6, 6, 384, 1536, num_classes=10, dropout=0.1)
def unet(**kw): return lambda size: create_unet_model(resnet18, 5, (size,size), pretrained=False, **kw)
def fully_conv(size): return nn.Sequential(ConvLayer(3, 32), ConvLayer(32, 64, stride=2), ConvLayer(64, 32), nn.Upsample(scale_factor=2), nn.Conv2d(32, 5, 1))

class Pyramid(nn.Module):
    "Layers of PSPNet and CycleGAN that torch has no deterministic kernel for"
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.ReflectionPad2d(3), ConvLayer(3, 32, 7, padding=0), ConvLayer(32, 64, stride=2))
        self.pools = nn.ModuleList(nn.AdaptiveAvgPool2d(o) for o in (1,2,3,6))
        self.up,self.last = nn.Upsample(scale_factor=2, mode='bicubic'),nn.Conv2d(64, 5, 3, padding=1, padding_mode='reflect')
    def forward(self, x):
        x = self.body(x)
        return self.last(self.up(sum((nn.functional.interpolate(p(x), x.shape[-2:]) for p in self.pools), x)))

def table(_): return TabularModel([(9,5)]*6, 10, 2, [200,100], ps=0.1)
def dot(_): return EmbeddingDotBias(50, 1000, 2000, (0,5.5))
def language(_): return get_language_model(AWD_LSTM, 5000, awd_lstm_lm_config)
def classifier(_): return get_text_classifier(AWD_LSTM, 5000, 2, config=awd_lstm_clas_config)

class GAN:
    "`GANLearner.wgan`, called as a `Learner` is"
    def __new__(cls, dls, model, loss_func=None, **kw): return GANLearner.wgan(dls, *model, opt_func=RMSProp, show_img=False, **kw)
def gan(size): return nn.ModuleList([basic_generator(size, 3, n_extra_layers=1), basic_critic(size, 3, n_extra_layers=1)])

flat,mse = CrossEntropyLossFlat,MSELossFlat
text = dict(cbs=lambda: rnn_cbs(2., 1.), precisions=('fp32','fp16'))
apps = {
    'ResNet-18':            App(headed(resnet18), images, flat, precisions=('fp32','fp16','bf16','channels_last','compiled')),
    'ResNet-50':            App(headed(resnet50), images, flat, precisions=('fp32','fp16','bf16','channels_last','no TF32')),
    'ConvNeXt-T':           App(headed(tvm.convnext_tiny), images, flat),
    'vision transformer':   App(vit, images, flat, precisions=('fp32','fp16','bf16','TF32 products','full fp16 sums')),
    'EfficientNet-B0':      App(headed(tvm.efficientnet_b0), images, flat),
    'xresnet50':            App(lambda size: xresnet50(n_out=10), images, flat),
    'U-Net':                App(unet(), masks, partial(flat, axis=1), (96,8), (160,16)),
    'U-Net with attention and blur': App(unet(self_attention=True, blur=True, blur_final=True), masks, partial(flat, axis=1), (96,8), (160,16)),
    'loss over pixels':     App(fully_conv, masks, nn.CrossEntropyLoss, (96,16), (224,32)),
    'pyramid':              App(lambda size: Pyramid(), masks, partial(flat, axis=1), (96,16), (224,32)),
    'tabular':              App(table, rows, flat, (1,256), (1,1024), ('fp32','fp16','compiled')),
    'recommendation':       App(dot, ratings, mse, (1,256), (1,1024), ('fp32','fp16')),
    'language model':       App(language, words, flat, (72,32), (72,64), **text),
    'text classifier':      App(classifier, documents, flat, (144,16), (216,32), **text),
    'GAN':                  App(gan, noise, None, (64,32), (64,128), ('fp32',), GAN),
}
every = ['fp32','fp16','bf16','channels_last','no TF32','TF32 products','full fp16 sums','compiled']  # channels_last is with fp16, as `to_channelslast` does
small = ['fp32','channels_last']  # what --quick does

def timed_in(app): return ('fp32', 'channels_last' if 'channels_last' in app.precisions else 'fp16', 'compiled')

# --- runs

@contextlib.contextmanager
def flag(of, name, value):
    old = getattr(of, name)
    setattr(of, name, value)
    try: yield
    finally: setattr(of, name, old)

contexts = {'no TF32': lambda: flag(torch.backends.cudnn, 'allow_tf32', False), 'TF32 products': lambda: flag(torch.backends.cuda.matmul, 'allow_tf32', True),
            'full fp16 sums': lambda: flag(torch.backends.cuda.matmul, 'allow_fp16_reduced_precision_reduction', False)}
prepare = {'fp16':lambda l: l.to_fp16(), 'full fp16 sums':lambda l: l.to_fp16(), 'bf16':lambda l: l.to_bf16(), 'channels_last':lambda l: l.to_channelslast(), 'compiled':lambda l: l.model.compile()}
modes = {'plain':lambda: [], 'benchmark':lambda: [], 'deterministic':lambda: [ReproCallback(42)], 'strict':lambda: [ReproCallback(42, strict=True)], 'unreplaced':lambda: []}

def loaders(app, bs, size, n, device):
    with seeded(42, 'data'): batches = [tuple(o.to(device) for o in app.batch(bs, size)) for _ in range(n)]
    return DataLoaders(*(DataLoader(o, bs=None, num_workers=0) for o in (batches, batches[:1])), device=torch.device(device))

def scaled(o, scale): return (o[0] if o[0]<96 else max(64, int(o[0]*scale))),max(2, int(o[1]*scale))

def learner(app, mode, precision, dls, size):
    with seeded(42, 'init'): model = app.model(size)
    learn = app.learner(dls, model, loss_func=app.loss() if app.loss else None, cbs=[*(app.cbs() if app.cbs else []), *modes[mode]()])
    learn.remove_cb(ProgressCallback)
    learn.logger = noop
    prepare.get(precision, noop)(learn)
    return learn

def fit(learn, mode, precision):
    "One epoch; the seed is set as one sets it for plain fastai"
    set_seed(42, reproducible=False)
    guard = deterministic(strict=True) if mode=='unreplaced' else flag(torch.backends.cudnn, 'benchmark', mode=='benchmark')
    with guard, contexts.get(precision, contextlib.nullcontext)(): learn.fit(1, 1e-3)
    return digest([learn.model, learn.recorder.losses])

def short(e): return re.sub(r'\s+', ' ', str(e)).split(', but you set')[0][:160] or type(e).__name__

def compare(mode, names, precisions, device, steps, scale, file):
    "Train all in this process, three runs each; a line of JSON in `file` for each"
    for precision,name in itertools.product(precisions, names):
        app = apps[name]
        if precision not in app.precisions or mode=='unreplaced' and precision!='fp32': continue
        size,bs = scaled(app.size, scale)
        start,row = time.time(),dict(app=name, precision=precision, mode=mode, digests=[])
        try:
            dls = loaders(app, bs, size, steps, device)
            for _ in range(1 if mode=='unreplaced' else 3): row['digests'].append(fit(learner(app, mode, precision, dls, size), mode, precision))
        except Exception as e: row['error'] = short(e)
        with open(file, 'a') as f: f.write(json.dumps({**row, 'at':time.time(), 'seconds':time.time()-start}) + '\n')
        if device=='cuda': torch.cuda.empty_cache()
        if precision=='compiled': torch.compiler.reset()

def step_times(name, precision, device, steps, scale, rounds, seconds, full):
    "Seconds of a step, for the modes in turn, and the number of rounds; `again` is plain fastai once more"
    app,begin = apps[name],time.time()
    size,bs = scaled(app.load, scale)
    steps = steps*(8 if size==1 else 4 if full else 1)
    learns = {k:learner(app, 'plain' if k=='again' else k, precision, loaders(app, bs, size, steps, device), size) for k in ('plain','again','benchmark','deterministic','strict')}
    def fit(k):
        set_seed(42, reproducible=False)
        with flag(torch.backends.cudnn, 'benchmark', k=='benchmark'), contexts.get(precision, contextlib.nullcontext)(): return timed(learns[k], 1, 1e-3)
    for k,o in learns.items():
        o.add_cb(Stamps())
        fit(k)
    done = []
    while len(done)<rounds and (len(done)<3 or time.time()-begin<seconds): done.append({k:fit(k) for k in random.sample(list(learns), len(learns))})
    return {k:step([o[k] for o in done]) for k in learns},len(done)

def time_all(names, precisions, device, steps, scale, rounds, seconds, file):
    for precision,name in itertools.product(precisions, names):
        if precision not in set(timed_in(apps[name])) & set(apps[name].precisions): continue
        row,full = dict(app=name, precision=precision),(name=='ResNet-50' and precision in ('fp32','channels_last'))
        try:
            t,n = step_times(name, precision, device, steps, scale, rounds, seconds*(5 if full else 1), full)
            row.update(ms=t['plain']*1e3, rounds=n, ratio={k:v/t['plain'] for k,v in t.items() if k!='plain'})
        except Exception as e: row['error'] = short(e)
        with open(file, 'a') as f: f.write(json.dumps({**row, 'at':time.time()}) + '\n')
        if device=='cuda': torch.cuda.empty_cache()
        if precision=='compiled': torch.compiler.reset()

# --- results

def verdict(rows):
    "What two processes say together"
    if not rows: return ''
    if any('error' in o for o in rows): return next(o['error'] for o in rows if 'error' in o)
    if any(len(set(o['digests']))>1 for o in rows): return 'differs from run to run'
    if len(rows)<2: return '' if rows[0]['mode']!='unreplaced' else 'runs'
    return 'equal' if len({o['digests'][0] for o in rows})==1 else 'differs between processes'

def order(o): return list(apps).index(o[0]),every.index(o[1])

def tables(res):
    names = [o for o in modes if any(r['mode']==o for r in res['equal'])]
    keys = sorted({(o['app'],o['precision']) for o in res['equal']}, key=order)
    cell = lambda a,p,m: verdict([o for o in res['equal'] if (o['app'],o['precision'],o['mode'])==(a,p,m)])
    equal = [f"| application | precision | {' | '.join(names)} |", f"|---|---|{'---|'*len(names)}", *(f"| {a} | {p} | {' | '.join(cell(a, p, m) for m in names)} |" for a,p in keys)]
    cols = ('again','benchmark','deterministic','strict')
    times = ["| application | precision | plain, ms a step | plain / plain | benchmark / plain | deterministic / plain | strict / plain | rounds |", '|---|---|---|---|---|---|---|---|']
    for o in sorted(res['time'], key=lambda o: order((o['app'],o['precision']))):
        ratios = ' | '.join(f"{o['ratio'][c]:.3f}" for c in cols) if 'ratio' in o else ''
        times.append(f"| {o['app']} | {o['precision']} | " + (f"{o['ms']:.2f} | {ratios} | {o['rounds']} |" if ratios else f"{o['error']} | | | | | |"))
    env = ', '.join(f'{k} {v}' for k,v in res['environment'].items() if v)
    return '\n'.join(['### Equal bits', '', *equal, '', '### Time of a step', '', *times, '', env, ''])

def environment(device):
    gpu = dict(gpu=torch.cuda.get_device_name(), cuda=torch.version.cuda, cudnn=torch.backends.cudnn.version()) if torch.cuda.is_available() else {}
    cpu = next((l.split(':')[1].strip() for l in open('/proc/cpuinfo') if 'model name' in l), platform.processor()) if Path('/proc/cpuinfo').exists() else platform.processor()
    return {'python':platform.python_version(), **{o:md.version(o) for o in ('torch','torchvision','fastai')}, 'cpu':cpu, 'cores':os.cpu_count(), 'device':device, **gpu}

def read(folder, name):
    "The rows that children wrote, oldest first"
    return sorted((json.loads(l) for f in Path(folder).glob(f'{name}*.jsonl') for l in f.read_text().splitlines(True) if l.endswith('\n')), key=lambda o: o['at'])

def write(out, res):
    if not out: return
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    Path(out).write_text(tables(res))
    Path(out).with_suffix('.json').write_text(json.dumps(res, indent=1) + '\n')

def follow(children, name, folder, res, out, start):
    "Wait for the child processes, write and show what there is"
    shown,running = 0,True
    try:
        while running:
            running = any(o.poll() is None for o in children)
            res[name] = read(folder, name)
            if len(res[name])>shown:
                o,shown = res[name][-1],len(res[name])
                write(out, res)
                ratios = {k:round(v, 3) for k,v in o.get('ratio', {}).items()} or ''
                print(f"{time.time()-start:5.0f} s  {name}: {shown} cells; {o['app']}, {o['precision']}, {o.get('mode','')} {o.get('error', ratios)}", flush=True)
            if running: time.sleep(4)
    finally:
        for o in children: o.kill()
    for o in children:
        if o.wait(): print(f'a child ended with status {o.returncode}', flush=True)

@call_parse
def main(
    device:str='cuda', # cuda or cpu
    apps:str='', # Applications, with commas; default: all
    quick:store_true=False, # Two precisions, quarter sizes, two steps, three rounds
    phase:str='', # equal or time; default: both
    steps:int=6, # Batches of an epoch
    rounds:int=15, # Of the timing, at most
    seconds:float=6., # For a cell of the timing, at most, beyond three rounds; ResNet-50 at full load has five times as many
    out:str='', # Write the tables to this file (Markdown), and beside it as JSON
    child:str='', # (internal) mode, or time
    file:str='', # (internal) where a child writes to
):
    "Print which modes repeat to the bit, and what they cost"
    known = globals()['apps']
    names = [o for o in known if not apps or o in apps.split(',')]
    precisions = small if quick else every
    steps,scale,rounds = (2,0.25,3) if quick else (steps,1,rounds)
    if device=='cpu': torch.set_num_threads(1)
    default_device(device=='cuda')
    if child=='time': return time_all(names, precisions, device, steps, scale, rounds, seconds, file)
    if child: return compare(child, names, precisions, device, steps, scale, file)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    start,res = time.time(),dict(environment=environment(device), equal=[], time=[])
    if out and phase and Path(out).with_suffix('.json').exists(): res = {**json.loads(Path(out).with_suffix('.json').read_text()), 'environment':res['environment']}
    if out: RunManifest({k:v for k,v in RunManifest.capture().fields.items() if k.split('.')[0] not in ('run','code')}).save(Path(out).with_suffix('.manifest.json'))
    with tempfile.TemporaryDirectory() as folder:
        def spawn(mode, name):
            cmd = [sys.executable, __file__, '--child', mode, '--file', f'{folder}/{name}.jsonl', '--device', device, '--apps', ','.join(names), '--steps', str(steps), '--rounds', str(rounds),
                   '--seconds', str(seconds), *(['--quick'] if quick else [])]
            env = {**os.environ, 'OMP_NUM_THREADS':'1' if device=='cpu' or mode!='time' else '4', 'TORCHINDUCTOR_CACHE_DIR':f'{folder}/inductor_{name}'}
            if mode in ('strict','unreplaced','time'): env['CUBLAS_WORKSPACE_CONFIG'] = ':4096:8'
            return subprocess.Popen(cmd, env=env)
        if phase!='time':
            jobs = [(m, f'equal_{m}_{i}') for i in range(2) for m in modes if i==0 or m!='unreplaced']
            if device=='cuda': follow([spawn(*o) for o in jobs], 'equal', folder, res, out, start)
            else:
                for o in jobs: follow([spawn(*o)], 'equal', folder, res, out, start)
        if phase!='equal': follow([spawn('time', 'time')], 'time', folder, res, out, start)
    write(out, res)
    print(tables(res))
    print(f'{time.time()-start:.0f} s')
