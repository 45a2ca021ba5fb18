"fastai training runs that repeat bit for bit"
__version__ = "0.1.0"

_rooms = dict(streams='stream_seed', seed='set_seed seeded deterministic', digests='digest', digits='digits_path', objects='register_reseed', data='ReproDataBlock repro_dls',
              layers='find_nondeterministic on_cpu replace_nondeterministic', record='load_runs', manifest='RunManifest', callback='ReproCallback', session='reproducible', trace='TraceCallback',
              traces='Divergence compare_traces', holders='register_resume', resume='ResumeCallback', verification='verify assert_reproducible assert_worker_invariant',
              comparison='Comparison', paired='compare', several='Comparisons compare_all')
_room_of = {name:room for room,names in _rooms.items() for name in names.split()}
__all__ = list(_room_of)

def __getattr__(name):
    "A public name is imported when it is first used, so that what needs no torch starts without it"
    if name not in _room_of: raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    import warnings
    from importlib import import_module
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='.torch.jit.script. is deprecated')  # which is fastai's
        res = globals()[name] = getattr(import_module(f'{__name__}.{_room_of[name]}'), name)
    return res

def room_of(name):
    "The module that a public name is defined in"
    return _room_of[name]

def __dir__(): return sorted([*globals(), *__all__])
