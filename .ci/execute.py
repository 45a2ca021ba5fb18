"""Executes lessons from top to bottom as a reader does, with `jupyter nbconvert --execute`, and without the network.

    python .ci/execute.py                  the quickstart and the tutorials
    python .ci/execute.py nbs/32_callback.ipynb ...
"""
import os,sys,tempfile,time
from pathlib import Path
from subprocess import run

nbs = Path(__file__).resolve().parent.parent/'nbs'
lessons = ['quickstart', *(f.stem for f in sorted(nbs.glob('5*.ipynb')))]
offline = {o:'http://127.0.0.1:9' for o in ('http_proxy','https_proxy','HTTP_PROXY','HTTPS_PROXY')}  # nobody listens there

def execute(file, folder):
    "Did `file` run to its end?"
    command = [sys.executable, '-m', 'nbconvert', '--to', 'notebook', '--execute', '--output-dir', folder, '--log-level', 'ERROR', str(file)]
    return run(command, env={**os.environ, **offline, 'PYTHONPATH':str(nbs.parent)}).returncode==0

if __name__ == '__main__':
    files,failed = [Path(o) for o in sys.argv[1:]] or [nbs/f'{o}.ipynb' for o in lessons],[]
    with tempfile.TemporaryDirectory() as folder:
        for f in files:
            start = time.time()
            is_fine = execute(f, folder)
            if not is_fine: failed.append(f.stem)
            print(f"{f.stem:30} {'ran' if is_fine else 'FAILED'} {time.time()-start:5.0f} s", flush=True)
    if failed: sys.exit(f"failed: {', '.join(failed)}")
