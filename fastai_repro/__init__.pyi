"fastai training runs that repeat bit for bit"
# Made by .ci/typed.py
from .streams import stream_seed as stream_seed
from .seed import set_seed as set_seed, seeded as seeded, deterministic as deterministic
from .digests import digest as digest
from .digits import digits_path as digits_path
from .objects import register_reseed as register_reseed
from .data import ReproDataBlock as ReproDataBlock, repro_dls as repro_dls
from .layers import find_nondeterministic as find_nondeterministic, on_cpu as on_cpu, replace_nondeterministic as replace_nondeterministic
from .record import load_runs as load_runs
from .manifest import RunManifest as RunManifest
from .callback import ReproCallback as ReproCallback
from .session import reproducible as reproducible
from .trace import TraceCallback as TraceCallback
from .traces import Divergence as Divergence, compare_traces as compare_traces
from .holders import register_resume as register_resume
from .resume import ResumeCallback as ResumeCallback
from .verification import verify as verify, assert_reproducible as assert_reproducible, assert_worker_invariant as assert_worker_invariant
from .comparison import Comparison as Comparison
from .paired import compare as compare
from .several import Comparisons as Comparisons, compare_all as compare_all

__version__: str
__all__: list[str]
def room_of(name: str) -> str: ...
