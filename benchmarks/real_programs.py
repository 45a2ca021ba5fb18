"""Runs `fastai-repro-verify`, plain and with `--fix`, on programs that were not written for it.

    python benchmarks/real_programs.py FOLDER [--steps 5] [--jobs 1] [--only WORDS] [--out benchmarks/results/real_programs]

FOLDER has the programs and `programs.json`: for each file name where it comes from (`source`) and where its data come from (`data`). The programs
are not kept here; the table names them. Each one runs in a new folder with links to all that lies in FOLDER, so that what it writes is not found by
the next. With `--steps` only so many steps of each fit are made. With `--fix` all must be the same; plain ones may differ, and then place and cause are told.
"""
import json,os,re,subprocess,sys,tempfile,time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from fastcore.script import call_parse

def verify(folder, name, steps, *options):
    "The verdict as JSON, in a new folder with links to what is in `folder`"
    with tempfile.TemporaryDirectory() as tmp:
        for o in Path(folder).resolve().iterdir(): (Path(tmp)/o.name).symlink_to(o)
        file,start = Path(tmp)/'verdict.json',time.time()
        script = Path(tmp)/'fastai-repro-verify'  # as it is installed
        script.write_text("if __name__=='__main__':\n    from fastai_repro.commands import verify\n    raise SystemExit(verify())\n")
        command = [sys.executable, script, '--json', file, *options, *(['--steps', str(steps)] if steps else []), name]
        p = subprocess.run(list(map(str, command)), cwd=tmp, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                           env=os.environ | dict(MPLBACKEND='agg'))
        v = json.loads(file.read_text()) if file.exists() else dict(failed=p.stderr[-3000:], same=None)
        return v | dict(seconds=round(time.time()-start))

def row(name, folder, about, steps):
    res = dict(program=name, **about, plain=verify(folder, name, steps), fix=verify(folder, name, steps, '--fix'))
    print(f"{name}: {words(res['plain'])} WITH --fix: {words(res['fix'])}", flush=True)
    return res

def words(v):
    "The verdict in a line"
    if v['same'] is None: return f"FAILED: {v['failed'].strip().splitlines()[-1]}"
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
    only:str='', # Only programs whose name fits this pattern
    out:str='', # Write `OUT.md` and `OUT.json`
):
    "Verify programs that were not written for it"
    about = json.loads((Path(folder)/'programs.json').read_text())
    names = [o for o in about if re.search(only, o)]
    with ThreadPoolExecutor(jobs) as pool: rows = list(pool.map(lambda o: row(o, folder, about[o], steps), names))
    if out:
        Path(f'{out}.md').write_text(table(rows))
        Path(f'{out}.json').write_text(json.dumps(rows, indent=1) + '\n')
    return 0 if all(o['fix']['same'] for o in rows) else 1
