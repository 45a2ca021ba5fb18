"""What a training takes, on machines where other work comes and goes."""
import statistics,time
from collections import namedtuple
from fastai.callback.core import Callback
import numpy as np
import torch

Fit = namedtuple('Fit', 'steps rest parts') # seconds of each training step but the first, of all the rest, and of each part between two events

class Stamps(Callback):
    "Notes when each training step ends, and each part of it"
    order = 20_000
    def before_fit(self): self.at,self.parts = [],[]
    def _note(self): self.parts.append(time.perf_counter())
    after_pred = after_loss = after_backward = after_step = after_epoch = _note
    def after_batch(self):
        self._note()
        if self.training: self.at.append(self.parts[-1])

def timed(learn, *args, **kwargs):
    "Fit `learn`, which has `Stamps`"
    sync = torch.cuda.synchronize if torch.cuda.is_available() else (lambda: None)
    sync()
    start = time.perf_counter()
    learn.fit(*args, **kwargs)
    sync()
    end,at = time.perf_counter(),learn.stamps.at
    return Fit([b-a for a,b in zip(at, at[1:])], end-start-(at[-1]-at[0]), np.diff([start, *learn.stamps.parts, end]))

def step(rounds): return statistics.median(o for r in rounds for o in r.steps)

def total(rounds):
    """Seconds of a typical fit.
    On a GPU: of its steps at the median of all, and of the median of the rest. On a CPU each part of a step is taken at its
    fastest tenth over all rounds, since other work on the processor only ever adds to it (as `timeit` takes the fastest repetition)."""
    if torch.cuda.is_available(): return step(rounds)*len(rounds[0].steps) + statistics.median(r.rest for r in rounds)
    return np.quantile([r.parts for r in rounds], 0.1, axis=0).sum()
