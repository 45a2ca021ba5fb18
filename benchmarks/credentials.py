"""Credentials in a run: does any reach a manifest, what is made from it, or a digest in it?

    python benchmarks/credentials.py [--out F.md]

Each case of `credentials_cases.py` is put into nine places of a training: `config`, the run's name, an attribute of a callback, of a transform, of the learner, what a loss closes over, an argument of the program, a
variable of the environment, and the address of a package. Then everything that is written or shown is searched for the secret parts: the file, `flat()`, `requirements()`, text, HTML, headline, the table of runs, and the
diff against the same run with other credentials, whose masks must be the same. The control is the same run with the masks taken out.
"""
import json,os,sys,tempfile,warnings
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch
warnings.filterwarnings('ignore')
import torch
from torch import nn
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fasttransform import Transform
import fastai_repro.credentials as credentials,fastai_repro.description as description,fastai_repro.environment as environment,fastai_repro.manifest as manifest
from fastai_repro.record import load_runs
from credentials_cases import CASES,HARMLESS

class Holds(Callback):
    def __init__(self, name, value): setattr(self, name, value)

class Holder(Transform):
    def __init__(self, name, value): setattr(self, name, value)
    def encodes(self, x:dict): return x

def attribute(case): return (case.name.rpartition('.')[2] or 'held').replace('-', '_')

def learner():
    dls = DataLoaders.from_dsets([(torch.zeros(2), 0)]*4, [(torch.zeros(2), 0)]*4, bs=2, num_workers=0, device='cpu')
    cbs = [Holds(attribute(c), c.value) for c in CASES]
    dls.train.after_item.fs.extend([Holder(attribute(c), c.value) for c in CASES])
    held = [SimpleNamespace(**{attribute(c):c.value}) for c in CASES]
    def loss(x, y): return nn.functional.cross_entropy(x, y)*bool(held)
    learn = Learner(dls, nn.Linear(2, 2), loss_func=loss, cbs=cbs)
    learn.notes = held
    return learn

def packages(folder):
    "Distributions that were installed from addresses with credentials"
    for i,c in enumerate(CASES):
        if not (isinstance(c.value, str) and '://' in c.value and ' ' not in c.value): continue
        info = folder/f'package{i}-1.0.dist-info'
        info.mkdir(parents=True)
        (info/'METADATA').write_text(f'Metadata-Version: 2.1\nName: package{i}\nVersion: 1.0\n\n')
        (info/'direct_url.json').write_text(json.dumps(dict(url=c.value.removeprefix('git+'), vcs_info=dict(vcs='git', commit_id='a'*40))))
    return folder

def texts(folder):
    "All that is written or shown of one training"
    config = {f'c{i}':{c.name.rpartition('.')[2] or 'held':c.value} for i,c in enumerate(CASES)}
    strings = [c.value for c in CASES if isinstance(c.value, str) and not c.name]  # a word without its name is no credential
    env = {f'TORCH_{attribute(c).upper()}_{i}':c.value for i,c in enumerate(CASES) if isinstance(c.value, str)}
    lists = [x for c in CASES if isinstance(c.value, (list,tuple)) and all(isinstance(x, str) for x in c.value) for x in c.value]
    with ExitStack() as stack:
        stack.enter_context(patch.object(sys, 'argv', ['train.py', *lists, *strings]))
        stack.enter_context(patch.dict(os.environ, {k:v for k,v in env.items() if '\0' not in v}))
        stack.enter_context(patch.object(sys, 'path', [*sys.path, str(packages(Path(folder)/'site'))]))
        m = manifest.RunManifest.capture(learner(), seed=1, config=config)
    m.save(Path(folder)/'run.json')
    other = manifest.RunManifest({**m.fields, 'seed':2})
    runs = load_runs(folder)
    return {'file':(Path(folder)/'run.json').read_text(), 'flat':json.dumps(m.flat(), ensure_ascii=False), 'requirements':m.requirements(), 'text':str(m), 'HTML':m._repr_html_(), 'headline':m.headline(),
            'table of runs':runs.to_csv(), 'diff':str(m.diff(other)) + m.diff(other)._repr_html_()}

def found(text):
    return [c for c in CASES if any(o in text for s in c.secrets for o in {s, json.dumps(s)[1:-1], json.dumps(json.dumps(s)[1:-1])[1:-1]})]

def main(out=None):
    with tempfile.TemporaryDirectory() as d: ours = texts(d)
    as_it_is = lambda v,*args: v
    with tempfile.TemporaryDirectory() as d, ExitStack() as stack:
        for module in (description,environment,manifest): stack.enter_context(patch.object(module, 'masked', as_it_is))
        control = texts(d)
    rows = ['| written or shown | credentials found | with the masks taken out |', '|---|---|---|', *(f'| {n} | {len(found(t))} | {len(found(control[n]))} |' for n,t in ours.items())]
    for c in {id(c):c for t in ours.values() for c in found(t)}.values(): print('SURVIVES', c.kind, '|', c.carrier, '|', c.name, '|', str(c.value)[:100])
    touched = [(n,v) for n,v in HARMLESS if credentials.masked(v, n)!=v]
    text = '\n'.join(['# Credentials in a run', '', f'`python benchmarks/credentials.py`: {len(CASES)} credentials of {len({c.kind.split()[0] for c in CASES})} kinds, each in up to nine places of one training.', '', *rows, '',
                      f'{len(HARMLESS)} harmless values of similar looks: {len(touched)} touched.', ''])
    print(text)
    if out: Path(out).write_text(text)
    return sum(len(found(t)) for t in ours.values()) or len(touched)

if __name__=='__main__': sys.exit(bool(main(*sys.argv[2:3])))
