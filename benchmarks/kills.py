"""Kill trainings at random moments, start them again until they are done, and compare with trainings that nobody killed.

    python benchmarks/kills.py [--kills 160] [--only NAMES] [--device cuda] [--jobs 2] [--fresh] [--out benchmarks/results/kills.md]

Each training of `kills_cases.py` is a process of its own, killed with SIGKILL: at a random time, or while a checkpoint is being written.
Compared are digests of all weights, losses, metrics and learning rates, and the table that fastai prints, without its column of times: the
process that comes to the end must have printed all of it. A training that is refused counts as wrong.

Two controls. fastai's `SaveModelCallback` with `start_epoch` must come out otherwise. So must each training with a state that is easily
missed, if it is killed once, at a fixed step, and goes on from weights, buffers and optimizer alone (`without_state`): this shows that its
result depends on that state.

Processes are forked from two servers that have imported everything, each with a hash seed of its own; their generators start anywhere.
With `--fresh`, and always on a GPU, each is a new interpreter, which takes five to ten times as long.
"""
import json,os,random,re,signal,subprocess,sys,tempfile,threading,time,traceback,warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
warnings.filterwarnings('ignore')
from fastcore.script import call_parse,store_true

# --- processes

def forked(kw, out, err):
    "Fork a training; its number. What it prints goes to the files `out` and `err`"
    import kills_cases,numpy as np,torch
    pid = os.fork()
    if pid: return pid
    os.setsid()
    for f,fd in ((os.devnull,0), (out,1), (err,2)): os.dup2(os.open(f, os.O_RDWR | os.O_CREAT | os.O_TRUNC), fd)
    random.seed(), np.random.seed(), torch.seed()  # a new process begins anywhere
    rc = 1
    try:
        kills_cases.train(**kw)
        rc = 0
    except BaseException: traceback.print_exc()
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(rc)

def status(pid):
    "How a process ended; None while it runs"
    ended,res = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(res) if ended else None

def serve():
    "Fork trainings and tell how they ended, a request a line"
    for line in sys.stdin:
        what,*args = json.loads(line)
        print(json.dumps({'fork':forked, 'status':status}[what](*args)), flush=True)

class Server:
    "A process that has imported everything"
    def __init__(self):
        env = {k:v for k,v in os.environ.items() if k!='PYTHONHASHSEED'}
        self.p = subprocess.Popen([sys.executable, __file__, '--serve'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        self.lock = threading.Lock()
    def __call__(self, *request):
        with self.lock:
            print(json.dumps(request), file=self.p.stdin, flush=True)
            return json.loads(self.p.stdout.readline())
    def close(self): self.p.stdin.close(), self.p.wait()

class Failed(Exception): pass

class Process:
    "A training that a server forks, or without one a new interpreter"
    def __init__(self, server, folder, name, **kw):
        self.server,self.rc,self.out,self.err = server,None,folder.with_suffix('.out'),folder.with_suffix('.err')
        kw = dict(name=name, folder=str(folder), **kw)
        self.pid = server('fork', kw, str(self.out), str(self.err)) if server else self.start(kw)
    def start(self, kw):
        cmd = [sys.executable, __file__, '--child', json.dumps(kw)]
        with open(self.out, 'w') as out, open(self.err, 'w') as err:
            self.p = subprocess.Popen(cmd, stdout=out, stderr=err, start_new_session=True)
        return self.p.pid
    def poll(self):
        if self.rc is None: self.rc = self.server('status', self.pid) if self.server else self.p.poll()
        return self.rc
    def wait(self):
        while self.poll() is None: time.sleep(0.01)
        return self.rc
    def kill(self):
        "Kill it and its workers; was it still there?"
        os.killpg(self.pid, signal.SIGKILL)
        return self.wait()==-signal.SIGKILL
    def result(self):
        "Digests, seconds and table of a training that came to its end"
        if self.wait(): raise Failed(last_error(self.err.read_text()) or f'ended with {self.rc}')
        text = self.out.read_text()
        return dict(json.loads(text.splitlines()[-1]), table=table(text), was_over='this training is over' in text)

def last_error(text):
    "The last error of a traceback, in one line"
    at = [o.start() for o in re.finditer(r'^\w[\w.]*(Error|Exception)\b', text, re.M)]
    return ' '.join(text[at[-1] if at else 0:].split())

def table(text): return [o.split()[:-1] for o in re.split(r'[\r\n]+', text) if re.match(r'\d+ +\S', o)]

# --- kills

counts = 'kills','writes','trainings','equal','tables'

def is_writing(folder): return any(folder.glob('.run.ckpt.????????'))

def modified(path):
    try: return path.stat().st_mtime_ns
    except FileNotFoundError: return None  # what was being written has got its name

def moment(p, folder, rng, aim, spread):
    "Wait for a moment to kill: a random time of up to `spread` seconds after the first change in the folder, or the next write after it"
    def files(): return {o.name:when for o in folder.rglob('*') if o.suffix!='.lock' and (when := modified(o))}
    before,until = files(),None
    while p.poll() is None:
        if until is None and files()!=before: until = time.time() + rng.random()*spread
        if until and time.time()>until and (not aim or is_writing(folder) or time.time()>until+1): return is_writing(folder)
        time.sleep(0.0005 if aim else 0.003)

def phase(p): return (re.findall(r'phase (\d)', p.out.read_text()) or ['-'])[-1]

def killed(start, folder, name, kills, rng, spread, row):
    "Kill `name` until it is done or has been killed `kills` times; its last process"
    for _ in range(kills):
        p = start(folder, name)
        hit = moment(p, folder, rng, rng.random()<0.4, spread)
        if p.poll() is not None or not p.kill(): return p
        row['kills'],row['writes'] = row['kills']+1,row['writes']+bool(hit)
        row['phases'][phase(p)] += 1
    return start(folder, name)

def is_same_table(got, want):
    "A training that was killed after its end has nothing to print"
    return got['table']==want['table'] or got['was_over'] and not got['table']

def new_row(name, **kw): return {**dict(name=name, control='', **dict.fromkeys(counts, 0), phases=Counter(), said=''), **kw}

def campaign(start, root, i, name, kills):
    "Rounds of kills until there were enough, in a `fine_tune` of each of its fits"
    from kills_cases import cases,tuned
    case,rng,row = cases[name],random.Random(i),new_row(name)
    try: want = start(root/f'{i}-whole', name).result()
    except Failed as e: return dict(row, said=f'refused: {e}')
    if case.hidden: row['control'] = without_state(start, root/f'{i}-less', name, case.kill_at, want)
    wanted = {'1','2'} if case.fit is tuned else set()
    while row['trainings']<kills+5 and (row['kills']<kills or wanted-set(row['phases'])):
        p = killed(start, root/f"{i}-{row['trainings']}", name, max(kills-row['kills'], 2), rng, want['seconds']/2, row)
        row['trainings'] += 1
        try: got = p.result()
        except Failed as e: return dict(row, said=f'failed: {e}')
        row['equal'],row['tables'] = row['equal']+(got['all']==want['all']),row['tables']+is_same_table(got, want)
        print(f"{name}: {row['kills']} kills, {row['trainings']} trainings, {row['equal']} equal", file=sys.stderr, flush=True)
    return row

# --- controls

def without_state(start, folder, name, kill_at, want):
    "Does a training that goes on without its state come out otherwise?"
    try:
        if start(folder, name, kill_at=kill_at).wait()!=-signal.SIGKILL: return 'not killed'
        return 'no' if start(folder, name, less=True).result()['weights']==want['weights'] else 'yes'
    except Failed as e: return f'failed: {e}'

def fastais(start, root):
    "fastai's own way, killed once in the last epoch"
    row = new_row('control: `SaveModelCallback` and `start_epoch`', kills=1, trainings=1)
    name,kw = 'images, MixUp',dict(plain=True)
    want = start(root/'plain-whole', name, **kw).result()
    if start(root/'plain', name, kill_at=9, **kw).wait()!=-signal.SIGKILL: return dict(row, said='not killed')
    try: got = start(root/'plain', name, **kw).result()
    except Failed as e: return dict(row, said=f'failed: {e}')
    return dict(row, equal=int(got['weights']==want['weights']), tables=int(got['table']==want['table']))

# --- the table

def is_wrong(row): return bool(row['said']) or min(row['equal'], row['tables'])<row['trainings'] or row['control'] not in ('','yes')

def line(o):
    phases = ', '.join(f'{n} in phase {k}' for k,n in sorted(o['phases'].items())) if 'fine_tune' in o['name'] else ''
    cells = [o[k] for k in counts] if o['trainings'] else ['refused','','','','']
    return '| ' + ' | '.join(map(str, [o['name'] + (phases and f' ({phases})'), o['control'] or '-', *cells])) + ' |'

def markdown(rows, control, env):
    total = dict(name='all', control='', phases={}, **{k: sum(o[k] for o in rows) for k in counts})
    said = [f"- {o['name']}: {o['said']}" for o in [*rows, control] if o['said']]
    head = ['| training | control differs | kills | of them while writing | trainings | equal | tables equal |', '|---' * 7 + '|']
    return '\n'.join([*head, *map(line, [*rows, total, control]), '', *said, *(['']*bool(said)), env])

def campaigns(names, root, kills, device, jobs, fresh):
    "The rows of all trainings, and that of the control"
    servers = [] if fresh else [Server(), Server()]
    start = lambda folder,name,**kw: Process(random.choice(servers) if servers else None, folder, name, device=device, **kw)
    try:
        with ThreadPoolExecutor(jobs) as pool:
            rows = [pool.submit(campaign, start, root, i, o, -(-kills//len(names))) for i,o in enumerate(names)]
            control = pool.submit(fastais, start, root)
            return [o.result() for o in rows],control.result()
    finally:
        for o in servers: o.close()

@call_parse
def main(
    kills:int=160, # Kills in all
    only:str='', # Trainings to do, with semicolons; default: all
    device:str='cpu', # cpu or cuda
    jobs:int=2, # Trainings at a time
    fresh:store_true=False, # Each process a new interpreter? Always so on a GPU
    out:str='', # Write the table to this file (Markdown)
    child:str='', # (internal) the training to do
    serve:store_true=False, # (internal) fork trainings
):
    "Print a table of kills, and exit with status 1 if a training was refused or came out otherwise, or a control did not"
    import kills_cases
    if child: return kills_cases.train(**json.loads(child))
    if serve: return globals()['serve']()
    iv,names = kills_cases.iv,only.split(';') if only else list(kills_cases.cases)
    start = time.time()
    with tempfile.TemporaryDirectory() as d:
        at = iv.sources(d)
        iv.apps['language model'][0](iv.plain, at['language model'])  # its texts are cut into tokens once, for all
        rows,control = campaigns(names, Path(d), kills, device, jobs, fresh or device=='cuda')
    env = ', '.join(f'{k} {v}' for k,v in iv.environment().items() if v)
    text = markdown(rows, control, f'{env}; device {device}, {time.time()-start:.0f} s')
    print(text)
    if out: Path(out).write_text(text + '\n')
    if any(map(is_wrong, rows)) or control['equal'] or control['said']: sys.exit(1)
