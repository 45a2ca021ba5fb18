"Hands the requirements in `settings.ini`, and README with links for the package index, to setuptools; all other metadata is in `pyproject.toml`"
import re
from configparser import ConfigParser
from pathlib import Path
from setuptools import setup

def read(name): return (Path(__file__).parent/name).read_text(encoding='utf-8')

config = ConfigParser()
config.read_string(read('settings.ini'))
needs = {k:v.split() for k,v in config['DEFAULT'].items()}
source = re.search('^Source = "(.*)"', read('pyproject.toml'), flags=re.M)[1]
description = re.sub(r'\]\((?!#|\w+:)', f']({source}/blob/main/', read('README.md'))
setup(long_description=description, long_description_content_type='text/markdown', install_requires=needs.pop('requirements'),
      extras_require={k.replace('_requirements', ''):v for k,v in needs.items()})
