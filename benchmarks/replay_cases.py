"""The programs of `replay.py`: each a few files, how it is started, and where its data is."""
import json

head = '''from fastai_repro import *
'''
vision = '''from fastai.vision.all import *
from fastai_repro import *
def body(pretrained=False): return nn.Sequential(nn.Conv2d(3,8,3,2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8,8,3,2), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
def loaders(path, size=16, **kw):
    block = ReproDataBlock((ImageBlock, CategoryBlock), get_items=get_image_files, get_y=parent_label, splitter=RandomSplitter(0.2), item_tfms=Resize(size), batch_tfms=aug_transforms(size=size))
    return block.dataloaders(Path(path), bs=32, num_workers=0, **kw)
def learner(dls, **kw):
    with seeded(42, 'init'): return vision_learner(dls, body, pretrained=False, metrics=accuracy, **kw)
'''
keep = "ReproCallback(42, manifest='runs', code=True)"

def notebook(*cells): return json.dumps(dict(cells=[dict(cell_type='code', execution_count=None, id=f'c{i}', metadata={}, outputs=[], source=o) for i,o in enumerate(cells)], metadata={}, nbformat=4, nbformat_minor=5))

tabular = '''import pandas as pd
from fastai.tabular.all import *
from fastai_repro import *
def loaders(file):
    df = pd.read_csv(file)
    return repro_dls(lambda: TabularDataLoaders.from_df(df, cat_names=['work','sex'], cont_names=['age','hours'], procs=[Categorify, FillMissing, Normalize], y_names='rich', y_block=CategoryBlock(), bs=64))
'''
text = '''import pandas as pd
from fastai.text.all import *
from fastai_repro import *
'''
collab = '''from fastai.collab import *
from fastai.tabular.all import *
from fastai_repro import *
'''
torch = '''import torch
from torch import nn
from torch.utils.data import DataLoader,TensorDataset,random_split,Dataset
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy
from fastai_repro import *
'''
torch_run = '''
x,y = torch.load('../data/digits.pt')
dls = DataLoaders(DataLoader(TensorDataset(x[:200],y[:200]), batch_size=32, shuffle=True, num_workers={workers}), DataLoader(TensorDataset(x[200:],y[200:]), batch_size=32))
with seeded(42, 'init'): model = nn.Sequential(nn.Linear(64,16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16,10))
learn = Learner(dls, model, loss_func=CrossEntropyLossFlat(), metrics=accuracy, cbs=ReproCallback(42{more}))
with learn.no_bar(): learn.fit_one_cycle(2, 1e-2)
'''
arguments = '''import argparse
p = argparse.ArgumentParser(); p.add_argument('--data'); p.add_argument('--lr', type=float, default=1e-3); p.add_argument('--epochs', type=int, default=1); p.add_argument('--token')
a = p.parse_args()
'''

# name: files below the project, how it is started (`fastai-repro-run` unless `plain`), from which folder, what to pass as `--data`, git, threads
cases = {
    'vision: script, helper, config': dict(files={'train.py':"import tomllib\nfrom parts import *\nc = tomllib.loads(Path('conf.toml').read_text())\nlearn = learner(loaders('../data/digits', c['size']), cbs=ReproCallback(42))\nwith learn.no_bar(): learn.fit_one_cycle(c['epochs'])\n",
        'parts.py':vision, 'conf.toml':'size = 16\nepochs = 2\n'}, argv=['train.py'], data='../data/digits', env=True),
    'vision: --fix, knows nothing of us': dict(files={'train.py':"from fastai.vision.all import *\ndls = ImageDataLoaders.from_folder('../data/digits', valid_pct=0.2, item_tfms=Resize(16), bs=32, num_workers=0)\nm = nn.Sequential(nn.Conv2d(3,8,3,2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8,10))\nlearn = Learner(dls, m, metrics=accuracy)\nwith learn.no_bar(): learn.fit(1)\n"},
        argv=['train.py'], flags=['--fix'], data='../data/digits'),
    'vision: arguments, absolute data': dict(files={'train.py':vision+arguments+"learn = learner(loaders(a.data), cbs=ReproCallback(42))\nwith learn.no_bar(): learn.fit_one_cycle(a.epochs, a.lr)\n"}, argv=['train.py','--data','{root}/data/digits','--lr','3e-3'], data='{root}/data/digits'),
    'vision: notebook': dict(files={'train.ipynb':notebook(vision, "dls = loaders('../data/digits')", "learn = learner(dls, cbs=ReproCallback(42))", "with learn.no_bar(): learn.fit_one_cycle(1)")}, argv=['train.ipynb'], data='../data/digits', env=True),
    'vision: plain python, clean git': dict(files={'train.py':vision+f"set_seed(42)\nlearn = learner(loaders('../data/digits'), cbs={keep})\nwith learn.no_bar(): learn.fit_one_cycle(1)\n"}, argv=['train.py'], plain=True, git='clean', data='../data/digits'),
    'vision: plain python, dirty git, helper': dict(files={'train.py':f"from lib.parts import *\nlearn = learner(loaders('../data/digits'), cbs={keep})\nwith learn.no_bar(): learn.fit_one_cycle(1)\n", 'lib/parts.py':vision}, argv=['train.py'], plain=True, git='dirty', data='../data/digits'),
    'vision: fine_tune': dict(files={'train.py':vision+"learn = learner(loaders('../data/digits'), cbs=ReproCallback(42))\nwith learn.no_bar(): learn.fine_tune(1)\n"}, argv=['train.py'], data='../data/digits'),
    'vision: the second of two learners': dict(files={'train.py':vision+"for lr in (1e-3, 1e-2):\n    learn = learner(loaders('../data/digits'), cbs=ReproCallback(42))\n    with learn.no_bar(): learn.fit(1, lr)\n"}, argv=['train.py'], second=True, data='../data/digits'),
    'vision: MixUp, early stopping in a helper': dict(files={'train.py':vision+"from stop import Stop\nlearn = learner(loaders('../data/digits'), cbs=[ReproCallback(42), MixUp(), Stop()])\nwith learn.no_bar(): learn.fit(3)\n", 'stop.py':"from fastai.callback.core import Callback,CancelFitException\nclass Stop(Callback):\n    def after_epoch(self):\n        if self.epoch: raise CancelFitException\n"}, argv=['train.py'], data='../data/digits'),
    'tabular: a table by a relative path': dict(files={'train.py':tabular+"dls = loaders('../data/adults.csv')\nwith seeded(42, 'init'): learn = tabular_learner(dls, layers=[20], metrics=accuracy, cbs=ReproCallback(42))\nwith learn.no_bar(): learn.fit_one_cycle(2)\n"}, argv=['train.py'], data='../data/adults.csv', env=True),
    'tabular: notebook and helper': dict(files={'train.ipynb':notebook("from parts import *", "dls = loaders('../data/adults.csv')\nwith seeded(42, 'init'): learn = tabular_learner(dls, layers=[20], cbs=ReproCallback(42))", "with learn.no_bar(): learn.fit(1)"), 'parts.py':tabular}, argv=['train.ipynb'], data='../data/adults.csv'),
    'tabular: a package, from the folder above': dict(files={'src/train.py':"from pack.data import loaders\nfrom fastai.tabular.all import *\nfrom fastai_repro import *\nwith seeded(42, 'init'): learn = tabular_learner(loaders('data/adults.csv'), layers=[20], cbs=ReproCallback(42))\nwith learn.no_bar(): learn.fit(1)\n", 'src/pack/__init__.py':'', 'src/pack/data.py':tabular}, argv=['proj/src/train.py'], cwd='..', data='data/adults.csv', git='dirty'),
    'text: classifier': dict(files={'train.py':text+"df = pd.read_csv('../data/texts.csv')\ndls = repro_dls(lambda: TextDataLoaders.from_df(df, text_col='text', label_col='label', valid_pct=0.2, seed=1, bs=16, seq_len=16))\nconf = dict(awd_lstm_clas_config, emb_sz=8, n_hid=8, n_layers=2)\nwith seeded(42, 'init'): learn = text_classifier_learner(dls, AWD_LSTM, config=conf, pretrained=False, metrics=accuracy, cbs=ReproCallback(42))\nwith learn.no_bar(): learn.fit(1)\n"}, argv=['train.py'], data='../data/texts.csv', env=True),
    'text: language model, notebook': dict(files={'lm.ipynb':notebook(text, "df = pd.read_csv('../data/texts.csv')\ndls = repro_dls(lambda: TextDataLoaders.from_df(df, text_col='text', is_lm=True, valid_pct=0.2, seed=1, bs=8, seq_len=16))", "conf = dict(awd_lstm_lm_config, emb_sz=8, n_hid=8, n_layers=2)\nwith seeded(42, 'init'): learn = language_model_learner(dls, AWD_LSTM, config=conf, pretrained=False, cbs=ReproCallback(42))", "with learn.no_bar(): learn.fit(1)")}, argv=['lm.ipynb'], data='../data/texts.csv'),
    'collab: arguments': dict(files={'train.py':collab+arguments+"import pandas as pd\ndls = repro_dls(lambda: CollabDataLoaders.from_df(pd.read_csv(a.data), valid_pct=0.2, seed=1, bs=64))\nwith seeded(42, 'init'): learn = collab_learner(dls, n_factors=8, y_range=(0.5,5.5), cbs=ReproCallback(42))\nwith learn.no_bar(): learn.fit(2, a.lr)\n"}, argv=['train.py','--data=../data/ratings.csv','--lr','0.01'], data='../data/ratings.csv', env=True),
    'collab: json config, strict, clean git': dict(files={'train.py':collab+"import json,pandas as pd\nc = json.loads(Path('conf/small.json').read_text())\ndls = repro_dls(lambda: CollabDataLoaders.from_df(pd.read_csv('../data/ratings.csv'), valid_pct=0.2, seed=1, bs=64))\nwith seeded(42, 'init'): learn = collab_learner(dls, use_nn=True, layers=c['layers'], y_range=(0.5,5.5), cbs=ReproCallback(42))\nwith learn.no_bar(): learn.fit(1)\n", 'conf/small.json':'{"layers": [16]}'}, argv=['train.py'], flags=['--strict'], git='clean', data='../data/ratings.csv'),
    'torch loaders': dict(files={'train.py':torch+torch_run.format(workers=0, more='')}, argv=['train.py'], data='../data/digits.pt', env=True),
    'torch loaders: two workers, plain python': dict(files={'train.py':torch+torch_run.format(workers=2, more=", manifest='runs', code=True")}, argv=['train.py'], plain=True, data='../data/digits.pt'),
    'torch loaders: two threads': dict(files={'train.py':torch+torch_run.format(workers=0, more='')}, argv=['train.py'], threads=2, data='../data/digits.pt'),
    'torch loaders: a script elsewhere, its config by __file__': dict(files={'src/train.py':torch+"import json\nfrom pathlib import Path\nc = json.loads((Path(__file__).parent.parent/'conf.json').read_text())\n"+torch_run.format(workers=0, more=f", manifest='runs', code=True").replace('fit_one_cycle(2', "fit_one_cycle(c['epochs']"), 'conf.json':'{"epochs": 2}', 'work/notes.txt':''}, argv=['../src/train.py'], cwd='work', data='../data/digits.pt', data_root='proj', plain=True),
}
