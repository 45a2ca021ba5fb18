"""The number of cores: one training with `ReproCallback(threads=2)` on 1, 2, 4, ... cores, and the control without it.

    python benchmarks/threads.py [--out F.md]

Each row is a new process that may use so many cores of this machine, and in which torch takes as many threads, as it does on a machine
with so many. `fine_tune` of a ResNet-18 on the digits at 32 pixels, with random item and batch transforms.
"""
import os,subprocess,sys,warnings
from pathlib import Path

def train(threads):
    warnings.filterwarnings('ignore')
    import torch
    from fastai.vision.all import (CategoryBlock,ImageBlock,RandomSplitter,Resize,accuracy,aug_transforms,get_image_files,parent_label,resnet18,vision_learner)
    from fastai_repro import ReproCallback,ReproDataBlock,digest,digits_path,seeded
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    block = ReproDataBlock((ImageBlock,CategoryBlock), get_items=get_image_files, get_y=parent_label, splitter=RandomSplitter(0.8, seed=1), item_tfms=Resize(32), batch_tfms=aug_transforms(size=32))
    dls = block.dataloaders(digits_path(), seed=42, bs=32, num_workers=0, device=torch.device('cpu'))
    with seeded(42, 'init'): learn = vision_learner(dls, resnet18, pretrained=False, metrics=accuracy, cbs=ReproCallback(threads=threads))
    with learn.no_bar(), learn.no_logging(): learn.fine_tune(1)
    print('digest', digest(learn.model))

def row(threads, n):
    cores = sorted(os.sched_getaffinity(0))[:n]
    out = subprocess.run([sys.executable, __file__, '--train', str(threads or 0)], capture_output=True, text=True, preexec_fn=lambda: os.sched_setaffinity(0, cores)).stdout
    return next((o.split()[1] for o in out.splitlines() if o.startswith('digest')), 'failed')

def main(out=None):
    sizes = [n for n in (1,2,4,8,16,32) if n<=len(os.sched_getaffinity(0))]
    rows = [(n,row(2, n),row(None, n)) for n in sizes]
    model = next((l.partition(':')[2].strip() for l in Path('/proc/cpuinfo').read_text().splitlines() if l.startswith('model name')), '')
    lines = [f'# The number of cores', '', f'`python benchmarks/threads.py` on {model}.', '', '| cores | `threads=2` | without |', '|---|---|---|', *(f'| {n} | {a} | {b} |' for n,a,b in rows), '',
             f'{len({a for _,a,_ in rows})} digest with `threads=2`, {len({b for *_,b in rows})} without.', '']
    print('\n'.join(lines))
    if out: Path(out).write_text('\n'.join(lines))

if __name__=='__main__':
    if '--train' in sys.argv: train(int(sys.argv[-1]) or None)
    else: main(sys.argv[sys.argv.index('--out')+1] if '--out' in sys.argv else None)
