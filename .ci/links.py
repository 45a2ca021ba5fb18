"""Looks for broken links, without the network: files and headings that a relative link names must be there.

    python .ci/links.py           README, CHANGELOG, CONTRIBUTING, the notebooks and the tables of `benchmarks/results`
    python .ci/links.py _docs     the site that `.ci/docs.py` built
"""
import json,re,sys
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote,urlsplit

root = Path(__file__).resolve().parent.parent
results = root/'benchmarks'/'results'

def markdown(path):
    "The text of a Markdown file or of a notebook's Markdown cells, without code"
    text = path.read_text(encoding='utf-8')
    if path.suffix=='.ipynb': text = '\n\n'.join(''.join(o['source']) for o in json.loads(text)['cells'] if o['cell_type']=='markdown')
    return re.sub(r'^(```|~~~).*?^\1', '', text, flags=re.M|re.S)

def slug(heading):
    "The anchor that GitHub gives to a heading"
    return re.sub(r'[^\w\- ]', '', re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', heading).lower().strip()).replace(' ', '-')

class Page(HTMLParser):
    "Links and anchors of a page"
    def __init__(self, path):
        super().__init__()
        self.links,self.anchors = [],set()
        self.feed(path.read_text(encoding='utf-8'))
    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.anchors |= {attrs[k] for k in ('id','name') if attrs.get(k)}
        self.links += [attrs[k] for k in ('href','src') if attrs.get(k)]

@lru_cache(None)
def read(path):
    "Links and anchors of a file"
    if path.suffix=='.html': return (page := Page(path)).links,page.anchors
    if path.suffix not in ('.md','.ipynb'): return [],set()
    text = markdown(path)
    links = re.findall(r'\]\(\s*<?([^()\s>]+)', re.sub(r'`[^`\n]*`', '', text))
    return links,{slug(o) for o in re.findall(r'^#+\s+(.*)$', text, flags=re.M)}

def target(path, link, base):
    "The file that a link of `path` leads to"
    place = unquote(urlsplit(link).path)
    if not place: return path
    file = (base/place.lstrip('/') if place.startswith('/') else path.parent/place).resolve()
    return file/'index.html' if file.is_dir() and base!=root else file

def broken(path, base):
    "Links of a file that lead nowhere"
    for link in read(path)[0]:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc: continue
        file,anchor = target(path, link, base),unquote(parts.fragment)
        has_anchors = file.suffix in ('.md','.ipynb','.html') and not anchor.startswith('__')  # which scripts of the site make
        if not file.exists() or anchor and has_anchors and anchor not in read(file)[1]: yield link

def main(site=None):
    base = Path(site).resolve() if site else root
    files = [o for o in base.rglob('*.html') if o.name!='404.html'] if site else [
        *(root/o for o in ('README.md','CHANGELOG.md','CONTRIBUTING.md')), *(root/'nbs').glob('*.ipynb'), *results.glob('*.md')]
    found = [f'{o.relative_to(base)}: {link}' for o in sorted(files) for link in broken(o, base)]
    print(*found, f'{len(files)} files, {sum(len(read(o)[0]) for o in files)} links, {len(found)} broken', sep='\n')
    return bool(found)

if __name__ == '__main__': sys.exit(main(*sys.argv[1:]))
