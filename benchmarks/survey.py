"""What fastai's, torchvision's and timm's models need for strict mode.

    python benchmarks/survey.py [--out benchmarks/results/survey.md] [--pattern NAMES]

Models are made on the `meta` device, with no weights, and given to `find_nondeterministic`. Of timm's, one of each family: the first name of each module.
"""
import importlib.metadata as md,json,warnings
warnings.filterwarnings('ignore')
from collections import defaultdict
from pathlib import Path
import timm,torch,torchvision.models as tvm
from fastai.vision.all import *
from fastai.vision.gan import basic_critic,basic_generator
from fastai.tabular.all import TabularModel
from fastai.collab import EmbeddingDotBias
from fastai.text.models.awdlstm import AWD_LSTM,awd_lstm_clas_config,awd_lstm_lm_config
from fastai.text.models.core import get_language_model,get_text_classifier
from fastcore.script import call_parse
from fastai_repro.layers import find_nondeterministic

fastai_models = {
    'vision_learner: any': lambda: create_head(512, 10),
    'vision_learner: any, concat_pool=False': lambda: create_head(512, 10, concat_pool=False),
    'xresnet50': lambda: xresnet50(n_out=10),
    'tabular_learner': lambda: TabularModel([(9,5)], 3, 2, [20]),
    'collab_learner': lambda: EmbeddingDotBias(5, 9, 9),
    'AWD-LSTM language model': lambda: get_language_model(AWD_LSTM, 99, awd_lstm_lm_config),
    'AWD-LSTM text classifier': lambda: get_text_classifier(AWD_LSTM, 99, 2, config=awd_lstm_clas_config),
    'GAN generator': lambda: basic_generator(64, 3), 'GAN critic': lambda: basic_critic(64, 3)}
unets = {
    'unet_learner': {}, 'unet_learner, self_attention=True': dict(self_attention=True), 'unet_learner, blur=True': dict(blur=True, blur_final=True)}

def needs(model):
    found = defaultdict(int)
    for o in find_nondeterministic(model): found[f"{o.kind}{', only slow' if 'slow' in o.reason else ''}", o.remedy=='`replace_nondeterministic`'] += 1
    listed = lambda swaps: ', '.join(f"{k}{f' ({n})' if n>1 else ''}" for (k,s),n in found.items() if s==swaps)
    return dict(replaced=listed(True), calls=listed(False))

def made(f):
    try:
        with torch.device('meta'): return f()
    except NotImplementedError: return f()  # reads its own weights

def timm_names(pattern):
    "The first model of each family"
    first = {}
    for name in timm.list_models(pattern): first.setdefault(timm.models.model_entrypoint(name).__module__, name)
    return sorted(first.values())

def models(pattern):
    for k,f in fastai_models.items(): yield 'fastai',k,f
    for k,kw in unets.items(): yield 'fastai',k,lambda: create_unet_model(resnet18, 5, (64,64), pretrained=False, **kw)
    for name in tvm.list_models():
        if '128gf' not in name: yield 'torchvision',name,lambda: tvm.get_model(name, weights=None, **({'weights_backbone':None} if 'detection' in tvm.get_model_builder(name).__module__ or 'segmentation' in tvm.get_model_builder(name).__module__ else {}))
    for name in timm_names(pattern): yield 'timm',name,lambda: timm.create_model(name)

def table(rows):
    "A line for each need, with the models that have it"
    groups = defaultdict(list)
    for o in rows: groups[o['library'], o['replaced'], o['calls']].append(o['model'])
    lines = [f"| {lib} | {', '.join(names)} | {rep or '-'} | {calls or '-'} |" for (lib,rep,calls),names in groups.items() if rep or calls]
    fine = [f"- {lib}: {', '.join(n for (l,r,c),names in groups.items() if l==lib and not r and not c for n in names) or 'none'}" for lib in ('fastai','torchvision','timm')]
    return '\n'.join(['| library | models | replaced | calls in a forward, if they are reached |', '|---|---|---|---|', *lines, '', 'These need nothing, in a loop of your own or with `concat_pool=False`:', '', *fine])

@call_parse
def main(
    out:str='', # Write the table to this file (Markdown), and beside it as JSON
    pattern:str='*', # Of timm's names
):
    "Print which models need what for strict mode"
    rows = [dict(library=lib, model=name, **needs(f() if name.startswith('unet_learner') else made(f))) for lib,name,f in models(pattern)]
    versions = ', '.join(f'{o} {md.version(o)}' for o in ('torch','fastai','torchvision','timm'))
    text = '\n\n'.join([table(rows), f'{len(rows)} models; {versions}.'])
    print(text)
    if out:
        Path(out).write_text(text + '\n')
        Path(out).with_suffix('.json').write_text(json.dumps(rows, indent=1) + '\n')
