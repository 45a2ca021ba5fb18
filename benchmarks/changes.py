"""A battery of single changes: does the diff of two manifests name each of them, and nothing else?

    python benchmarks/changes.py [--only NAMES] [--quick] [--jobs 2] [--keep FOLDER] [--out F.md]

Each case of `changes_cases.py` is a small program in a folder of its own, without git. It is run twice, once as it is and once with one
change from outside: another argument, environment variable, helper module, data or configuration file. A case passes if

| | |
|---|---|
| weights | the two runs end in other weights (otherwise the case shows nothing: `harmless`) |
| named | a field in the groups 'changes' or 'may' matches the case's pattern: the right part, the name, where they are short both values |
| alone | every other field in these groups is one that the case lists as a consequence, or is said to be one that may follow; `end.*` and `results.*` do not count |
| both | where two things were changed, both are among those that change the result |
| status | `fastai-repro-diff` exits with 1 |

What fails is told apart: `EMPTY` is what must never be, an empty diff though the weights differ; `unexplained`, only `end.weights` differs;
`vague`, a field of the right part differs but does not name the change; `misnamed`, only fields of other parts do; `extra`, named, but with
fields that are no consequence. A change that nothing records before the end (the bytes of an image, where nobody asked for `content=True`)
may be `end.weights` alone: the case's pattern says so. In the second table the change must not matter: equal weights, a diff with
fields in the group 'not' alone, exit status 0.

Kinds: `callback` is a program with `ReproCallback(manifest='runs')`; it runs in a fork of a process that has imported fastai, which
saves five seconds a run, as a fresh `__main__` with no module of another case. `script` is the same in a new interpreter, `command` a
program that knows nothing of this package, under `fastai-repro-run --fix --manifest`, also in a new interpreter, `capture` one that calls
`RunManifest.capture` itself. `--quick` leaves out those in new interpreters, which take most of the time.
"""
import argparse,atexit,fnmatch,json,os,platform,re,runpy,shutil,signal,subprocess,sys,tempfile,time,traceback,types,warnings
import importlib.machinery,importlib.metadata as md
from pathlib import Path
warnings.filterwarnings('ignore')
os.environ.setdefault('OMP_NUM_THREADS', '1')
sys.dont_write_bytecode = True # an edited helper of the same second and size would be read from its old bytecode
os.environ['PYTHONDONTWRITEBYTECODE'] = '1'
here = Path(__file__).resolve().parent
LIMIT = 240 # seconds for a run

# --- one run

def become(script, args, folder):
    "In a forked process: the `__main__` of a new interpreter that runs `script`, with no module of the benchmark"
    for name in [n for n in sys.modules if n.startswith('changes')]: del sys.modules[name]
    sys.path[:] = [str(folder), *(o for o in sys.path if o not in ('', str(here)))]
    sys.argv[:] = [str(script), *args]
    main = types.ModuleType('__main__')
    main.__file__,main.__loader__ = os.path.abspath(script),importlib.machinery.SourceFileLoader('__main__', os.path.abspath(script))
    sys.modules['__main__'] = main
    return main

def execute(run):
    main = become(run.script, run.args, run.folder)
    run.patch()
    exec(compile(Path(run.script).read_text(), run.script, 'exec'), main.__dict__)

def forked(f, log, limit=LIMIT):
    "Exit status of `f` in a fork, its output in the file `log`"
    sys.stdout.flush(); sys.stderr.flush()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            signal.alarm(limit)
            with open(log, 'wb') as o: os.dup2(o.fileno(), 1); os.dup2(o.fileno(), 2)
            f()
            status = 0
        except SystemExit as e: status = e.code if isinstance(e.code, int) else int(e.code is not None)
        except BaseException: traceback.print_exc()
        finally:
            try: atexit._run_exitfuncs()
            finally:
                sys.stdout.flush(); sys.stderr.flush()
                os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def command_line(run):
    if run.kind=='script': return [sys.executable, run.script, *run.args]
    return ['fastai-repro-run', '--seed', '1', '--fix', '--manifest', 'runs/m.json', run.script, *run.args]

class Failed(Exception): pass

class Run:
    "A program in a folder and what it is started with; a change may set any of it"
    def __init__(self, case, folder):
        self.home = self.folder = folder
        self.kind,self.script = case.kind,case.script
        self.args,self.env,self.patch = list(case.args),{},lambda: None

    def __call__(self, name):
        "Run the program; gives its weights and the path of its manifest"
        log,out = f'{self.home}.{name}.log',Path(f'{self.home}.{name}.json')
        shutil.rmtree(Path(self.folder)/'runs', ignore_errors=True)
        (Path(self.folder)/'runs').mkdir()
        status = self.in_fork(log) if self.kind in ('callback','capture') else self.in_process(log)
        text = Path(log).read_text(errors='replace')
        weights = re.findall(r'weights (\w+)$', text, re.M)
        files = [o for o in (Path(self.folder)/'runs').rglob('*.json') if is_manifest(o)]
        if status or not weights: raise Failed(f"run {name} ended with status {status}: {text.strip().splitlines()[-1:]}")
        if len(files)!=1: raise Failed(f"run {name} wrote {len(files)} manifests: {text.strip().splitlines()[-3:]}")
        shutil.copy(files[0], out)
        return weights[-1],out

    def in_fork(self, log):
        def f():
            os.environ.update(self.env)
            os.chdir(self.folder)
            execute(self)
        return forked(f, log)

    def in_process(self, log):
        env = {**os.environ, **self.env}
        with open(log, 'wb') as o:
            p = subprocess.run(command_line(self), cwd=self.folder, env=env, timeout=LIMIT, stdin=subprocess.DEVNULL, stdout=o,
                               stderr=subprocess.STDOUT)
        return p.returncode

def is_manifest(path):
    from fastai_repro import RunManifest
    try: return path.is_file() and bool(RunManifest.load(path))
    except ValueError: return False

def diff_status(a, b, log):
    "Exit status of `fastai-repro-diff A B`: the installed command, in a fork"
    def f():
        sys.argv[:] = ['fastai-repro-diff', str(a), str(b)]
        runpy.run_path(shutil.which('fastai-repro-diff'), run_name='__main__')
    return forked(f, log)

# --- a case

def write_files(case, folder):
    folder.mkdir(parents=True)
    for name,o in {**case.files, case.script:case.text}.items():
        path = folder/name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(o, bytes): path.write_bytes(o)
        elif callable(o): o(path)
        else: path.write_text(o)

def examine(case, folder):
    "Run `case` as it is and changed; what the diff says"
    from fastai_repro import RunManifest
    home = folder/'work'
    write_files(case, home)
    run = Run(case, str(home))
    weights_a,a = run('a')
    case.change(run)
    weights_b,b = run('b')
    diff = RunManifest.load(a).diff(RunManifest.load(b))
    status = diff_status(a, b, f'{home}.diff.log')
    changes = [dict(field=o.field, line=f'{o.field}: {shown(o.a)} -> {shown(o.b)}', group=o.group, why=o.why) for o in diff]
    return dict(differ=weights_a!=weights_b, status=status, changes=changes)

def shown(v): return 'not recorded' if v is None else v if isinstance(v, str) else json.dumps(v, ensure_ascii=False)

def case_child(case, folder):
    start = time.time()
    try: res = examine(case, folder)
    except Failed as e: res = dict(failed=str(e))
    except Exception as e: res = dict(failed=f'{type(e).__name__}: {e}', trace=traceback.format_exc())
    res['seconds'] = time.time()-start
    Path(f'{folder}.json').write_text(json.dumps(res))

def run_all(cases, jobs, folder, say):
    "Results by name; `jobs` cases at a time, each in a fork"
    left,busy,res = list(cases),{},{}
    while left or busy:
        while left and len(busy)<jobs:
            case = left.pop(0)
            place = folder/re.sub(r'\W+', '_', case.name)
            sys.stdout.flush()
            pid = os.fork()
            if not pid:
                try: case_child(case, place)
                finally: os._exit(0)
            busy[pid] = case,place
        pid,_ = os.wait()
        case,place = busy.pop(pid)
        out = Path(f'{place}.json')
        res[case.name] = json.loads(out.read_text()) if out.exists() else dict(failed='its process died', seconds=0)
        say(case, res[case.name])
    return res

# --- what it shows

def weighty(o): return [c for c in o['changes'] if c['group'] in ('changes','may')]
def is_consequence(c): return c['why'].startswith('may follow from')
def is_result(c): return c['field'].startswith(('end.','results.'))

class Verdict:
    "What is wrong with the outcome of a case, and what was named"
    def __init__(self, case, o):
        self.case,self.failed,self.word = case,o.get('failed'),'FAIL'
        self.named,self.extra,self.missing = [],[],[]
        if self.failed: return
        cs = weighty(o)
        self.named = [c for c in cs if case.names and re.search(case.names, c['line'], re.S)]
        others = [c for c in cs if c not in self.named and not is_result(c) and not is_consequence(c)]
        self.extra = [c for c in others if not (case.also and re.match(case.also, c['field']))]
        self.missing = [o for o in case.each if not any(c['group']=='changes' and c['field']==o for c in cs)]
        self.results = [c for c in cs if is_result(c)]
        self.word = self.judge(o) if case.names else self.judge_equal(o)

    @property
    def passed(self): return self.word=='pass'

    def judge(self, o):
        if not o['differ'] and not self.case.maybe: return 'harmless'
        if not weighty(o): return 'EMPTY' if o['differ'] else 'unnamed'
        if not self.named: return self.unnamed(o)
        if self.missing: return 'missing'
        if self.extra: return 'extra'
        return 'pass' if o['status']==1 else 'status'

    def unnamed(self, o):
        rest = [c for c in weighty(o) if not is_result(c)]
        if not rest: return 'unexplained'
        return 'vague' if any(c not in self.extra or self.in_part(c) for c in rest) else 'misnamed'

    def in_part(self, c):
        "Is the field in the part where the change should be?"
        part = self.case.names.partition('.*')[0]
        return part.count('(')==part.count(')') and bool(re.match(part.removesuffix(r'\.'), c['field']))

    def judge_equal(self, o):
        if o['differ']: return 'weights'
        if weighty(o): return 'extra'
        return 'pass' if o['status']==0 else 'status'

words = {'pass':'', 'EMPTY':"an empty diff, though the weights differ", 'unexplained':"only the weights at the end differ",
         'vague':"a field of the right part differs, but does not name it", 'misnamed':"not named, but something else is",
         'extra':"fields that are no consequence", 'missing':"one of two changes is not named", 'status':"wrong exit status of `fastai-repro-diff`", 'weights':"the weights differ",
         'harmless':"weights are equal: the case shows nothing", 'unnamed':"an empty diff", 'FAIL':"a run failed"}

def cut(text, n=100):
    text = re.sub(r'\s+', ' ', str(text)).replace('|', '/')
    return text if len(text)<=n else text[:n-3]+'...'

def differing(line):
    "A line of a diff whose two values are long, from where they differ"
    name,_,values = line.partition(': ')
    a,arrow,b = values.partition(' -> ')
    if max(len(a), len(b))<45 or not arrow: return line
    start = max(0, len(os.path.commonprefix([a,b]))-20)
    return f"{name}: " + ' -> '.join('...'*(start>0) + cut(o[start:], 40) for o in (a,b))

def said(case, o, v):
    "The named field, else what the diff says instead"
    if v.failed: return cut(v.failed, 200)
    parts = [f"`{cut(differing(c['line']))}`" for c in v.named[:2]]
    if case.maybe and not o['differ']: parts.append('the weights are equal on this machine')
    more = f" and {len(v.extra)-3} more" if len(v.extra)>3 else ''
    if v.extra: parts.append('extra: ' + ', '.join(f"`{cut(differing(c['line']))}`" for c in v.extra[:3]) + more)
    if v.word in ('pass','extra','misnamed'): return '; '.join(parts) or 'nothing that matters'
    return '; '.join([words[v.word], *parts]) + (f" {o['status']}" if v.word=='status' else '')

def table(title, rows):
    good = sum(v.passed for _,_,v in rows)
    lines = [f"| {c.name} | {c.group} | {c.kind} | {said(c, o, v)} | {v.word} |" for c,o,v in rows]
    head = [f'## {title}: {good} of {len(rows)} pass', '', '| change | part | kind | what the diff says | |', '|---|---|---|---|---|']
    return '\n'.join([*head, *lines])

def counts(rows):
    words_ = [v.word for _,_,v in rows]
    return ', '.join(f'{words_.count(w)} {w}' for w in words if w in words_)

def environment():
    versions = ', '.join(f'{o} {md.version(o)}' for o in ('torch','fastai','numpy','pandas'))
    return f"python {platform.python_version()}, {versions}"

def chosen(cases, only):
    "The cases that match one of the names or patterns in `only`; all if it is empty"
    if not only: return cases
    res = [c for c in cases if any(fnmatch.fnmatch(c.name, o.strip()) or c.group==o.strip() for o in only.split(','))]
    if not res: raise SystemExit(f"no case matches {only!r}. There are: {', '.join(c.name for c in cases)}")
    return res

def teller(n):
    began,done = time.time(),[]
    def say(case, o):
        done.append(case)
        v = Verdict(case, o)
        line = f"{time.time()-began:5.0f} s  {len(done):3} of {n}  {o['seconds']:4.1f} s  {v.word:<12} {case.name}"
        print(line, file=sys.stderr, flush=True)
    return say

def warm():
    "Import what the programs import, once for all forks"
    import fastai.vision.all,fastai.tabular.all,fastai.text.all,fastai.collab,fastai_repro,fastai_repro.manifest,fastai_repro.callback,yaml
    import matplotlib
    matplotlib.use('agg')

def details(rows):
    "For a few chosen cases: all fields of the diff"
    for c,o,v in rows:
        print(f'\n--- {c.name}: {v.word}', file=sys.stderr)
        print(o.get('trace') or v.failed or '\n'.join(f"{x['group']:8}{cut(x['line'], 240)}" for x in o['changes']), file=sys.stderr)

def parsed():
    "The arguments; not with `call_parse`, which knows only the first command of a process, and the forks run `fastai-repro-diff`"
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--only', default='', help="cases to run: names, patterns or parts, with commas; default: all")
    p.add_argument('--quick', action='store_true', help="leave out the cases that need new interpreters")
    p.add_argument('--jobs', type=int, default=2, help="how many cases to run at a time")
    p.add_argument('--keep', default='', help="a new folder to keep programs, logs and manifests in")
    p.add_argument('--out', default='', help="write the tables to this file; default for all cases: benchmarks/results/changes.md")
    return p.parse_args()

def main(only, quick, jobs, keep, out):
    "Print the tables, and exit with status 1 if a case fails"
    start = time.time()
    sys.path.insert(0, str(here))
    from changes_cases import cases
    todo = [c for c in chosen(cases, only) if not quick or not c.starts_new]
    warm()
    folder = Path(keep or tempfile.mkdtemp()).resolve() # not a `TemporaryDirectory`: every fork would delete it when it ends
    folder.mkdir(exist_ok=True, parents=True)
    if any(folder.iterdir()): raise SystemExit(f"`--keep` is {keep!r}, where something is already: pass a new folder")
    try: results = run_all(todo, jobs, folder, teller(len(todo)))
    finally:
        if not keep: shutil.rmtree(folder, ignore_errors=True)
    rows = [(c, results[c.name], Verdict(c, results[c.name])) for c in todo]
    single,equal = [o for o in rows if o[0].names],[o for o in rows if not o[0].names]
    tables = [table(*o) for o in (('Single changes', single), ('What must not matter', equal)) if o[1]]
    end = f"{counts(rows)}. {environment()}; {time.time()-start:.0f} s"
    text = '\n\n'.join(['# Single changes, and what the diff of two manifests says', *tables, end])
    print(text)
    if only: details(rows)
    if not out and not only and not quick: out = str(here/'results'/'changes.md')
    if out: Path(out).write_text(text + '\n')
    if not all(v.passed for *_,v in rows): sys.exit(1)

if __name__=='__main__':
    if 'PYTHONHASHSEED' not in os.environ: os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, 'PYTHONHASHSEED':'0'})
    main(**vars(parsed()))
