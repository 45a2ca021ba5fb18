"""A battery of hiding places of random generators: is each found, or said aloud?

    python benchmarks/hiding.py [--only NAMES] [--groups 1,2] [--plain] [--jobs 2] [--real-spawn] [--out F.md]

Each case of `hiding_cases.py` is a small training. It is run without workers, again on the same loaders, with 1 and 2 forked workers,
with 2 that start fresh and unpickle what they get, in another process under another hash seed, as a second `fine_tune`, and without the
rehearsal; the bits of all weights, losses, metrics and batches are compared with those of the first run.

| group | a case passes if |
|---|---|
| 1, 2: hiding places | all bits are the same, or the first fit gives a warning that names the transform, dataset, layer or whatever draws |
| 3: what no walk can find | the first fit, without workers and with 2, gives one warning only, which names it; or the bits are the same |
| 4: no false alarm | all bits are the same, without a word |
| 5: what even a rehearsal may not see | shown, not counted |

Workers that start fresh come from a fork server that has imported the cases already, which takes a tenth of the time of a spawn and shows
the same: nothing reaches them but what is pickled. `--real-spawn` spawns them. `--plain` is the control: fastai alone, seeded with
`set_seed` before the loaders and before the training, and exit status 0.
"""
import contextlib,inspect,json,multiprocessing,os,re,signal,subprocess,sys,tempfile,time,traceback,warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
if __name__!='__main__': warnings.filterwarnings('ignore') # a worker that starts fresh reads this file too
from fastcore.script import call_parse,store_true
here = Path(__file__).resolve().parent

# --- one run

def watcher():
    "A callback that keeps the bits of every batch that reaches the model"
    from fastai.callback.core import Callback
    class Watch(Callback):
        order = 90
        def __init__(self): self.bits = []
        def before_batch(self): self.bits.append(bits_of([*self.xb,*self.yb]))
    return Watch()

def bits_of(o):
    "A digest of a list, also where it holds objects of the user's"
    import torch
    from fastai_repro import digest
    return digest([x if isinstance(x, torch.Tensor) else getattr(x, '__dict__', x) for x in o])

def package_folder():
    import fastai_repro
    return str(Path(fastai_repro.__file__).resolve().parent)

@contextlib.contextmanager
def caught():
    "The texts of the warnings that the package gives"
    texts,folder = [],package_folder()
    with warnings.catch_warnings(record=True) as ws:
        warnings.simplefilter('always')
        try: yield texts
        finally: texts += [str(w.message) for w in ws if w.category is not ResourceWarning and str(Path(w.filename).resolve()).startswith(folder)]

class Run:
    "Bits and warnings of a training; `late` are the warnings after its first fit"
    def __init__(self, learn, watch, texts, late=()):
        rec = learn.recorder
        self.texts,self.late = texts,late
        self.bits = dict(weights=bits_of(learn.model.state_dict().values()), losses=bits_of([rec.losses, rec.values]),
                         batches=bits_of(watch.bits))

def learner(parts, dls, plain, **kw):
    "A learner with its model made from the seed of the run"
    from fastai.torch_core import set_seed
    from fastai_repro import ReproCallback,seeded
    watch = watcher()
    if plain: set_seed(42, reproducible=True)
    with contextlib.nullcontext() if plain else seeded(42, 'init'):
        learn = parts.learner(dls, [watch] if plain else [ReproCallback(42, **kw), watch])
    learn.path = Path(tempfile.gettempdir())
    return learn,watch

def loaders(parts, num_workers, method, plain, valid):
    "The loaders of a case; the validation has workers too if `valid`"
    from fastai.torch_core import set_seed
    if plain: set_seed(42, reproducible=True)
    dls = parts.loaders(num_workers, method)
    for dl in dls.loaders[1:]:
        if num_workers and not valid: without_workers(dl)
    return dls

def without_workers(dl):
    if hasattr(dl, 'fake_l'): dl.fake_l.num_workers = 0
    else:
        dl.multiprocessing_context = dl.prefetch_factor = None
        dl.num_workers = 0

@contextlib.contextmanager
def starting(method):
    "Workers start by `method`, also those of fastai's loaders, which take no argument for that"
    if method: multiprocessing.set_start_method(method, force=True)
    try: yield
    finally:
        if method: multiprocessing.set_start_method('fork', force=True)

def train(case, num_workers=0, method=None, dls=None, parts=None, plain=False, fits=1, **kw):
    "Train for two epochs, or `fits` times for one; gives the run and its loaders"
    parts = parts or case.make()
    with starting(method):
        dls = dls or loaders(parts, num_workers, method, plain, case.group in (3,4))
        with caught() as first:
            learn,watch = learner(parts, dls, plain, **kw)
            learn.fit(3-fits)
        with caught() as late:
            for _ in range(fits-1): learn.fit(3-fits)
    return Run(learn, watch, first+late, late),dls

def tuned(case):
    "Two times `fine_tune` on one learner that starts from the same weights"
    parts = case.make()
    with caught() as texts:
        learn,watch = learner(parts, loaders(parts, 0, None, False, False), False, restore=True)
        res = []
        for _ in range(2):
            watch.bits.clear()
            learn.fine_tune(1)
            res.append(Run(learn, watch, texts))
    return res

# --- the runs of a case

def has_check():
    from fastai_repro import ReproCallback
    return 'check' in inspect.signature(ReproCallback).parameters

def differs(a, b): return [k for k in a.bits if a.bits[k]!=b.bits[k]]

def short(e): return re.sub(r'\s+', ' ', f'{type(e).__name__}: {e}')[:160]

class Outcome:
    "What the runs of a case showed, against the first of them"
    def __init__(self, case, first):
        self.case,self.first,self.moved,self.errors,self.notes = case,first,{},{},[]
        self.warned = {'0 workers':first.texts}

    def add(self, name, f):
        "Run `f`, which gives a run or a pair of runs to compare"
        try: res = f()
        except TimeoutError: raise
        except Exception as e:
            self.errors[name] = short(e)
            return
        a,b = res if isinstance(res, list) else (self.first,res)
        self.warned[name] = b.texts
        if differs(a, b): self.moved[name] = differs(a, b)

    def as_dict(self):
        kept = {k:getattr(self, k) for k in ('moved','errors','notes','warned')}
        return dict(kept, name=self.case.name, bits=self.first.bits)

def add_fresh(out, case, method, plain):
    "The run with fresh workers counts where fastai and torch alone can do it"
    try: res = train(case, 2, method, plain=plain)[0]
    except TimeoutError: raise
    except Exception as e:
        try:
            if not plain: train(case, 2, method, plain=True)
            else: raise
        except TimeoutError: raise
        except Exception: return out.notes.append('no fresh workers, by torch alone neither')
        out.errors['fresh workers'] = short(e)
    else: out.add('fresh workers', lambda: res)

def examine(case, method, plain):
    "All runs of `case`"
    parts = case.make()
    first,dls = train(case, parts=parts, plain=plain)
    out = Outcome(case, first)
    out.add('again', lambda: train(case, dls=dls, parts=parts, plain=plain)[0])
    if case.group!=4: out.add('1 worker', lambda: train(case, 1, plain=plain)[0])
    out.add('2 workers', lambda: train(case, 2, plain=plain)[0])
    if case.group!=4: add_fresh(out, case, method, plain)
    if not plain:
        out.add('second fine_tune', lambda: tuned(case))
        if has_check(): out.add('check=False', lambda: train(case, check=False)[0])
    return out.as_dict()

def rehearse(case, method):
    "Two fits of one run: only the first may warn. If neither says a word, all runs"
    out = None
    for n in (0,2):
        run = train(case, n, fits=2)[0]
        if out is None: out = Outcome(case, run)
        out.warned[f'{n} workers'] = run.texts
        if run.late: out.warned[f'{n} workers, second fit'] = run.late
    return out.as_dict() if any(out.warned.values()) else examine(case, method, False)

# --- many cases in a process

def stop(*_): raise TimeoutError("took more than 60 s")

@contextlib.contextmanager
def quietly(log):
    "Both outputs go to the file `log`; gives the place where results are written"
    out = os.fdopen(os.dup(1), 'w')
    for fd in (1,2): os.dup2(log.fileno(), fd)
    yield out

def printed(log, start):
    "Warnings of the package that workers printed: the main process's are caught"
    log.seek(start)
    return [o for o in log.read().decode(errors='replace').splitlines() if 'Warning:' in o and package_folder() in o]

def one(case, task, method, plain):
    "The result of a case; `task` is `all`, or `first` for its first run only"
    signal.alarm(60)
    try:
        if task=='first': return dict(name=case.name, bits=train(case)[0].bits)
        return rehearse(case, method) if case.group==3 and not plain else examine(case, method, plain)
    except Exception as e: return dict(name=case.name, failed=short(e), trace=traceback.format_exc())
    finally: signal.alarm(0)

def work(names, task, method, plain):
    "Run the cases `names` and print a line of JSON for each"
    import torch
    signal.signal(signal.SIGALRM, stop)
    multiprocessing.set_start_method('fork', force=True)
    if method=='forkserver': multiprocessing.set_forkserver_preload(['hiding_cases','fastai_repro'])
    with tempfile.TemporaryFile('a+b') as log, quietly(log) as out:
        from hiding_cases import cases
        import matplotlib
        matplotlib.use('agg')
        torch.set_num_threads(2)
        for name in names:
            start,began = log.seek(0, 2),time.time()
            res = one(cases[name], task, method, plain)
            res.update(seconds=time.time()-began, printed=printed(log, start))
            log.seek(0, 2)
            print(json.dumps(res), file=out, flush=True)

def in_processes(names, jobs, *args):
    "Results of the cases by name, from `jobs` processes"
    shares = [names[i::jobs] for i in range(min(jobs, len(names)))]
    with ThreadPoolExecutor(jobs) as pool: done = list(pool.map(lambda o: in_process(o, *args), shares))
    return {k:v for o in done for k,v in o.items()}

def in_process(names, task, method, plain, hashseed, say):
    "Results of the cases by name; a process that dies takes only one case with it"
    res,left = {},list(names)
    while left:
        flags = [*(['--plain'] if plain else []), *(['--real-spawn'] if method=='spawn' else [])]
        cmd = [sys.executable, __file__, '--child', task, '--only', ','.join(left), *flags]
        env = {**os.environ, 'PYTHONHASHSEED':str(hashseed), 'PYTHONPATH':os.pathsep.join([str(here), os.environ.get('PYTHONPATH','')])}
        with subprocess.Popen(cmd, stdout=subprocess.PIPE, text=True, env=env) as p:
            for line in p.stdout:
                if not line.startswith('{'): continue
                o = json.loads(line)
                res[o['name']] = o
                left.remove(o['name'])
                say(o)
        if left and p.returncode: res[left[0]] = dict(name=left.pop(0), failed=f'the process died with status {p.returncode}', trace='')
        elif left: raise RuntimeError(f"no results for {left}")
    return res

# --- what it shows

def names_it(case, text): return any(re.search(rf'(?<!\w){re.escape(o)}(?!\w)', text) for o in case.names)

def judge_hidden(case, o, moved):
    "All bits the same, or the first fit warned, without workers and with two, or every run that moved did"
    def said(runs): return all(any(names_it(case, t) for t in o['warned'].get(k, [])) for k in runs)
    return not o['errors'] and (not moved or said(['0 workers','2 workers']) or said(moved))

def judge_rehearsed(case, o, moved):
    said = [o['warned'].get(k, []) for k in ('0 workers','2 workers')]
    if not any(said): return not moved and not o['errors']
    late = any('second fit' in k for k in o['warned'])
    return all(len(t)==1 and names_it(case, t[0]) for t in said) and not late and not o['printed']

def judge_silent(case, o, moved): return not moved and not o['errors'] and not any(o['warned'].values()) and not o['printed']

judges = {1:judge_hidden, 2:judge_hidden, 3:judge_rehearsed, 4:judge_silent, 5:lambda *_: None}

def cut(text, n=110):
    text = re.sub(r' at 0x[0-9a-f]+', '', re.sub(r'\s+', ' ', text)).replace('|', '/')
    return text if len(text)<=n else text[:n]+'...'

def what_moved(o, moved): return f"differs: {', '.join(moved)}" if moved else 'same bits'

def failures(o): return [f'{k} fails: {cut(v)}' for k,v in o['errors'].items()]

def what_warned(case, o):
    "What the first fit said, and where another one said more or less"
    first = o['warned']['0 workers']
    unlike = [k for k,t in o['warned'].items() if bool(t)!=bool(first) and k!='check=False']
    if first:
        times = '' if len(first)==1 else f' {len(first)} times'
        unnamed = '' if any(names_it(case, t) for t in first) else ', but does not name it'
        yield f'warns{times}{unnamed}: "{cut(first[0])}"'
        if unlike: yield f"no warning: {', '.join(unlike)}"
    elif unlike: yield f"warns only: {', '.join(unlike)} (\"{cut(o['warned'][unlike[0]][0])}\")"
    if any('second fit' in k for k in o['warned']): yield 'warns in the second fit too'
    if o['printed']: yield f"a worker prints: {cut(o['printed'][0])}"

def compared(case, o): return case.group!=3 or 'again' in o['warned']

def describe(case, o, moved):
    "The outcome in words"
    return '; '.join([*([what_moved(o, moved)] if compared(case, o) else []), *failures(o), *what_warned(case, o), *o['notes']])

def verdict(case, o, second):
    "Outcome and pass of a case, from its result and its bits in another process"
    if 'failed' in o: return f"fails: {cut(o['failed'], 200)}", None if case.group==5 else False
    moved = dict(o['moved'])
    if second and 'failed' not in second and second['bits']!=o['bits'] and compared(case, o): moved['another process'] = []
    return describe(case, o, moved), judges[case.group](case, o, moved)

def plain_verdict(case, o, second):
    if 'failed' in o: return f"fails: {cut(o['failed'], 200)}", None
    return '; '.join([what_moved(o, o['moved']), *failures(o)]), not o['moved']

titles = {1:'Hiding places that the first version missed', 2:'More hiding places', 3:'What no walk can find', 4:'No false alarm',
          5:'What even a rehearsal may not see (not counted)'}

def word(passed, plain): return '' if passed is None else ('same' if passed else 'differs') if plain else ('pass' if passed else 'FAIL')

def group_table(g, rows, plain):
    rows = [o for o in rows if o[0].group==g]
    good = sum(bool(o[2]) for o in rows)
    head = f"## {g}. {titles[g]}" + ('' if g==5 and not plain else f": {good} of {len(rows)} {'the same' if plain else 'pass'}")
    columns = f"| case | {'what' if g==4 else 'where it hides'} | outcome | |"
    lines = [f"| `{c.name}` | {c.where} | {outcome} | {word(passed, plain)} |" for c,outcome,passed in rows]
    return '\n'.join([head, '', columns, '|---|---|---|---|', *lines])

def environment():
    import importlib.metadata as md,platform
    versions = ', '.join(f'{o} {md.version(o)}' for o in ('torch','torchvision','albumentations','fastai','numpy'))
    return f"python {platform.python_version()}, {versions}"

def chosen(cases, only, groups):
    "The names of the cases to run"
    unknown = [o for o in only.split(',') if o and o not in cases]
    if unknown: raise SystemExit(f"no case has the name {', '.join(unknown)}. There are: {', '.join(cases)}")
    wanted = [int(o) for o in groups.split(',')]
    return [o for o in cases if (o in only.split(',') if only else cases[o].group in wanted)]

def teller(n):
    "Says on standard error how far it is"
    began,done = time.time(),[]
    def say(o):
        done.append(o)
        print(f"\r{time.time()-began:5.0f} s  {len(done)} of {n}  {o['name']:<40}", end='', file=sys.stderr, flush=True)
    return say

@call_parse
def main(
    only:str='', # Cases to run, with commas; default: all
    groups:str='1,2,3,4,5', # Groups to run
    plain:store_true=False, # The control: fastai alone, seeded with `set_seed`
    jobs:int=1, # How many cases to run at a time
    real_spawn:store_true=False, # Spawn workers instead of forking them from a server; takes ten times as long
    out:str='', # Write the tables to this file; default for all cases: benchmarks/results/hiding.md, with --plain hiding_plain.md
    child:str='', # (internal) run the cases named by `only` in this process: all runs, or the first
):
    "Print the tables, and exit with status 1 if a case fails"
    method = 'spawn' if real_spawn else 'forkserver'
    if child: return work(only.split(','), child, method, plain)
    warnings.filterwarnings('ignore')
    sys.path.insert(0, str(here))
    from hiding_cases import cases
    start,names = time.time(),chosen(cases, only, groups)
    results = in_processes(names, jobs, 'all', method, plain, 0, teller(len(names)))
    others = {} if plain else in_processes(names, jobs, 'first', method, plain, 1, teller(len(names)))
    rows = [(cases[o], *(plain_verdict if plain else verdict)(cases[o], results[o], others.get(o))) for o in names]
    tables = [group_table(g, rows, plain) for g in titles if any(o[0].group==g for o in rows)]
    title = '# Hiding places of random generators' + (', with fastai alone, seeded with `set_seed`' if plain else '')
    text = '\n\n'.join([title, *tables, f"{environment()}; {time.time()-start:.0f} s"])
    print(file=sys.stderr)
    print(text)
    for o in names:
        if only and 'trace' in results[o]: print(results[o]['trace'], file=sys.stderr)
    if not out and not only and groups=='1,2,3,4,5': out = str(here/'results'/f"hiding{'_plain' if plain else ''}.md")
    if out: Path(out).write_text(text + '\n')
    if not plain and any(passed is False for _,_,passed in rows): sys.exit(1)
