"""Runs recorded, moved to another folder and home, and replayed; and what is said when something has changed in between.

    python benchmarks/replay.py [--only NAMES] [--env DIR] [--changes] [--uv FILE] [--out benchmarks/results/replay.md]

Each program of `replay_cases.py` is recorded in a folder that is deleted then; its record and archive go to another folder, its data to a third.
With `--env DIR` those marked `env` are replayed in an environment that is rebuilt from the record (in DIR: made by the first, taken by the others).
Compared are exit status and what the command says; a training is 'the same' only if weights, losses and metrics have the same bits.

`--changes`: changes between record and replay, one at a time, each with the sentence that tells it. Controls: a program whose bits depend on
the clock must give status 1; a program that writes a file must not have run where a replay is refused.
"""
import json,os,pty,re,shutil,signal,subprocess,sys,tempfile,time,zipfile
from hashlib import blake2b
from pathlib import Path
from fastcore.script import call_parse
from replay_cases import cases,notebook

_entries = Path(tempfile.mkdtemp())

def command(room, name):
    "A command as it is installed"
    file = _entries/f'fastai-repro-{name}'
    file.write_text(f'import sys\nfrom fastai_repro.{room} import {name}\nif __name__=="__main__": sys.exit({name}())\n')
    return [sys.executable, str(file)]

def environment(home, **more):
    return {**{k:v for k,v in os.environ.items() if not k.startswith(('OMP_','MKL_','WANDB'))}, 'PYTHONPATH':str(Path(__file__).resolve().parent.parent), 'HOME':str(home), 'OMP_NUM_THREADS':'1', **more}

def make_data(folder):
    import numpy as np,pandas as pd,torch
    from sklearn.datasets import load_digits
    from fastai_repro import digits_path
    os.environ['FASTAI_HOME'] = str(folder/'fastai')
    rng = np.random.default_rng(0)
    for o in sorted(digits_path().rglob('*.png'))[::6]:
        (folder/'digits'/o.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(o, folder/'digits'/o.parent.name/o.name)
    n = 400
    pd.DataFrame(dict(work=rng.choice(['a','b','c'], n), sex=rng.choice(['f','m'], n), age=rng.integers(18, 80, n), hours=rng.normal(40, 5, n), rich=rng.choice(['no','yes'], n))).to_csv(folder/'adults.csv', index=False)
    words = 'a film with no plot but good actors and a very bad end that nobody wanted to see again'.split()
    pd.DataFrame(dict(text=[' '.join(rng.choice(words, 20)) for _ in range(120)], label=rng.choice(['neg','pos'], 120))).to_csv(folder/'texts.csv', index=False)
    pd.DataFrame(dict(user=rng.integers(0, 30, 600), item=rng.integers(0, 40, 600), rating=rng.integers(1, 6, 600))).to_csv(folder/'ratings.csv', index=False)
    d = load_digits()
    torch.save((torch.tensor(d.data[:260], dtype=torch.float32)/16, torch.tensor(d.target[:260])), folder/'digits.pt')

def git(folder, *args): subprocess.run(['git', '-C', str(folder), '-c', 'user.name=a', '-c', 'user.email=a@b.c', *args], check=True, capture_output=True)

def write(case, proj):
    for k,v in case['files'].items():
        (proj/k).parent.mkdir(parents=True, exist_ok=True)
        (proj/k).write_text(v)
    if case.get('git'):
        git(proj, 'init', '-q'); git(proj, 'add', '.'); git(proj, 'commit', '-qm', 'first')
    if case.get('git')=='dirty':
        first = next(o for o in case['files'] if o.endswith('.py'))
        (proj/first).write_text((proj/first).read_text() + '\n# not committed\n')

def record(case, tmp, data):
    "Record a run in a folder that is gone afterwards; the record where it was moved to, and seconds"
    root = tmp/'ann'
    proj = root/'proj'
    (root/'home').mkdir(parents=True), (root/'runs').mkdir()
    shutil.copytree(data, root/case.get('data_root', '.')/'data', dirs_exist_ok=True)
    write(case, proj)
    argv,cwd = [o.format(root=root) for o in case['argv']],proj/case.get('cwd', '.')
    cmd = [sys.executable, *argv] if case.get('plain') else [*command('commands','run'), '--manifest', str(root/'runs'/'r.json'), *(o.format(root=root) for o in case.get('flags', [])), *argv]
    start = time.time()
    r = subprocess.run(cmd, cwd=cwd, env=environment(root/'home', OMP_NUM_THREADS=str(case.get('threads', 1))), capture_output=True, text=True)
    seconds = time.time()-start
    if r.returncode: raise RuntimeError(r.stdout + r.stderr)
    found = sorted((cwd/'runs' if case.get('plain') else root/'runs').glob('*.json'))
    file = found[-1] if not case.get('second') else root/'runs'/'r-2.json'
    there = tmp/'ben'/'mail'
    there.mkdir(parents=True), (tmp/'ben'/'home').mkdir()
    for o in (file, file.with_suffix('.code.zip'), root/'runs'/'t.jsonl'):
        if o.exists(): shutil.copy(o, there)
    if not file.with_suffix('.code.zip').exists(): raise RuntimeError(r.stdout + r.stderr)
    shutil.move(root/case.get('data_root', '.')/'data', tmp/'ben'/'elsewhere')
    old = case['data'].format(root=root)
    shutil.rmtree(root)
    return there/file.name,f"{old}={tmp/'ben'/'elsewhere'/Path(old).name}",seconds

def replay(file, *args, **env):
    "Exit status, what was said, and seconds"
    start = time.time()
    r = subprocess.run([*command('replay','replay'), *args, str(file)], cwd=file.parent, env=environment(file.parent.parent/'home', **env), capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return r.returncode,r.stdout + r.stderr,time.time()-start

def training_seconds(out): return sum(float(o) for o in re.findall(r'training: ([\d.]+) s', out))

def run_case(name, case, data, env, uv):
    with tempfile.TemporaryDirectory() as tmp:
        file,where,seconds = record(case, Path(tmp).resolve(), data)
        size = (file.stat().st_size + file.with_suffix('.code.zip').stat().st_size)/1000
        rows = []
        for kind in ['--here'] + ['rebuilt']*bool(env and case.get('env')):
            more = ['--here'] if kind=='--here' else ['--env', str(env)]
            path = dict(PATH=f'{Path(uv).parent}{os.pathsep}{os.environ["PATH"]}') if uv else {}
            rc,out,total = replay(file, '--yes', *more, '--data', where, **path)
            said = next((o for o in out.splitlines() if o.startswith(('the same bits','DIFFERENT','fastai-repro'))), out[-300:])
            if rc: print(out, flush=True)
            rows.append((name, kind, rc, said, f'{size:.0f} kB', f'{seconds:.1f}', f'{training_seconds(out):.1f}', f'{total-training_seconds(out):.1f}'))
            shutil.rmtree(file.parent/f'{file.stem}.replay', ignore_errors=True)
        return rows

# --- changes

simple = dict(files={'train.py':"import os\nfrom parts import *\nopen(os.environ['HOME']+'/ran', 'w').close()\nlearn = learner(loaders('../data/digits'), cbs=ReproCallback(42))\nwith learn.no_bar(): learn.fit(2)\n",
                     'parts.py':cases['vision: script, helper, config']['files']['parts.py']}, argv=['train.py'], data='../data/digits', flags=['--trace','{root}/runs/t.jsonl'])

class Bench:
    "A record, copied anew for each change"
    def __init__(self, tmp, case, data):
        self.tmp,self.n = Path(tmp)/'base',0
        self.file,self.where,_ = record(case, self.tmp, data)
        self.ben = self.tmp/'ben'
    def copy(self):
        self.n += 1
        new = self.tmp.parent/f'change{self.n}'
        shutil.copytree(self.ben, new)
        return new/'mail'/self.file.name,self.where.replace(str(self.ben), str(new))

def edit(file, **fields):
    "Other values in a record"
    d = json.loads(file.read_text())
    d.update({k.replace('__', '.'):v for k,v in fields.items()})
    file.write_text('{\n' + ',\n'.join(f'{json.dumps(k)}: {json.dumps(v)}' for k,v in sorted(d.items())) + '\n}\n')

def rezip(file, f, seal=False):
    "Change the members of an archive; with `seal` the record too, as who means harm would"
    z = file.with_suffix('.code.zip')
    with zipfile.ZipFile(z) as old: members = {o:old.read(o) for o in old.namelist()}
    f(members)
    with zipfile.ZipFile(z, 'w', zipfile.ZIP_DEFLATED) as new:
        for k,v in members.items(): new.writestr(k, v)
    if seal: edit(file, code__archive=blake2b(z.read_bytes(), digest_size=16).hexdigest())

def first_png(where): return sorted(Path(where.partition('=')[2]).rglob('*.png'))[3]

def on_terminal(file, args, answers):
    "A replay in a terminal, where questions are answered"
    pid,fd = pty.fork()
    if not pid:
        os.chdir(file.parent)
        os.execve(sys.executable, [*command('replay','replay'), *args, str(file)], environment(file.parent.parent/'home'))
    out = b''
    while True:
        try: got = os.read(fd, 4096)
        except OSError: break
        if not got: break
        out += got
        for q in list(answers):
            if q.encode() in out: os.write(fd, answers.pop(q).encode() + b'\n')
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]),out.decode(errors='replace')

def changes(tmp, data):
    "Name, what is expected (status, text, did the program run?), and what came out"
    b = Bench(tmp, simple, data)
    def case(name, status, text, ran, change=lambda file, where: None, args=('--here','--yes'), with_data=True, **env):
        file,where = b.copy()
        change(file, where)
        before = {o for o in file.parent.iterdir()}
        rc,out,_ = replay(file, *args, *(('--data', where) if with_data else ()), **env)
        has_run = (file.parent.parent/'home'/'ran').exists()
        left = sorted(o.name for o in file.parent.iterdir() if o not in before)
        said = next((o for o in re.split(r'[\r\n]', out) if text in o), out[-500:])
        ok = rc==status and text in out and has_run==ran and (rc!=2 or not left or 'all of it:' in out)
        return name,'yes' if ok else 'NO',rc,'yes' if has_run else 'no',said.strip()[:400]
    yield case('nothing (control)', 0, 'the same bits', True)
    def clock(m): m['code/parts.py'] = m['code/parts.py'].replace(b"metrics=accuracy", b"metrics=accuracy, lr=1e-3*(1 + __import__('time').time()%1)")
    yield case('the program reads the clock (control)', 1, 'learner.lr', True, lambda f,w: rezip(f, clock, seal=True))
    yield case('a file of the data changed', 2, '1 item was changed', True, lambda f,w: first_png(w).write_bytes(sorted(Path(w.partition('=')[2]).rglob('*.png'))[9].read_bytes()))
    yield case('a file of the data added', 2, '1 item was added', True, lambda f,w: shutil.copy(first_png(w), first_png(w).with_name('new.png')))
    yield case('a file of the data removed', 2, '1 item was removed', True, lambda f,w: first_png(w).unlink())
    yield case('the data is not there', 2, '--data', False, with_data=False)
    yield case('another version of torch', 0, '`torch.version` is', True, lambda f,w: edit(f, torch__version='2.4.0', packages__torch='2.4.0'))
    yield case('another version of fastai', 0, '`packages.fastai` is', True, lambda f,w: edit(f, packages__fastai='2.8.0'))
    def other_code(m): m['code/train.py'] += b'\nopen("was_here", "w")\n'
    yield case('code edited in the archive', 2, 'is not the archive of this record', False, lambda f,w: rezip(f, other_code))
    yield case('a package that no index has', 2, "can't be had for this Python", False, lambda f,w: edit(f, code__packages=['fastai-repro','fastcore'], packages__fastcore='0.0.999'), args=('--yes',), PIP_RETRIES='0')
    yield case('two threads in the environment, one in the record', 0, 'the same bits', True, OMP_NUM_THREADS='2')
    yield case('a Python that is not here', 2, 'the run needs Python 3.7.1', False, lambda f,w: edit(f, python__version='3.7.1'), args=('--yes',))
    yield case('another Python, --here', 0, '`python.version` is', True, lambda f,w: edit(f, python__version='3.10.2'))
    yield case('no network', 2, 'no package index could be reached', False, lambda f,w: edit(f, code__packages=['fastai-repro','fastcore']), args=('--yes',), PIP_INDEX_URL='http://127.0.0.1:9/simple', PIP_EXTRA_INDEX_URL='', PIP_FIND_LINKS='', PIP_RETRIES='1', PIP_CONFIG_FILE=os.devnull)
    yield case('no uv: venv and pip', 0, 'pip install --no-deps', False, args=('--dry-run',))
    yield case('archive cut off', 2, 'is not the archive of this record', False, lambda f,w: (z := f.with_suffix('.code.zip')).write_bytes(z.read_bytes()[:-50]))
    yield case('archive missing', 2, 'there is no r.code.zip', False, lambda f,w: f.with_suffix('.code.zip').unlink())
    def climbs(m): m['code/../../climbed.py'] = b''
    yield case('archive with .. and a record that fits', 2, 'names a path outside', False, lambda f,w: rezip(f, climbs, seal=True))
    yield case('a record of a GPU', 2, '`learner.device` is', False, lambda f,w: edit(f, learner__device='cuda', gpu__name='NVIDIA H100'))
    yield case('an option for the installer in a version', 2, 'which no installer should read', False, lambda f,w: edit(f, packages__fastcore='1.0\n--index-url https://evil.example'), args=('--yes',))
    yield case('the run never ended', 2, 'has not ended', False, lambda f,w: edit(f, end__state=None))
    yield case('--steps with the trace', 0, 'the first 3 steps', True, args=('--here','--yes','--steps','3'))
    yield case('--steps without a trace', 2, 'there is none beside the record', False, lambda f,w: (f.parent/'t.jsonl').unlink(), args=('--here','--yes','--steps','3'))
    yield case('nobody to ask', 2, 'pass `--yes`', False, args=('--here',))
    yield disk_full(b)
    yield interrupted(b)
    yield from credentials(Path(tmp)/'c', data)

def disk_full(b):
    file,where = b.copy()
    small = Path(tempfile.mkdtemp())
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=400k', 'none', str(small)], capture_output=True).returncode: return 'the disk is full','not tried','','','no permission to mount'
    try:
        r = subprocess.run([*command('replay','replay'), '--here', '--yes', '--data', where, str(file)], cwd=small, env=environment(file.parent.parent/'home'), capture_output=True, text=True, stdin=subprocess.DEVNULL)
        ran,left = (file.parent.parent/'home'/'ran').exists(),list(small.iterdir())
    finally: subprocess.run(['umount', str(small)])
    return 'the disk is full','yes' if r.returncode==2 and 'is full' in r.stderr and not ran and not left else 'NO',r.returncode,'yes' if ran else 'no',(r.stderr.strip().splitlines() or [''])[-1][:300]

def interrupted(b):
    "Ctrl-C while it trains"
    file,where = b.copy()
    p = subprocess.Popen([*command('replay','replay'), '--here', '--yes', '--data', where, str(file)], cwd=file.parent, env=environment(file.parent.parent/'home'), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    while not (file.parent.parent/'home'/'ran').exists() and p.poll() is None: time.sleep(0.05)
    p.send_signal(signal.SIGINT)
    out,_ = p.communicate(timeout=60)
    alive = subprocess.run(['pgrep', '-f', str(file.parent)], capture_output=True, text=True).stdout.split()
    ok = p.returncode==2 and 'stopped' in out and not (file.parent/'r.replay').exists() and not alive
    return 'Ctrl-C while it trains','yes' if ok else 'NO',p.returncode,'yes',(out.strip().splitlines() or [''])[-1]

def credentials(tmp, data):
    "A credential in an argument, and one in the code"
    hidden = dict(files={'train.py':cases['vision: arguments, absolute data']['files']['train.py']+"assert a.token=='q8Zt1xKp77Lm'\n"}, argv=['train.py','--data','../data/digits','--token','q8Zt1xKp77Lm'], data='../data/digits')
    b = Bench(tmp/'a', hidden, data)
    assert b'q8Zt1xKp77' not in b.file.read_bytes() + b.file.with_suffix('.code.zip').read_bytes()
    file,where = b.copy()
    rc,out,_ = replay(file, '--here', '--yes', '--data', where)
    yield 'a masked argument, nobody to ask','yes' if rc==2 and "'--token ***'" in out else 'NO',rc,'no',out.strip().splitlines()[-1]
    rc,out = on_terminal(file, ['--here','--data',where], {'run this?':'y', 'its value':'q8Zt1xKp77Lm'})
    yield 'a masked argument, in a terminal','yes' if rc==0 and 'the same bits' in out and 'q8Zt1xKp77' not in out else 'NO',rc,'yes',next((o for o in out.splitlines() if 'the same bits' in o), out[-300:]).strip()
    bare = dict(hidden, files={'train.py':hidden['files']['train.py'] + "password = 'q8Zt1xKp77Lm'\n"})
    b = Bench(tmp/'b', bare, data)
    assert b'q8Zt1xKp77' not in b.file.read_bytes() + b.file.with_suffix('.code.zip').read_bytes()
    rc,out,_ = replay(b.file, '--here', '--yes', '--data', b.where)
    yield 'a credential in the code','yes' if rc==2 and 'was not kept with the code' in out else 'NO',rc,'no',out.strip().splitlines()[-1][:300]

def table(head, rows): return re.sub(re.escape(tempfile.gettempdir()) + r'/\w+', 'DIR', '\n'.join(['| ' + ' | '.join(map(str, o)).replace('\n', ' ') + ' |' for o in (head, ['---']*len(head), *rows)]))

def versions():
    import fastai,torch
    return f"fastai {fastai.__version__}, torch {torch.__version__}, Python {sys.version.split()[0]}, {os.cpu_count()} cores"

@call_parse
def main(
    only:str='', # Part of the names of programs to run
    env:str=None, # Folder of the rebuilt environment
    uv:str=None, # Path of uv, if it is to make it
    changes_too:bool=False, # The changes too?
    changes_only:bool=False, # The changes alone?
    out:str=None, # File for the tables
):
    with tempfile.TemporaryDirectory() as tmp:
        data = Path(tmp)/'data'
        data.mkdir()
        make_data(data)
        shutil.rmtree(data/'fastai', ignore_errors=True)
        rows = []
        for name,case in cases.items() if not changes_only else ():
            if only not in name: continue
            try: rows += run_case(name, case, data, env and Path(env).resolve(), uv)
            except Exception as e: rows.append((name, 'record', '', f'{type(e).__name__}: {str(e)[-600:]}', '', '', '', ''))
            print(rows[-1], flush=True)
        text = [f'# Replays\n\n{versions()}. `python benchmarks/replay.py`\n']
        if rows: text += [f"{sum(o[2]==0 for o in rows)} of {len(rows)} replays gave the same bits. Seconds beside training: all that the replay takes but for its training.\n",
                          table(['program','replayed','status','said','record','s recorded','s training','s beside'], rows)]
        if changes_too or changes_only:
            made = []
            for o in changes(tmp, data):
                made.append(o)
                print(o, flush=True)
            text += [f"\n## Changes between record and replay\n\n{sum(o[1]=='yes' for o in made)} of {len(made)} as they should be.\n", table(['change','as it should be','status','did the program run?','said'], made)]
        text = '\n'.join(text) + '\n'
        print(text)
        if out: Path(out).write_text(text)
