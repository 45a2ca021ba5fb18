"""What manifests cost: a capture with 100,000 items, and a training with and without.

    python benchmarks/manifest.py                 prints a table, on the CPU or on a GPU if there is one
    python benchmarks/manifest.py --rounds 3 --epochs 8

Trainings with and without take turns; "without / without" is the noise.
"""
import argparse,statistics,tempfile,time,warnings
warnings.filterwarnings('ignore')
from fastai.vision.all import *
from fastai_repro import *

def big(n=100_000):
    "A learner with `n` items"
    files,labels = [Path(f'/data/{i%10}/{i:06}.png') for i in range(n)],{f'{i:06}.png':str(i%10) for i in range(n)}
    im = PILImage.create(get_image_files(digits_path())[0])
    dsets = Datasets(files, [[lambda o: im], [lambda o: labels[o.name], Categorize(vocab=list('0123456789'))]], splits=RandomSplitter(seed=0)(files))
    dls = dsets.dataloaders(bs=64, after_item=[ToTensor()], num_workers=0)
    return vision_learner(dls, resnet18, pretrained=False, n_out=10, loss_func=CrossEntropyLossFlat(), cbs=ReproCallback(42))

def train(folder, size, epochs):
    "Seconds of a training"
    block = ReproDataBlock((ImageBlock, CategoryBlock), get_items=get_image_files, get_y=parent_label, splitter=RandomSplitter(0.2),
                           item_tfms=Resize(size), batch_tfms=aug_transforms(size=size))
    dls = block.dataloaders(digits_path(), bs=64, num_workers=0)
    with seeded(42, 'init'): learn = vision_learner(dls, resnet18, pretrained=False, metrics=accuracy, cbs=ReproCallback(manifest=folder))
    with learn.no_bar(), learn.no_logging():
        start = time.perf_counter()
        learn.fit(epochs)
        if torch.cuda.is_available(): torch.cuda.synchronize()
        return time.perf_counter() - start, digest(learn.model)

if __name__ == '__main__':
    p = argparse.ArgumentParser()
    for name,default in (('rounds',5), ('epochs',1), ('size',32)): p.add_argument(f'--{name}', type=int, default=default)
    args = p.parse_args()
    learn,times = big(),[]
    for _ in range(6):
        start = time.perf_counter()
        RunManifest.capture(learn)
        times.append(time.perf_counter() - start)
    print(f'capture with 100,000 items: the first {times[0]:.2f} s, then {statistics.median(times[1:]):.2f} s (median of {len(times)-1})')
    with tempfile.TemporaryDirectory() as folder:
        train(folder, args.size, 1)  # warm up
        rounds = []
        for i in range(args.rounds):
            turn = ['with', 'without', 'again'] if i%2 else ['without', 'with', 'again']
            rounds.append({o: train(folder if o=='with' else None, args.size, args.epochs) for o in turn})
    seconds = {o: [r[o][0] for r in rounds] for o in rounds[0]}
    median = lambda a,b: statistics.median(x/y for x,y in zip(seconds[a], seconds[b]))
    print(f"a training: {statistics.median(seconds['without']):.1f} s without, with / without {median('with','without'):.3f}, without / without {median('again','without'):.3f}")
    print(f"more seconds with a manifest: {statistics.median(x-y for x,y in zip(seconds['with'], seconds['without'])):.2f}; results {len({o[1] for r in rounds for o in r.values()})}")
