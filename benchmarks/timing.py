"""What a training takes, on machines where other work comes and goes: medians of its steps, and of what is around them."""
import statistics,time
from fastai.callback.core import Callback
import torch

class Stamps(Callback):
    "Notes when each training step ends"
    order = 20_000
    def before_fit(self): self.at = []
    def after_batch(self):
        if self.training: self.at.append(time.perf_counter())

def timed(learn, *args, **kwargs):
    "Fit `learn`, which has `Stamps`; seconds of each step but the first, and seconds of all the rest"
    sync = torch.cuda.synchronize if torch.cuda.is_available() else (lambda: None)
    sync()
    start = time.perf_counter()
    learn.fit(*args, **kwargs)
    sync()
    end,at = time.perf_counter(),learn.stamps.at
    return [b-a for a,b in zip(at, at[1:])],end-start-(at[-1]-at[0])

def step(rounds): return statistics.median(o for steps,_ in rounds for o in steps)

def total(rounds):
    "Seconds of a typical fit: of its steps at the median of all, and of the median of the rest"
    return step(rounds)*len(rounds[0][0]) + statistics.median(rest for _,rest in rounds)
