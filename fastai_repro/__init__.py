"fastai training runs that repeat bit for bit"
__version__ = "0.0.1"

import warnings
with warnings.catch_warnings():
    warnings.filterwarnings('ignore', message='.torch.jit.script. is deprecated')  # which is fastai's
    from fastai_repro.streams import stream_seed
    from fastai_repro.seed import set_seed,seeded,deterministic
    from fastai_repro.digest import digest
    from fastai_repro.digits import digits_path
    from fastai_repro.objects import register_reseed
    from fastai_repro.data import ReproDataBlock,repro_dls
    from fastai_repro.layers import find_nondeterministic,on_cpu,replace_nondeterministic
    from fastai_repro.manifest import RunManifest
    from fastai_repro.callback import ReproCallback
    from fastai_repro.trace import TraceCallback
    from fastai_repro.traces import Divergence,compare_traces
    from fastai_repro.state import register_resume
    from fastai_repro.resume import ResumeCallback
    from fastai_repro.verification import verify,assert_reproducible,assert_worker_invariant
    from fastai_repro.comparison import Comparison
    from fastai_repro.paired import compare
    from fastai_repro.several import Comparisons,compare_all
del warnings

__all__ = ['stream_seed', 'set_seed', 'seeded', 'deterministic', 'digest', 'digits_path', 'register_reseed', 'ReproDataBlock', 'repro_dls', 'find_nondeterministic', 'on_cpu', 'replace_nondeterministic',
           'RunManifest', 'ReproCallback', 'TraceCallback', 'Divergence', 'compare_traces', 'ResumeCallback', 'register_resume',
           'verify', 'assert_reproducible', 'assert_worker_invariant', 'Comparison', 'compare', 'Comparisons', 'compare_all']
