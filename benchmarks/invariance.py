"""The table of the promise: applications by what may change, for `fastai_repro` and for plain fastai.

    python benchmarks/invariance.py [--quick] [--device cuda] [--apps NAMES] [--out F.md]

Each cell trains the variants and compares the digests of all weights, losses and metrics with those of the undisturbed run.
Plain fastai is seeded the usual way: everything, before the loaders are made and again before the training.
"""
import contextlib,importlib.metadata as md,io,json,os,platform,shutil,subprocess,sys,tempfile,time,warnings
warnings.filterwarnings('ignore')
import matplotlib
matplotlib.use('agg')
from fastai.vision.all import *
from fastai.tabular.all import *
from fastai.text.all import *
from fastai.collab import *
from fastai.torch_core import set_seed as fastai_set_seed
from fastcore.script import call_parse,store_true
from sklearn.datasets import load_breast_cancer,load_digits
from fastai_repro import *

# --- data

def digit_files(n): return sorted(get_image_files(digits_path()), key=lambda o: o.stem)[:n]

def copy_files(files, root, to):
    for o in files:
        dst = to/o.relative_to(root)
        dst.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(o, dst)
    return to

def digits_at(to, backwards):
    return copy_files(digit_files(96)[::-1 if backwards else 1], digits_path(), to)

def masks_at(to, backwards):
    "Digits of 32 pixels and the masks of their ink"
    for o in digit_files(24)[::-1 if backwards else 1]:
        im = Image.open(o).resize((32,32))
        for name,x in (('images',im), ('masks',Image.fromarray((np.array(im)>127).astype('uint8')))):
            (to/name).mkdir(parents=True, exist_ok=True)
            x.save(to/name/o.name)
    return to

def texts_at(to, backwards, n=24, words=100):
    "Licences and descriptions that installed packages ship, in class folders"
    found = {'description':[], 'licence':[]}
    for d in sorted(md.distributions(), key=lambda o: (o.metadata['Name'] or '').lower()):
        found['description'].append(d.read_text('METADATA') or '')
        found['licence'] += [f.locate().read_text(errors='ignore') for f in d.files or [] if 'LICENSE' in f.name.upper() and f.suffix in ('','.txt','.md') and f.locate().exists()][:1]
    for label,texts in found.items():
        texts = [' '.join(o.split()[50:50+words]) for o in texts if len(o.split())>100][:n]
        for i,o in list(enumerate(texts))[::-1 if backwards else 1]: (to/label/f'{i:03}.txt').mk_write(o)
    return to

def table():
    data = load_breast_cancer(as_frame=True)
    df = pd.concat([data.frame.sample(300, random_state=0)]*repeats, ignore_index=True)
    df['size'] = pd.cut(df['mean radius'], 4, labels=list('abcd')).astype(str)
    return df,list(data.feature_names[:8])

def ratings():
    "The ink of a pixel in a scan, as the rating that the scan gives the pixel"
    im = load_digits().data[:60].astype('float32')
    user,item = im.nonzero()
    return pd.concat([pd.DataFrame(dict(user=user, item=item, rating=im[user,item]))[::6]]*repeats, ignore_index=True)

# --- applications: loaders from (block class, function that keys a factory, source, keyword arguments), and a learner from loaders

class Noise(RandTransform):
    "Noise from all three generators"
    def encodes(self, x:PILImage):
        a = np.array(x) + np.random.rand(*x.shape,1)*20 + random.random()*10 + torch.rand(1).item()*10
        return PILImage.create(a.clip(0,255).astype('uint8'))

tfms = dict(item_tfms=[Noise(), Resize(24)], batch_tfms=aug_transforms(size=24))
def is_even(o): return int(o.parent.name)%2==0
def traits(o): return (['even'] if is_even(o) else ['odd']) + (['small'] if int(o.parent.name)<5 else [])
def value(o): return float(o.parent.name)
def mask_of(o): return o.parent.parent/'masks'/o.name
def image_files(path): return get_image_files(path/'images')

def vision(y_block, get_y):
    def dls(kind, path, **kw):
        return kind.block((ImageBlock, y_block), get_items=get_image_files, get_y=get_y, splitter=RandomSplitter(0.2), **tfms).dataloaders(path, bs=16, **kw)
    return dls

def segmentation(kind, path, **kw):
    return kind.block((ImageBlock, MaskBlock(['no','ink'])), get_items=image_files, get_y=mask_of, splitter=RandomSplitter(0.2),
                      item_tfms=[Noise()], batch_tfms=[Flip(), *aug_transforms(do_flip=False)]).dataloaders(path, bs=8, **kw)

def tabular(kind, _, **kw):
    df,cont = table()
    return kind.dls(lambda: TabularDataLoaders.from_df(df, procs=[Categorify, FillMissing, Normalize], cat_names=['size'], cont_names=cont, y_names='target',
                                                       y_block=CategoryBlock, bs=32, **kw))

def weighted(kind, _, **kw):
    df,cont = table()
    def build():
        to = TabularPandas(df, [Categorify, Normalize], ['size'], cont, 'target', y_block=CategoryBlock, splits=RandomSplitter(0.2)(df))
        return to.dataloaders(bs=32, dl_kwargs=[dict(wgts=1 + to.train.ys.values.squeeze()), {}], **kw)
    return kind.dls(build)

def collab(kind, _, **kw): return kind.dls(lambda: CollabDataLoaders.from_df(ratings(), bs=32, **kw))

def text(is_lm):
    def dls(kind, path, **kw):
        tok = dict(tok_tfm=BaseTokenizer(), is_lm=is_lm, valid_pct=0.2, bs=8, seq_len=24)
        return kind.dls(lambda: TextDataLoaders.from_folder(path, **tok, **kw))
    return dls

class Scans(torch.utils.data.Dataset):
    "The digits as tensors, with noise from all three generators"
    loss_func = CrossEntropyLossFlat()
    def __init__(self, n0, n1):
        data = load_digits()
        self.x,self.y = tensor(data.images[n0:n1]).float()/16,tensor(data.target[n0:n1])
    def __len__(self): return len(self.x)
    def __getitem__(self, i): return (self.x[i] + torch.rand(8,8)/9 + np.random.rand()/9 + random.random()/9)[None].float(),self.y[i]

def torch_loaders(kind, _, num_workers=0, **kw):
    def build():
        dl = lambda ds,**k: torch.utils.data.DataLoader(ds, 32, num_workers=num_workers, **({**kw, **k} if num_workers else k))
        return DataLoaders(dl(Scans(0,160), shuffle=True, drop_last=True), dl(Scans(160,200)))
    return kind.dls(build)

def tiny(dls): return nn.Sequential(nn.Conv2d(1,8,3,2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), Flatten(), nn.Dropout(0.2), nn.Linear(8,10))

awd = dict(emb_sz=20, n_hid=24, n_layers=2)
def lstm(config): return {**config, **awd}

apps = {
    'image classification': (vision(CategoryBlock, parent_label), lambda dls: vision_learner(dls, resnet18, pretrained=False, metrics=accuracy), digits_at),
    'multi-label':          (vision(MultiCategoryBlock, traits), lambda dls: vision_learner(dls, resnet18, pretrained=False, metrics=accuracy_multi), digits_at),
    'image regression':     (vision(RegressionBlock(1), value), lambda dls: vision_learner(dls, resnet18, pretrained=False, metrics=mae, y_range=(0,9)), digits_at),
    'segmentation':         (segmentation, lambda dls: unet_learner(dls, resnet18, pretrained=False, metrics=foreground_acc), masks_at),
    'tabular':              (tabular, lambda dls: tabular_learner(dls, [20,10], metrics=accuracy, config=tabular_config(ps=0.1)), None),
    'weighted tabular':     (weighted, lambda dls: tabular_learner(dls, [20,10], metrics=accuracy, config=tabular_config(ps=0.1)), None),
    'collab dot product':   (collab, lambda dls: collab_learner(dls, n_factors=8, y_range=(0,17)), None),
    'collab neural net':    (collab, lambda dls: collab_learner(dls, use_nn=True, layers=[20], y_range=(0,17), config=tabular_config(ps=0.1)), None),
    'text classification':  (text(False), lambda dls: text_classifier_learner(dls, AWD_LSTM, pretrained=False, seq_len=24, config=lstm(awd_lstm_clas_config), metrics=accuracy), texts_at),
    'language model':       (text(True), lambda dls: language_model_learner(dls, AWD_LSTM, pretrained=False, config=lstm(awd_lstm_lm_config), metrics=accuracy), texts_at),
    'torch loaders':        (torch_loaders, lambda dls: Learner(dls, tiny(dls), metrics=accuracy), None),
}

# --- runs

class ours:
    name,block,dls,is_ours = 'fastai_repro',ReproDataBlock,staticmethod(repro_dls),True
class plain:
    name,block,dls,is_ours = 'plain fastai',DataBlock,staticmethod(lambda f: f()),False

def quiet(learn, cbs):
    learn.remove_cb(ProgressCallback)
    learn.add_cbs(cbs)
    learn.logger = noop
    learn.path = Path(folder)
    return learn

def make(kind, app, source, cbs=(), dls=None, restore=True, **kw):
    build,to_learner,_ = apps[app]
    if not kind.is_ours: fastai_set_seed(42, reproducible=True)
    if dls is None: dls = build(kind, source, **{'num_workers':0, **kw})
    with seeded(42, 'init') if kind.is_ours else contextlib.nullcontext(): learn = to_learner(dls)
    return quiet(learn, [*([ReproCallback(42, restore=restore)] if kind.is_ours else []), *cbs])

def result(learn): return digest([learn.model, learn.recorder.losses, learn.recorder.values])

def fit(kind, learn, f=lambda l: l.fit_one_cycle(epochs)):
    if not kind.is_ours: fastai_set_seed(42, reproducible=True)
    f(learn)
    return result(learn)

def run(kind, app, source, before=noop, **kw):
    learn = make(kind, app, source, **kw)
    before(learn)
    return fit(kind, learn)

# --- what changes

class Draw(Callback):
    "Draws from every generator at every event, and only watches"
    order = -5
def _draw(self): random.random(), np.random.rand(), torch.rand(1), torch.rand(1, device=default_device())
for o in vars(event):
    if o[:6] in ('before','after_'): setattr(Draw, o, _draw)

def look(learn):
    "Everything that looks; fastai can't do all of it with all loaders"
    for f in (lambda: first(learn.dls.train), learn.validate, lambda: learn.dls.one_batch(), lambda: learn.dls.show_batch(max_n=2), lambda: learn.get_preds(),
              lambda: learn.show_results(max_n=2), lambda: learn.predict(first(learn.dls.train_ds.items)), lambda: learn.tta(n=2)):
        with contextlib.suppress(Exception): f()

def draws(learn): random.random(), np.random.rand(), torch.rand(1), torch.rand(1, device=default_device())

def shared(kind, app, source):
    dls = make(kind, app, source).dls
    return [run(kind, app, source, dls=dls) for _ in range(2)]

def tuned(kind, app, source):
    "A second `fine_tune` of the same learner against the first"
    learn = make(kind, app, source)
    return [fit(kind, learn, lambda l: l.fine_tune(1)) for _ in range(2)]

def model_first(kind, app, source):
    "The model before its loaders"
    learn = make(kind, app, source)
    learn.dls = apps[app][0](kind, source, num_workers=0)
    return fit(kind, learn)

def rows(workers, copied):
    return {
        'I1 new learner, same loaders':  lambda k,a,s: shared(k, a, s),
        'I2 new process':                None,
        'I3 workers':                    lambda k,a,s: [run(k, a, s, num_workers=n) for n in workers],
        'I3 pinned, persistent':         lambda k,a,s: [run(k, a, s, num_workers=2, pin_memory=True, persistent_workers=True)],
        'I4 looking first':              lambda k,a,s: [run(k, a, s, look)],
        'I5 lr_find first':              lambda k,a,s: [run(k, a, s, lambda l: l.lr_find(num_it=8, show_plot=False))],
        'I6 rewound':                    lambda k,a,s: [run(k, a, s, lambda l: (look(l), l.dls.rewind()))] if k.is_ours else None,
        'I6 rebuilt':                    lambda k,a,s: [run(k, a, s, dls=make(k, a, s).dls.rebuild())] if k.is_ours else None,
        'I7 second fine_tune':           tuned,
        'I8 copied, other order':        lambda k,a,s: [run(k, a, copied(a))] if copied(a) else None,
        'I9 numbers drawn before':       lambda k,a,s: [run(k, a, s, draws)],
        'I9 a callback draws':           lambda k,a,s: [run(k, a, s, cbs=[Draw()])],
        'I10 logging':                   lambda k,a,s: [run(k, a, s, cbs=[ProgressCallback(), ShowGraphCallback(), CSVLogger()])],
        'I11 model first':               lambda k,a,s: [model_first(k, a, s)],
    }

def sources(root, backwards=False):
    made = {}
    for app,(_,_,at) in apps.items():
        if at and at not in made: made[at] = at(Path(root)/at.__name__, backwards)
    return {app:made.get(at) for app,(_,_,at) in apps.items()}

def in_process(root, hashseed, device, names, quick):
    "The digests of all applications, for both kinds, in a new process"
    cmd = [sys.executable, __file__, '--child', str(root), '--device', device, '--apps', ','.join(names), *(['--quick'] if quick else [])]
    r = subprocess.run(cmd, capture_output=True, text=True, env={**os.environ, 'PYTHONHASHSEED':str(hashseed)})
    if r.returncode: raise RuntimeError(r.stderr)
    return json.loads(r.stdout.splitlines()[-1])

def markdown(kind, cells, names):
    lines = [f"| {row} | {' | '.join(cells[kind.name][row][a] for a in names)} |" for row in cells[kind.name]]
    return '\n'.join([f"### {kind.name}", '', f"| | {' | '.join(names)} |", f"|---|{'---|'*len(names)}", *lines])

def environment():
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ''
    cpu = next((l.split(':')[1].strip() for l in open('/proc/cpuinfo') if 'model name' in l), platform.processor()) if Path('/proc/cpuinfo').exists() else platform.processor()
    return {'python':platform.python_version(), **{o:md.version(o) for o in ('torch','fastai','numpy')}, 'cpu':cpu, 'threads':torch.get_num_threads(), 'gpu':gpu}

folder,epochs,repeats = tempfile.mkdtemp(),2,1 # a folder for everything; epochs of a training; how often the rows of a table are repeated

@call_parse
def main(
    quick:store_true=False, # One epoch instead of two, fewer worker counts
    device:str='cpu', # cpu or cuda
    apps:str='', # Applications to do, with commas; default: all
    out:str='', # Write the tables to this file (Markdown), and beside it as JSON
    child:str='', # (internal) print the digests of the undisturbed runs with the data in this folder
):
    "Print the table of what changes a result, and exit with status 1 if ours has a cell that does"
    names = [o for o in globals()['apps'] if not apps or o in apps.split(',')]
    globals()['epochs'] = 1 if quick else 2
    default_device(device=='cuda')
    if child:
        where = {a:(Path(child)/at.__name__ if at else None) for a,(_,_,at) in globals()['apps'].items()}
        return print(json.dumps({k.name:{a:run(k, a, where[a]) for a in names} for k in (ours,plain)}))
    start,root = time.time(),Path(folder)
    here,there = sources(root/'here'),sources(root/'there'/'deeper', backwards=True)
    processes = [in_process(root/'here', h, device, names, quick) for h in (0,1)]
    cells = {k.name:{} for k in (ours,plain)}
    table = rows((2,) if quick else (1,2,4), there.get)
    reference = {(k,a):run(k, a, here[a]) for k in (ours,plain) for a in names}
    for row,f in table.items():
        for k in (ours,plain):
            cells[k.name][row] = {}
            for a in names:
                if row.startswith('I2'): got = [p[k.name][a] for p in processes]
                else:
                    with contextlib.redirect_stdout(io.StringIO()): got = f(k, a, here[a])
                    plt.close('all')
                want = got[0] if got and row.startswith('I7') else reference[k,a]
                cells[k.name][row][a] = '' if got is None else 'same' if set(got)=={want} else 'differs'
        print(f"{time.time()-start:5.0f} s  {row}: ours {cells[ours.name][row].values()}".replace('dict_values',''), file=sys.stderr, flush=True)
    env = environment()
    made_in = f"{', '.join(f'{k} {v}' for k,v in env.items() if v)}; device {device}{', quick' if quick else ''}; {time.time()-start:.0f} s"
    text = '\n\n'.join([*(markdown(k, cells, names) for k in (ours,plain)), made_in])
    print(text)
    if out:
        Path(out).write_text(text + '\n')
        Path(out).with_suffix('.json').write_text(json.dumps(dict(environment=env, device=device, cells=cells), indent=1) + '\n')
    shutil.rmtree(folder, ignore_errors=True)
    if any(c=='differs' for r in cells[ours.name].values() for c in r.values()): sys.exit(1)
