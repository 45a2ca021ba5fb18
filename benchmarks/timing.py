"""What a training takes, on machines where other work comes and goes."""
import statistics,time
from collections import namedtuple
from fastai.callback.core import Callback
import numpy as np
import torch

Fit = namedtuple('Fit', 'steps parts') # seconds of each training step but the first, and of each part of the whole fit

def _sync():
    if torch.cuda.is_available(): torch.cuda.synchronize()

class Stamps(Callback):
    "Notes when each part of a fit ends: on a CPU with each event, on a GPU with each step, for which it waits (as fastai's `Recorder` does)"
    order = 20_000
    def before_fit(self): self.at,self.parts = [],[]
    def _note(self): self.parts.append(time.perf_counter())
    def _note_on_cpu(self):
        if not torch.cuda.is_available(): self._note()
    after_pred = after_loss = after_backward = after_step = after_epoch = _note_on_cpu
    def after_batch(self):
        _sync()
        self._note()
        if self.training: self.at.append(self.parts[-1])

def timed(learn, *args, **kwargs):
    "Fit `learn`, which has `Stamps`"
    _sync()
    start = time.perf_counter()
    learn.fit(*args, **kwargs)
    _sync()
    return Fit(list(np.diff(learn.stamps.at)), np.diff([start, *learn.stamps.parts, time.perf_counter()]))

def step(rounds): return statistics.median(o for r in rounds for o in r.steps)

def total(rounds):
    "Seconds of a fit, each part at its fastest over all rounds: other work on the machine only ever adds to it (`timeit` takes the fastest too)"
    return np.min([r.parts for r in rounds], axis=0).sum()
