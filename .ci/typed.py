"""Makes `fastai_repro/__init__.pyi`: names are imported when they are first used, which editors and type checkers can't follow.

    python .ci/typed.py            write it
    python .ci/typed.py --check    exit with status 1 if it is not what `__init__.py` gives, or if mypy does not read the lines below as it should
"""
import re,subprocess,sys,tempfile
from pathlib import Path

root = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(root))
import fastai_repro
stub = root/'fastai_repro'/'__init__.pyi'

right = '''
import fastai_repro as r
bits:str = r.digest([1, 'a'])
number:int = r.stream_seed(42, 'init')
r.set_seed(42, strict='warn')
with r.seeded(42, 'init', exact=True): pass
with r.deterministic(): pass
cb = r.ReproCallback(seed=None, restore=True, manifest='runs', threads=2, exact=False)
cb.restart()
r.TraceCallback('a.trace', level='step')
r.ResumeCallback('a.ckpt', every='60s')
manifest = r.RunManifest.load('a.json')
answer:bool = manifest.diff(manifest).matters
table = r.load_runs('runs', fields=['learner.loss.gamma'])
verdict = r.verify(lambda: None, vary=dict(num_workers=[0,2]), steps=3)
r.assert_reproducible(lambda: None, runs=3)
r.compare(lambda: None, dict(a=1), dict(a=2), seeds=5, smallest=0.1)
'''
wrong = ["r.stream_seed('a')", "n:int = r.digest(1)", "r.ReproCallback(sed=1)", "n:int = r.RunManifest.load('a.json').results()",
         "r.no_such_name", "r.set_seed('42')"]

def names():
    rooms = {}
    for name in fastai_repro.__all__: rooms.setdefault(fastai_repro.room_of(name), []).append(name)
    lines = [f'from .{room} import ' + ', '.join(f'{o} as {o}' for o in names) for room,names in rooms.items()]
    rest = '__version__: str', '__all__: list[str]', 'def room_of(name: str) -> str: ...', ''
    return '\n'.join([f'"{fastai_repro.__doc__}"', '# Made by .ci/typed.py', *lines, '', *rest])

def mypy(text):
    "The lines of a program in which mypy sees an error"
    with tempfile.TemporaryDirectory() as d:
        program = Path(d)/'program.py'
        program.write_text(text)
        args = '--follow-imports=silent', '--config-file', root/'pyproject.toml', program
        run = subprocess.run([sys.executable, '-m', 'mypy', *args], cwd=root, capture_output=True, text=True)
    if run.returncode not in (0,1): sys.exit(run.stdout + run.stderr)
    return {int(m[1]):m[2] for m in re.finditer(r'program.py:(\d+): error: (.*)', run.stdout)}

def check():
    if stub.read_text(encoding='utf-8') != names(): sys.exit('fastai_repro/__init__.pyi is not in sync: run `python .ci/typed.py`')
    first = 1 + right.count('\n')
    found = mypy(right + '\n'.join(wrong) + '\n')
    for line,error in found.items():
        if line<first: sys.exit(f'mypy: {right.splitlines()[line-1]}: {error}')
    unseen = [o for i,o in enumerate(wrong) if first+i not in found]
    if unseen: sys.exit(f'mypy sees no error in {unseen}')
    print(f'mypy: {first-2} lines without an error, {len(wrong)} wrong ones seen')

if __name__ == '__main__':
    if '--check' in sys.argv: check()
    else: stub.write_text(names(), encoding='utf-8')
