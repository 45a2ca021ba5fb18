"""Would the tests see it? Mechanisms are broken, one at a time, and the notebooks are run.

    python benchmarks/mutants.py [--jobs 2] [--only ROOM ...] [--all] [--out FOLDER]

A mutant is one change of one line of a room, in its notebook and in its module. The notebooks that are tried first are the room's own (of the same
number and name), then those named beside the mutant; with `--all` all others too, until one fails. A mutant that no notebook notices has survived.
"""
import argparse,json,os,re,shutil,subprocess,sys,tempfile,time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

root = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(Path(__file__).parent))
from mutants_cases import MUTANTS

def notebooks(): return sorted(o for o in (root/'nbs').glob('*.ipynb') if o.stem!='quickstart')

def of_room(room): return [o.name for o in notebooks() if re.fullmatch(rf'\d+[a-z]?_{room}(_\w+)?|{room}', o.stem)]

def broken(text, old, new, where):
    if text.count(old)!=1: raise SystemExit(f'{where}: {old!r} is there {text.count(old)} times, not once')
    return text.replace(old, new)

def mutate(folder, room, old, new):
    "The change, in the module and in the notebook that it is made from"
    module = folder/'fastai_repro'/f'{room}.py'
    text = module.read_text(encoding='utf-8')
    module.write_text(broken(text, old, new, room), encoding='utf-8')
    source = folder/'nbs'/re.search(r'File to edit: \.\./nbs/(\S+\.ipynb)', text)[1]
    nb,found = json.loads(source.read_text(encoding='utf-8')),0
    for c in nb['cells']:
        code = ''.join(c['source'])
        if c['cell_type']=='code' and re.search(r'#\s*\|\s*export', code) and old in code: c['source'],found = code.replace(old, new).splitlines(keepends=True),found+1
    if found!=1: raise SystemExit(f'{room}: {old!r} is in {found} cells of {source.name}, not in one')
    source.write_text(json.dumps(nb), encoding='utf-8')

def fails(folder, name, seconds):
    "The error of a notebook in `folder`, or None if it passes"
    run = 'import sys; from nbdev.test import nbdev_test; nbdev_test(sys.argv[1], n_workers=1)'
    env = {**os.environ, 'PYTHONPATH':os.pathsep.join([str(folder), os.environ.get('PYTHONPATH', '')]), 'OMP_NUM_THREADS':'1', 'MPLBACKEND':'agg'}
    try: done = subprocess.run([sys.executable, '-c', run, f'nbs/{name}'], cwd=folder, env=env, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired: return f'not done after {seconds} s'
    if not done.returncode: return None
    lines = [re.sub(r'\x1b\[[0-9;]*m', '', o).strip() for o in (done.stdout+done.stderr).splitlines()]
    errors = [o for o in lines if re.match(r'\w*(Error|Exception|Warning|Exit|Inexact|NotExact)\b', o)]
    return (errors or [o for o in lines if o] or ['failed'])[-1][:120]

def trial(mutant, args):
    room,old,new,what,*more = mutant
    names = [*of_room(room), *(o.name for n in more for o in notebooks() if o.stem.startswith(n))]
    if args.all: names += [o.name for o in notebooks() if o.name not in names]
    start = time.time()
    with tempfile.TemporaryDirectory() as d:
        folder = Path(d)/'repo'
        shutil.copytree(root, folder, ignore=shutil.ignore_patterns('.git','.whl','_docs','_proc','*.egg-info','__pycache__','models'))
        mutate(folder, room, old, new)
        caught = next(((n,e) for n in names if (e:=fails(folder, n, args.seconds)) is not None), None)
    row = dict(room=room, what=what, caught=caught[0] if caught else None, error=caught[1] if caught else None, tried=names, seconds=round(time.time()-start))
    print(f"{'caught  ' if caught else 'SURVIVED'} {room}: {what}" + (f' ({caught[0]}: {caught[1]})' if caught else f' (tried {", ".join(names)})'), flush=True)
    return row

def table(rows):
    n = sum(o['caught'] is not None for o in rows)
    head = [f'{len(rows)} mutants in {len({o["room"] for o in rows})} rooms: {n} caught.', '', '| room | what was broken | noticed by | how |', '|---|---|---|---|']
    return '\n'.join(head + [f"| {o['room']} | {o['what']} | {o['caught'] or '**survived**'} | {(o['error'] or '').replace('|', '/')} |" for o in rows])+'\n'

if __name__=='__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--jobs', type=int, default=2); p.add_argument('--only', nargs='+'); p.add_argument('--all', action='store_true')
    p.add_argument('--seconds', type=int, default=400, help='for one notebook'); p.add_argument('--out', help='folder for mutants.md')
    args = p.parse_args()
    chosen = [o for o in MUTANTS if not args.only or o[0] in args.only]
    for room,old,new,*_ in chosen: broken((root/'fastai_repro'/f'{room}.py').read_text(encoding='utf-8'), old, new, room)  # all of them, before the tests
    with ThreadPoolExecutor(args.jobs) as pool: rows = list(pool.map(lambda o: trial(o, args), chosen))
    print(table(rows))
    if args.out: (Path(args.out)/'mutants.md').write_text('# Mutants\n\n`python benchmarks/mutants.py`\n\n'+table(rows), encoding='utf-8')
    sys.exit(sum(o['caught'] is None for o in rows)>2)
