"""Plants faults in programs, one at a time, and says whether `fastai-repro-verify` finds each at its place and gives a true cause.

    python benchmarks/faults.py [--only WORDS] [--fork] [--jobs N] [--gpu] [--out benchmarks/results/faults]

`faults_cases.py` has the programs: scripts and notebooks, each run as a user would, in new processes. Programs that only look faulty must be the same,
and `fastai-repro-doctor` must call nothing in them an error; clean ones must be the same in twenty runs. Writes a table as Markdown and what was found as JSON.
With `--fork` each process is forked from one that has imported fastai already, and its generators are seeded from the system, as those of a new process
are: ten times as fast. Cases that need an environment of their own (hash seed, threads) and doctor run in new processes all the same. With `--jobs` so many cases run at once.
"""
import json,multiprocessing,os,pickle,random,re,subprocess,sys,tempfile,time,traceback
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from fastcore.script import call_parse
from faults_cases import clean,cuda,faults,harmless

class Forked:
    "A process that was forked"
    def __init__(self, pid): self.pid,self.returncode = pid,None
    def poll(self):
        if self.returncode is None:
            pid,status = os.waitpid(self.pid, os.WNOHANG)
            if pid: self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode
    def kill(self): os.kill(self.pid, 9)

def forked(spec, folder, stdout, **kwargs):
    "In the place of `launch_run`: a process that has imported fastai already"
    from fastai_repro import process
    file = Path(folder)/'spec.pkl'
    file.write_bytes(pickle.dumps(vars(spec)))
    if pid := os.fork(): return Forked(pid)
    code = 1
    try:
        for i in (1,2): os.dup2(stdout.fileno(), i)
        os.environ.update(process._env(spec))
        fresh()
        process.run_child(str(file))
        code = 0
    except SystemExit as e: code = e.code or 0
    except BaseException: traceback.print_exc()  # as Python itself does at the end of a process
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

def fresh():
    "Generators as in a new process"
    import numpy,torch
    random.seed()
    numpy.random.seed()
    torch.seed()

def after(args, option): return args[args.index(option)+1] if option in args else None

def verify_forked(case):
    from fastai_repro import process,verification
    process.launch_run,cwd,args = forked,os.getcwd(),case.args.split()
    fix,runs,vary = '--fix' in args,int(after(args, '--runs') or 2),after(args, '--vary')
    if vary: vary = {vary.partition('=')[0]:list(map(int, vary.partition('=')[2].split(',')))}
    with tempfile.TemporaryDirectory() as tmp:
        start,program = time.time(),write(case, tmp)
        os.chdir(tmp)
        try:
            for _ in range(case.again+1):
                spec = process.RunSpec(script=program.name, fix=fix, seed=42 if fix else None)
                v = verification.verify_program(spec, runs, vary or {}, progress=False)
        except process.ProgramFailed as e: return dict(failed=str(e)[-2000:], same=None)
        finally: os.chdir(cwd)
        return json.loads(json.dumps(v.as_dict())) | dict(seconds=round(time.time()-start))

def write(case, folder):
    "The program as a file"
    sources = case.sources()
    if case.cell is None:
        path = Path(folder)/'program.py'
        path.write_text('\n'.join(sources) + '\n')
        return path
    cells = [dict(cell_type='code', id=f'c{i}', metadata={}, source=s.splitlines(keepends=True), execution_count=None, outputs=[]) for i,
             s in enumerate(sources)]
    path = Path(folder)/'program.ipynb'
    path.write_text(json.dumps(dict(cells=cells, metadata=dict(kernelspec=dict(name='python3', display_name='python3', language='python')),
                                    nbformat=4, nbformat_minor=5)))
    return path

def command(name, folder, case, *args):
    "Run a command of this package"
    env = {k:v for k,v in os.environ.items() if k!='PYTHONHASHSEED'} | case.env
    with tempfile.TemporaryDirectory() as tmp:  # a script as it is installed
        file = Path(tmp)/f'fastai-repro-{name}'
        file.write_text(f'from fastai_repro.commands import {name}\nraise SystemExit({name}())\n')
        return subprocess.run([sys.executable, file, *map(str, args)], cwd=folder, env=env, capture_output=True, text=True)

def verify(case, fork=False):
    "The verdict, as JSON"
    if fork and not case.new: return verify_forked(case)
    with tempfile.TemporaryDirectory() as tmp:
        start,program = time.time(),write(case, tmp)
        for _ in range(case.again+1): p = command('verify', tmp, case, '--json', Path(tmp)/'verdict.json', *case.args.split(), program.name)
        if not (Path(tmp)/'verdict.json').exists(): return dict(failed=p.stderr[-2000:], same=None)
        return json.loads((Path(tmp)/'verdict.json').read_text()) | dict(seconds=round(time.time()-start))

def judge(case, v):
    "Is the place right? Is the cause true? None if none is stated"
    d = v.get('divergence')
    if case.only_with: return v.get('only_with')==[case.only_with],bool(re.search(case.cause, ' '.join(v.get('remarks', []))))
    if not d: return False,None
    place = all(want is None or d[k]==want for k,want in (('what',case.what), ('step',case.step), ('name',case.name), ('fit',case.fit),
                                                          ('cell',case.cell)))
    return place,bool(case.cause and re.search(case.cause, d['cause'])) if d['cause'] else None

def words(d):
    return f"{d['what']}, step {d['step']}, {d['name']}" + (f", fit {d['fit']}" if d['fit'] else '') + (f", cell {d['cell']}"
                                                                                          if d['cell'] else '')

def fault(case, fork=False):
    v = verify(case, fork)
    place,cause = judge(case, v)
    d = v.get('divergence') or {}
    found = words(d) if d else v.get('failed') or 'no difference'
    if case.only_with: found,d = f"the same as long as {', '.join(v.get('only_with', []))} is there",dict(cause=' '.join(v['remarks']))
    return dict(fault=case.title, place=place, cause_true=cause, found=found, cause=d.get('cause', ''), variable=d.get('variable'),
                **{k:d.get(k, []) for k in ('known','remarks')}, remedy=d.get('remedy', ''), seconds=v.get('seconds'))

def innocent(case, fork=False, with_doctor=True):
    v = verify(case, fork)
    code = doctor(case) if with_doctor else None
    found = v.get('failed') or (words(v['divergence']) if v.get('divergence') else '')
    return dict(program=case.title, same=v['same'], doctor=code, found=found, runs=v.get('runs'), steps=v.get('steps'),
                remarks=v.get('remarks', []))

def doctor(case):
    with tempfile.TemporaryDirectory() as tmp: return command('doctor', tmp, case, write(case, tmp).name).returncode

def good(o): return o['place'] and o['cause_true'] is not False if 'fault' in o else bool(o['same'] and not o['doctor'])

def show(o):
    "A line for a row"
    if 'program' in o:
        return f"{'same      ' if good(o) else 'ALARM     '} {o['program']}: {o['found']} {o['remarks']} doctor {o['doctor']}"
    cause = {True:'cause true', False:'CAUSE FALSE', None:'no cause'}[o['cause_true']]
    return f"{'place ok  ' if o['place'] else 'PLACE BAD '} {cause:11}  {o['fault']}: {o['found']}: {o['cause'] or o['known']}"

def row(i, work, fork):
    "The row of the case with number `i`"
    kind,case = work[i]
    try: res = fault(case, fork) if kind=='fault' else innocent(case, fork, kind=='harmless')
    except Exception as e:  # this script itself, or a machine without memory: a row that failed
        traceback.print_exc()
        res = dict(place=False, cause_true=None, same=None, doctor=None, known=[], remarks=[], cause='', runs=0,
                   found=f'{type(e).__name__}: {e}')
        res['fault' if kind=='fault' else 'program'] = case.title
    print(show(res), flush=True)
    return i,kind,res

def all_rows(work, fork, jobs):
    "The rows in the order of the cases"
    f = partial(row, work=work, fork=fork)
    if jobs==1: return list(map(f, range(len(work))))
    # a worker may have children
    with ProcessPoolExecutor(jobs, multiprocessing.get_context('fork')) as pool: return list(pool.map(f, range(len(work))))

def table(rows, quiet, runs):
    stated = [o for o in rows if o['cause_true'] is not None]
    lines = [f"{len(rows)} planted faults, {sum('notebook' in o['fault'] for o in rows)} of them in notebooks: the place was right in "
             f"{sum(o['place'] for o in rows)}; a cause was stated in {len(stated)}, and was true in "
             f"{sum(o['cause_true'] for o in stated)}.", '',
             '| planted | found | cause given, or what is known | place | cause |', '|---|---|---|---|---|']
    cell = {True:'true', False:'FALSE', None:'none stated'}
    lines += [f"| {o['fault']} | {o['found']} | {o['cause'] or '; '.join(o['known'])} | {'right' if o['place'] else 'WRONG'} | "
              f"{cell[o['cause_true']]} |".replace('\n', ' ') for o in rows]
    lines += ['', f"{len(quiet)} programs that only look faulty, and {sum(o['runs'] or 0 for o in runs)} runs of clean ones:", '',
              '| program | runs | verdict | remarks | doctor |', '|---|---|---|---|---|']
    lines += [f"| {o['program']} | {o['runs']} | {'the same' if o['same'] else 'DIFFERENT: '+o['found']} | {'; '.join(o['remarks'])} | "
              f"{'' if o['doctor'] is None else o['doctor']} |" for o in [*quiet, *runs]]
    return '\n'.join(lines) + '\n'

@call_parse
def main(
    only:str='', # Only cases whose title fits this pattern
    fork:bool=False, # Fork processes from one that has imported fastai?
    jobs:int=1, # How many cases at once
    gpu:bool=False, # Only kernels that are really not deterministic, on a GPU
    out:str='', # Write `OUT.md` and `OUT.json`
):
    "Plant faults and see whether they are found"
    if fork: import fastai.basics,pandas,matplotlib.pyplot,execnb.shell,fastai_repro.verification  # once
    cases = [('fault', o) for o in (cuda if gpu else faults)] + ([] if gpu else [('harmless', o) for o in harmless]
                                                                 + [('clean', o) for o in clean])
    work = [o for o in cases if re.search(only, o[1].title)]
    found = all_rows(work, fork, jobs)
    rows,quiet,runs = ([r for _,k,r in found if k==kind] for kind in ('fault','harmless','clean'))
    if out:
        Path(f'{out}.md').write_text(table(rows, quiet, runs))
        Path(f'{out}.json').write_text(json.dumps(dict(faults=rows, harmless=quiet, clean=runs), indent=1) + '\n')
    return 0 if all(good(r) for _,_,r in found) else 1
