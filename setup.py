"Hands the requirements in `settings.ini` to setuptools; all other metadata is in `pyproject.toml`"
from configparser import ConfigParser
from pathlib import Path
from setuptools import setup

config = ConfigParser()
config.read(Path(__file__).parent/'settings.ini', encoding='utf-8')
needs = {k: config['DEFAULT'][k].split() for k in ('requirements', 'distributed_requirements', 'dev_requirements')}
setup(install_requires=needs['requirements'], extras_require={'distributed': needs['distributed_requirements'], 'dev': needs['dev_requirements']})
