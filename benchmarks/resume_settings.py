"""Kill a training, change one thing in its script, start it again: is it refused by name, or does it go on to the same bits?

    python benchmarks/resume_settings.py [--only NAMES] [--jobs 2] [--out benchmarks/results/resume_settings.md]

A script is made from `template` and killed with SIGKILL in its middle, at step 15. For each line of `settings` it is started again in a new
process, from a copy of the checkpoint, with one text of the script replaced by another. Right is: what changes the result raises a
`ValueError` that names what changed, before the first step (the checkpoint is still the same file); what does not goes on to the digest of
the training that nobody killed.
"""
import os,re,shutil,signal,subprocess,sys,tempfile,time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from fastcore.script import call_parse

# --- the script, in three variants

template = '''
import os,signal,sys,warnings
from functools import partial
from pathlib import Path
warnings.filterwarnings('ignore')
from fastai.vision.all import *
from sklearn.datasets import load_digits
from fastai_repro import *
# more imports
torch.set_num_threads(1)
ckpt,data = map(Path, sys.argv[1:])

SHIFT = 0.1

class Noisy(torch.utils.data.Dataset):
    def __init__(self, n0, n1, noise):
        o = load_digits()
        self.x,self.y,self.noise = tensor(o.images[n0:n1]).float()[:,None]/16,tensor(o.target[n0:n1]),noise
    def __len__(self): return len(self.x)
    def __getitem__(self, i): return self.x[i] + torch.rand(1,8,8)*self.noise,self.y[i]

def squash(x, limit=3.): return x.clamp(max=limit)

class Scale(nn.Module):
    power = 1.5
    def __init__(self, factor):
        super().__init__()
        self.factor = factor
    def forward(self, x): return squash(x.abs()**self.power*self.factor + SHIFT)

class Focal(nn.Module):
    def __init__(self, gamma):
        super().__init__()
        self.gamma = gamma
    def forward(self, x, y):
        loss = F.cross_entropy(x, y, reduction='none')
        return ((1-(-loss).exp())**self.gamma * loss).mean()

def smoothed(eps):
    def loss(x, y): return F.cross_entropy(x, y, label_smoothing=eps)
    return loss

def squared_entropy(x, y):
    loss = F.cross_entropy(x, y)
    return loss + 0.1*loss**2

class Fades(Callback):
    def __init__(self, rate): self.speed = rate
    def after_loss(self):
        if self.training: self.learn.loss_grad = self.loss_grad*self.speed**self.epoch

class Kills(Callback):
    order = 2000  # after the checkpoint
    def after_batch(self):
        if self.training and self.train_iter==int(os.environ.get('KILL_AT', 0)): os.kill(os.getpid(), signal.SIGKILL)

class Pads(Transform):
    def __init__(self, n): self.border = n
    def encodes(self, x:TensorImage): return F.pad(x, [self.border]*4)

def arrays():
    dls = repro_dls(lambda: DataLoaders.from_dsets(Noisy(0, 160, 0.1), Noisy(160, 200, 0.1), bs=16, num_workers=0))
    dls.c = 10
    return dls

def files():
    darker = Transform(lambda x: x*0.9 if isinstance(x, TensorImage) else x)
    block = ReproDataBlock((ImageBlock(PILImageBW), CategoryBlock), get_items=get_image_files, get_y=parent_label,
                           splitter=RandomSplitter(0.2), item_tfms=[RandomCrop(7)], batch_tfms=[Pads(1), darker])
    return block.dataloaders(data, bs=16, num_workers=0)

dls = arrays()
with seeded(42, 'init'):
    head = nn.AdaptiveAvgPool2d(1), Flatten(), nn.Dropout(0.2), nn.Linear(8,10)
    model = nn.Sequential(nn.Conv2d(1,8,3,2), nn.BatchNorm2d(8), Scale(0.8), nn.ReLU(), *head)
cbs = [Fades(0.9), ReproCallback(42), Kills()]
learn = Learner(dls, model, loss_func=Focal(2.), metrics=accuracy, opt_func=partial(Adam, mom=0.9), cbs=cbs)
learn.path = ckpt.parent
# more of the learner
learn.fit(4, 0.01, wd=0.01, cbs=[ResumeCallback(ckpt, every=1)])
print('digest', digest([learn.model, learn.recorder.losses, learn.recorder.values, learn.recorder.lrs]))
'''

variants = {  # texts that are replaced in the killed training too
    'module': [],
    'function': [('loss_func=Focal(2.)', 'loss_func=squared_entropy')],
    'closure': [('loss_func=Focal(2.)', 'loss_func=smoothed(0.1)')],
    'files': [('dls = arrays()', 'dls = files()'), ('loss_func=Focal(2.), ', ''), ('cbs = [', 'cbs = [MixUp(0.4), ')],
}

class Setting(NamedTuple):
    "What is changed"
    name:str
    old:str # Text of the script, and the one that takes its place
    new:str
    must_say:str = None # What the error must name, as a regular expression; None: it must go on to the same bits
    variant:str = 'module'
    both:tuple = () # Texts that are replaced before too, in the killed training and after

settings = [Setting(*o) for o in [
    ('attribute of a loss module', 'Focal(2.)', 'Focal(1.)', 'gamma'),
    ('attribute of a dataset', '160, 0.1), Noisy', '160, 0.2), Noisy', 'noise'),
    ('attribute of a layer', 'Scale(0.8)', 'Scale(0.7)', 'factor'),
    ('class attribute of a layer', 'power = 1.5', 'power = 2.', 'power'),
    ("callback's setting under another name", 'Fades(0.9)', 'Fades(0.8)', 'speed'),
    ('seed of the initialisation', "seeded(42, 'init')", "seeded(43, 'init')", r'\binit'),
    ('constant in the closure of a loss', 'smoothed(0.1)', 'smoothed(0.2)', r'\beps\b', 'closure'),
    ('body of a loss function', '0.1*loss**2', '0.2*loss**2', 'squared_entropy', 'function'),
    ('default argument of a function used', 'limit=3.', 'limit=1.', 'squash'),
    ('global constant named in a forward', 'SHIFT = 0.1', 'SHIFT = 0.2', 'SHIFT'),
    ('lambda in a transform', 'x*0.9', 'x*0.8', 'lambda', 'files'),
    ("transform's attribute under another name", 'Pads(1)', 'Pads(2)', 'border', 'files'),
    ('alpha of MixUp', 'MixUp(0.4)', 'MixUp(0.3)', 'mix_up', 'files'),
    ('number of epochs', 'fit(4,', 'fit(5,', 'epoch'),
    ('learning rate', 'fit(4, 0.01', 'fit(4, 0.02', r'\blr\b'),
    ('weight decay', 'wd=0.01', 'wd=0.02', r'\bwd\b'),
    ('batch size', 'bs=16', 'bs=20', r'\bbs\b|batch size'),
    ('momentum of the optimizer', 'mom=0.9', 'mom=0.8', r'\bmom\b'),
    ('optimizer', 'partial(Adam, mom=0.9)', 'partial(SGD, mom=0.9)', 'SGD'),
    ('hook added to a layer', '# more of the learner', 'learn.model[1].register_forward_hook(lambda m,i,o: o*1.1)', 'hook'),
    ('p of a dropout', 'Dropout(0.2)', 'Dropout(0.3)', r'Dropout|\bp\b'),
    ('folder of the data', '', '', None, 'files'),
    ('number of workers', 'num_workers=0', 'num_workers=2'),
    ('name of the host', '# more imports', "import socket,platform\nsocket.gethostname = platform.node = lambda: 'elsewhere'"),
    ('no progress bar', '# more of the learner', 'learn.remove_cb(ProgressCallback)'),
    ('a print', '# more of the learner', "print('it trains')"),
    ('a comment and an unused function', '# more imports', '# a comment\ndef unused(x): return x+1'),
    ("other weights at first, with `init='any'`", "seeded(42, 'init')", "seeded(43, 'init')", None, 'module',
     (('every=1)', "every=1, init='any')"),)),
]]

# --- processes

def script(*replaced):
    text = template
    for old,new in replaced:
        if old not in text: raise ValueError(f"`template` has no {old!r}")
        text = text.replace(old, new)
    return text

def start(folder, text, data, kill_at=0):
    "Run the script `text` in `folder`; it kills itself after step `kill_at`"
    folder.mkdir(parents=True, exist_ok=True)
    (folder/'train.py').write_text(text)
    cmd,env = [sys.executable, 'train.py', folder/'run.ckpt', data],{**os.environ, 'KILL_AT':str(kill_at)}
    return subprocess.Popen(cmd, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)

def outcome(p):
    "The digest, or None and the error"
    out,err = p.communicate()
    return (None, err) if p.returncode else (re.search(r'^digest (\w+)', out, re.M).group(1), '')

def base(root, variant, both, data):
    "Folder of a training that was killed, and the digest of the same that was not"
    text,folder = script(*variants[variant], *both),root/(variant + str(len(both)))
    want,err = outcome(start(folder/'whole', text, data))
    if want is None: return None,error(err)
    p = start(folder/'killed', text, data, kill_at=15)
    p.communicate()
    if p.returncode!=-signal.SIGKILL: raise RuntimeError(f'it was not killed, but ended with {p.returncode}')
    return folder/'killed',want

# --- what came out

def error(err):
    "The last error of a traceback, all its lines, without the path of the checkpoint"
    at = [o.start() for o in re.finditer(r'^\w[\w.]*(Error|Exception)\b', err, re.M)]
    return re.sub(r"`path` '[^']*'", '`path`', err[at[-1] if at else 0:].strip())

def judge(s, got, err, want, same_file):
    "The outcome in words, and if it is the right one"
    if got: return ('went on to the same bits' if got==want else 'went on to a different result'),s.must_say is None and got==want
    if not err.startswith('ValueError'): return 'failed',False
    if not same_file: return 'refused, but after a step',False
    if s.must_say is None: return 'refused',False
    return ('refused by name',True) if re.search(s.must_say, err) else ('refused, not by name',False)

def again(s, folder, root, data):
    "Start the killed training again with one thing changed"
    killed,want = folder
    if killed is None: return s,'the training itself failed',False,want
    to = root/f'setting-{settings.index(s)}'
    shutil.copytree(killed, to)
    before = (to/'run.ckpt').read_bytes()
    got,err = outcome(start(to, script(*variants[s.variant], *s.both, *([(s.old, s.new)] if s.old else [])), data))
    err = error(err)
    return s,*judge(s, got, err, want, (to/'run.ckpt').read_bytes()==before),err

def short(message, n=220):
    message = ' '.join(message.split()).replace('|', '\\|')
    return message if len(message)<=n else message[:n] + '...'

def line(s, what, is_right, message):
    expected = 'goes on' if s.must_say is None else 'refused'
    return f"| {s.name} | {expected} | {what} | {'yes' if is_right else 'NO'} | {short(message)} |"

def environment():
    import invariance as iv
    return ', '.join(f'{k} {v}' for k,v in iv.environment().items() if v)

@call_parse
def main(
    only:str='', # Settings to do, with semicolons; default: all
    jobs:int=2, # Trainings at a time
    out:str='', # Write the table to this file (Markdown)
):
    "Print a table of changed settings and what came of each, and exit with status 1 if one is wrong"
    import invariance as iv
    chosen = [o for o in settings if not only or o.name in only.split(';')]
    with tempfile.TemporaryDirectory() as d, ThreadPoolExecutor(jobs) as pool:
        root = Path(d)
        data,copy = iv.digits_at(root/'digits', False),iv.digits_at(root/'elsewhere'/'copy', True)
        bases = {k: pool.submit(base, root, *k, data) for k in dict.fromkeys((o.variant, o.both) for o in chosen)}
        bases = {k: o.result() for k,o in bases.items()}
        done = [pool.submit(again, o, bases[o.variant, o.both], root, copy if o.name=='folder of the data' else data) for o in chosen]
        rows = [o.result() for o in done]
    wrong = [s.name for s,_,is_right,_ in rows if not is_right]
    head = ['| changed | expected | outcome | right | message |', '|---|---|---|---|---|']
    text = '\n'.join([*head, *(line(*o) for o in rows), '', f'{len(rows)-len(wrong)} of {len(rows)} right; {environment()}'])
    print(text)
    if out: Path(out).write_text(text + '\n')
    if wrong: sys.exit(1)
