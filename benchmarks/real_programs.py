"""Runs `fastai-repro-verify`, plain and with `--fix`, on programs that were not written for it.

    python benchmarks/real_programs.py FOLDER [--steps 5] [--jobs 1] [--cores 2] [--only WORDS] [--out benchmarks/results/real_programs]

FOLDER has the programs and `programs.json`: for each file name where it comes from (`source`) and where its data come from (`data`). The programs
are not kept here; the table names them. Each one runs in a new folder with links to all that lies in FOLDER, so that what it writes is not found by
the next. With `--steps` only so many steps of each fit are made. Several programs at once have cores of their own, so that fastai
takes as many workers as on a machine of that size. With `--fix` all must be the same; plain ones may differ, and then place and cause are told.
"""
import json,os,re,subprocess,sys,tempfile,time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from fastcore.script import call_parse

def verify(folder, name, steps, cores, *options):
    "The verdict as JSON, in a new folder with links to what is in `folder`"
    with tempfile.TemporaryDirectory() as tmp:
        for o in Path(folder).resolve().iterdir(): (Path(tmp)/o.name).symlink_to(o)
        file,start = Path(tmp)/'verdict.json',time.time()
        script = Path(tmp)/'fastai-repro-verify'  # as it is installed
        script.write_text("if __name__=='__main__':\n    from fastai_repro.commands import verify\n    raise SystemExit(verify())\n")
        command = [sys.executable, script, '--json', file, *options, *(['--steps', str(steps)] if steps else []), name]
        p = subprocess.run(list(map(str, command)), cwd=tmp, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                           env=os.environ | dict(MPLBACKEND='agg'), preexec_fn=lambda: os.sched_setaffinity(0, cores))
        v = json.loads(file.read_text()) if file.exists() else dict(failed=error(p.stderr), same=None, alone=alone(tmp, name))
        return v | dict(seconds=round(time.time()-start))

def alone(folder, name):
    "How a script ends without this package, a line; None for a notebook"
    if not name.endswith('.py'): return None
    p = subprocess.run([sys.executable, name], cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return 'it ends well' if p.returncode==0 else error(p.stderr)

def error(stderr):
    "The line with the exception, or the last one"
    lines = stderr.strip().splitlines()
    return next((o for o in reversed(lines) if re.match(r'[\w.]+(Error|Exception)\b', o)), lines[-1])

def row(name, folder, about, steps, free):
    cores = free.get()
    res = dict(program=name, **about, plain=verify(folder, name, steps, cores), fix=verify(folder, name, steps, cores, '--fix'))
    free.put(cores)
    print(f"{name}: {words(res['plain'])} WITH --fix: {words(res['fix'])} ({res['plain']['seconds']} and {res['fix']['seconds']} s)", flush=True)
    return res

def words(v):
    "The verdict in a line"
    if v['same'] is None: return f"it ended with {v['failed']}" + (f"; without this package: {v['alone']}" if v['alone'] else '')
    if v['same']: return f"the same, {v['steps']} steps"
    d = v['divergence']
    where = f"cell {d['cell']}" + (f", {d['variable']}" if d['variable'] else '') if d['cell'] else f"line {d['line']}"
    return f"DIFFERENT: {where}, training {d['fit']}, step {d['step']}: {d['what']}, {d['name']}: {d['cause'] or 'no cause; ' + '; '.join(d['known'])}"

def table(rows):
    differ = [o for o in rows if o['plain']['same'] is False]
    lines = [f"{len(rows)} programs, {sum(o['program'].endswith('.ipynb') for o in rows)} of them notebooks. Plain, {len(differ)} differ, "
             f"and a cause is given for {sum(bool(o['plain']['divergence']['cause']) for o in differ)}; with `--fix` "
             f"{sum(bool(o['fix']['same']) for o in rows)} are the same.", '',
             '| program | from | data | plain | with `--fix` |', '|---|---|---|---|---|']
    lines += [f"| {o['program']} | {o['source']} | {o['data']} | {words(o['plain'])} | {words(o['fix'])} |".replace('\n', ' ')
              for o in rows]
    return '\n'.join(lines) + '\n'

@call_parse
def main(
    folder:str, # Folder with the programs and `programs.json`
    steps:int=5, # Steps of each fit; 0 for all
    jobs:int=1, # How many programs at once
    cores:int=2, # Cores of each program
    only:str='', # Only programs whose name fits this pattern
    out:str='', # Write `OUT.md` and `OUT.json`
):
    "Verify programs that were not written for it"
    about = json.loads((Path(folder)/'programs.json').read_text())
    names = [o for o in about if re.search(only, o)]
    all_cores,free,rows = sorted(os.sched_getaffinity(0)),Queue(),{}
    for i in range(jobs): free.put({all_cores[(i*cores+j) % len(all_cores)] for j in range(cores)})
    def one(name):
        rows[name] = row(name, folder, about[name], steps, free)
        done = [rows[o] for o in names if o in rows]
        if out:  # after each program, so that nothing is lost when it is stopped
            Path(f'{out}.md').write_text(table(done))
            Path(f'{out}.json').write_text(json.dumps(done, indent=1) + '\n')
    with ThreadPoolExecutor(jobs) as pool: list(pool.map(one, names))
    rows = list(rows.values())
    return 0 if all(o['fix']['same'] for o in rows) else 1
