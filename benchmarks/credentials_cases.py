"""Credentials in many carriers, and harmless values that look like them.

`CASES` has for each a kind, a carrier, the secret parts (none may survive anywhere), a JSON-able value that holds them, and the name that the value has where it is recorded.
`HARMLESS` has pairs of a name and a value that must come out as they went in. No credential is real: all are drawn from a keyed generator when this file is imported, so that
services which look for leaked tokens find none here. Run it to see how many survive: `python benchmarks/credentials_cases.py`, with `--by detect-secrets` for that library instead.
"""
import base64,json,random,sys,tempfile
from collections import namedtuple
from pathlib import Path

Case = namedtuple('Case', 'kind carrier secrets value name', defaults=('',))
_draw = random.Random(17)
_lower,_digits,_hex = 'abcdefghijklmnopqrstuvwxyz','0123456789','0123456789abcdef'
_alnum = _lower + _lower.upper() + _digits

def made(n, prefix='', chars=_alnum, between=''):
    "A made-up credential: it has a letter, a digit and a capital if the alphabet has them"
    while True:
        s = ''.join(_draw.choice(chars) for _ in range(n))
        if all(any(c in part for c in s) for part in (_lower, _digits, _lower.upper()) if set(part) & set(chars)): return prefix + s

def b64(s): return base64.b64encode(s.encode()).decode()
def jwt(): return '.'.join([b64('{"alg":"HS256","typ":"JWT"}').rstrip('='), b64(json.dumps(dict(sub=made(8)))).rstrip('='), made(43)])
def pem(kind='RSA '): return f'-----BEGIN {kind}PRIVATE KEY-----\n' + '\n'.join(made(64) for _ in range(4)) + f'\n-----END {kind}PRIVATE KEY-----\n'

def _cases():
    def add(kind, carrier, secret, value, name=''):
        res.append(Case(kind, carrier, [secret] if isinstance(secret, str) else secret, value, name))
    res = []
    pw,pw2,phrase = 'hunter2!','Tr0ub4dor&3','correct horse battery'
    # by name alone: the value tells nothing
    for name in ['password', 'db_password', 'userPassword', 'smtp-passwd', 'PGPASSWORD', 'passphrase', 'passcode', 'client_secret', 'SECRET_KEY', 'bearer', 'cookie', 'jwt', 'session_id',
                 'ssh_key', 'tokens', 'github_pat', 'api_key', 'apiKey', 'OPENAI_API_KEY', 'private_key', 'credentials', 'accessToken', 'X-Api-Key', 'MYSQL_PWD', 'db_pass', 'webhook_url', 'auth',
                 'storage_account_key', 'csrf_token', 'encryption-key', 'kaggle_key', 'otp']:
        s = made(9, chars=_lower)
        add(f'name {name}', 'config', s, {name: s, 'lr': 0.1}, 'config')
    add('name password', 'field', 'sesame', 'sesame', 'learner.callbacks.db.password')
    add('name password', 'number', '48151623', {'password': 48151623}, 'config')
    add('name tokens', 'list', ['firstone','secondone'], {'tokens': ['firstone','secondone']}, 'config')
    add('name auth', 'tuple', [pw], {'auth': ('me', pw)}, 'config')
    add('name password', 'nested', pw, {'a': [{'b': {'db': {'password': pw, 'port': 5432}}}]}, 'config')
    add('key beside username', 'nested', s:=made(32, chars=_hex), s and {'kaggle': {'username': 'me', 'key': s}}, 'config')
    add('name and value', 'pairs', pw2, {'env': [{'name': 'DB_PASSWORD', 'value': pw2}, {'name': 'LR', 'value': '0.1'}]}, 'config')
    add('header pair', 'list', s:=made(24), [['Accept','text/html'], ['Authorization', f'Bearer {s}']], 'config.headers')
    # headers
    add('Authorization', 'header', s:=made(20), {'headers': {'Authorization': f'Bearer {s}', 'Accept': 'text/html'}}, 'config')
    add('Authorization', 'text', s:=made(20), f'curl -H "Authorization: Bearer {s}" https://host.org/v1')
    add('Authorization', 'argument list', s:=made(20), ['curl', '-H', f'Authorization: token {s}', 'https://host.org'])
    add('basic auth', 'header', s:=b64('me:'+pw), f'Authorization: Basic {s}')
    add('basic auth', 'text', s:=b64('admin:'+pw2), f'proxy says Basic {s} was refused')
    add('Cookie', 'header', [s:=made(22)], f'Cookie: theme=dark; sessionid={s}; csrftoken={s[::-1]}')
    add('X-Api-Key', 'text', s:=made(22), f'X-Api-Key: {s}')
    add('AWS signature', 'header', s:=made(64, chars=_hex), f'Authorization: AWS4-HMAC-SHA256 Credential=AKIA{made(16, chars=_lower.upper()+_digits)}/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature={s}')
    # addresses
    add('user part', 'URL', pw, f'postgresql://me:{pw}@db.host.org:5432/runs')
    add('user part', 'URL', 'p@ss/w0rd', 'mysql://me:p@ss/w0rd@db.host.org/runs')
    add('user part', 'URL', s:=made(30), f'https://{s}@host.org/org/repo.git')
    add('user part', 'URL', s:=made(30), f'https://{s}:x-oauth-basic@host.org/org/repo.git')
    add('user part', 'URL', s:=made(16), f'redis://:{s}@cache:6379/0')
    add('Sentry DSN', 'URL', s:=made(32, chars=_hex), f'https://{s}@o1.ingest.sentry.io/1')
    for name in ['token','api_key','access_token','private_token','sig','apikey','auth','client_secret','subscription-key']:
        add(f'query {name}', 'URL', s:=made(14, chars=_lower), f'https://host.org/data.zip?version=2&{name}={s}&page=3')
    add('query X-Amz-Signature', 'URL', [s:=made(64, chars=_hex)], f'https://bucket.s3.amazonaws.com/k.parquet?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA{made(16, chars=_lower.upper())}%2F20260101&X-Amz-Expires=3600&X-Amz-Signature={s}')
    add('query X-Goog-Signature', 'URL', s:=made(64, chars=_hex), f'https://storage.googleapis.com/b/k?X-Goog-Expires=60&X-Goog-Signature={s}')
    add('Azure SAS', 'URL', s:=made(43).replace('a','%2B')+'%3D', f'https://acc.blob.core.windows.net/c/b.zip?sv=2024-01-01&sr=b&se=2026-01-01&sp=r&sig={s}')
    add('query key', 'URL', s:=made(35, 'AI'+'za'), f'https://maps.googleapis.com/maps/api?key={s}&q=here')
    add('query in query', 'URL', s:=made(20), f'https://host.org/login?next=https%3A%2F%2Fother.org%2F%3Ftoken%3D{s}%26page%3D2')
    add('fragment', 'URL', s:=made(20), f'https://host.org/cb#access_token={s}&token_type=bearer')
    # webhooks
    add('Slack webhook', 'URL', s:=made(24), f'https://hooks.slack.com/services/T{made(8, chars=_digits)}/B{made(8, chars=_digits)}/{s}')
    add('Discord webhook', 'URL', s:=made(68), f'https://discord.com/api/webhooks/{made(18, chars=_digits)}/{s}')
    add('Teams webhook', 'URL', s:=made(32, chars=_hex), f'https://org.webhook.office.com/webhookb2/{made(8, chars=_hex)}-1234-1234-1234-{made(12, chars=_hex)}@{made(8, chars=_hex)}-1234-1234-1234-123456789abc/IncomingWebhook/{s}/0a')
    add('Telegram', 'URL', s:=made(35, 'AA'), f'https://api.telegram.org/bot{made(9, chars=_digits)}:{s}/sendMessage')
    add('webhook', 'URL', s:=made(26), f'https://mattermost.host.org/hooks/{s}')
    # connection strings
    add('ADO', 'connection string', pw2, f'Server=tcp:db.host.org,1433;Database=runs;User ID=me;Password={pw2};Encrypt=True;')
    add('ADO', 'connection string', phrase, f'Server=db;Uid=me;Pwd={phrase};Database=runs')
    add('Azure storage', 'connection string', s:=made(86)+'==', f'DefaultEndpointsProtocol=https;AccountName=acc;AccountKey={s};EndpointSuffix=core.windows.net')
    add('Azure bus', 'connection string', s:=made(43)+'=', f'Endpoint=sb://x.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey={s}')
    add('libpq', 'connection string', pw, f"host=db port=5432 user=me password={pw} dbname=runs")
    add('libpq', 'connection string', phrase, f"host=db user=me password='{phrase}' dbname=runs")
    add('Redis', 'connection string', s:=made(20), f'cache.host.org:6380,password={s},ssl=True,abortConnect=False')
    add('Mongo', 'connection string', pw, {'mongo': {'conn_str': f'mongodb+srv://me:{pw}@cluster0.host.org/?retryWrites=true'}}, 'config')
    # argument lists and shells
    add('option', 'argument list', 'sesame', ['train.py', '--lr', '0.1', '--password', 'sesame', '--epochs', '3'], 'script.args')
    add('option', 'argument list', s:=made(12, chars=_lower), ['train.py', f'--api-key={s}', '--bs=64'], 'script.args')
    add('option', 'argument list', pw, ['curl', '-u', f'me:{pw}', 'https://host.org'], 'script.args')
    add('option', 'text', 'sesame', 'python train.py --lr 0.1 --db-password sesame --epochs 3')
    add('option', 'text', pw, f'curl -u me:{pw} https://host.org/x')
    add('hydra', 'argument list', s:=made(12, chars=_lower), ['train.py', f'+trainer.logger.api_key={s}'], 'script.args')
    add('export', 'text', s:=made(12, chars=_lower), f'export HOST=here\nexport TOKEN={s}\npython train.py')
    add('docker', 'text', s:=made(12, chars=_lower), f'docker run -e DB_PASSWORD={s} -v /data:/data image:1.0')
    add('docker', 'text', s:=made(12, chars=_lower), f'FROM python:3.11\nENV API_TOKEN {s}\n')
    add('env', 'env', s:=made(40, chars=_hex), {'WANDB_API_KEY': s, 'PATH': '/usr/bin', 'PWD': '/home/me'}, 'environment.env')
    add('env', 'text', s:=made(40, chars=_hex), f'WANDB_API_KEY={s}\nWANDB_MODE=offline\n')
    add('netrc', 'text', s:=made(40, chars=_hex), f'machine api.wandb.ai login user password {s}')
    # text of objects and files
    add('repr', 'repr', s:=made(10, chars=_lower), f"Client(token='{s}', url='https://host.org', timeout=3)", 'learner.callbacks.Log')
    add('repr', 'repr', ['me-and-you', pw], f"Session(auth=HTTPBasicAuth('me-and-you', '{pw}'), verify=True)")
    add('repr', 'repr', s:=made(10, chars=_lower), f"Client(key_name=a, api_key={s}, retries=3)")
    add('dict repr', 'repr', pw, f"Log(cfg={{'user': 'me', 'password': '{pw}', 'port': 1}})")
    add('dict repr', 'repr', 'sesame', "partial(<function log>, headers={'Cookie': 'a=sesame'}, n=3)")
    add('JSON text', 'JSON text', pw, json.dumps({'user': 'me', 'password': pw, 'lr': 0.1}))
    add('JSON in JSON', 'JSON text', 'open"sesame', json.dumps({'cfg': json.dumps({'api_secret': 'open"sesame', 'lr': 0.1})}))
    add('YAML', 'text', phrase, f'host: db\npassphrase: {phrase}\nport: 3\n')
    add('XML', 'text', 'sesame', '<db><host>here</host><password>sesame</password></db>')
    add('source', 'text', s:=made(16), f'import os\nos.environ["HUB_TOKEN"] = "{s}"\nlr = 0.1\n')
    add('source', 'text', 'sesame', 'def connect(user: str = "me", password: str = "sesame", port: int = 3): ...')
    add('SQL', 'text', pw, f"CREATE USER me IDENTIFIED BY '{pw}'")
    # packages
    add('package', 'package', s:=made(20), f'mine @ git+https://me:{s}@host.org/org/mine.git@{made(40, chars=_hex)}')
    add('package', 'package', s:=made(20), f'git+https://host.org/mine.git?private_token={s}')
    add('package', 'package', s:=made(20), f'--extra-index-url https://__token__:{s}@pypi.host.org/simple')
    # known formats, where no name tells
    for kind,s in [('AWS', made(16, 'AK'+'IA', _lower.upper()+_digits)), ('Google', made(35, 'AI'+'za')), ('GitHub', made(36, 'gh'+'p_')), ('GitHub fine', made(22, 'github'+'_pat_')+'_'+made(59)),
                   ('GitLab', made(20, 'gl'+'pat-')), ('Hugging Face', made(34, 'h'+'f_')), ('OpenAI', made(48, 's'+'k-')), ('OpenAI project', made(64, 's'+'k-proj-')), ('Anthropic', made(80, 's'+'k-ant-api03-')),
                   ('Stripe', made(24, 's'+'k_live_')), ('Twilio', made(32, 'S'+'K', _hex)), ('SendGrid', 'S'+'G.'+made(22)+'.'+made(43)), ('npm', made(36, 'np'+'m_')), ('PyPI', made(100, 'py'+'pi-AgEIcHlwaS5vcmc')),
                   ('Slack', f"xo{'xb'}-{made(12, chars=_digits)}-{made(12, chars=_digits)}-{made(24)}"), ('JWT', jwt()), ('Databricks', made(32, 'da'+'pi', _hex)), ('Docker', made(27, 'dck'+'r_pat_')),
                   ('Vault', made(90, 'hv'+'s.')), ('Google OAuth', made(28, 'GO'+'CSPX-')), ('Atlassian', made(60, 'AT'+'ATT3')), ('Groq', made(52, 'gs'+'k_')), ('Replicate', made(37, 'r'+'8_'))]:
        add(kind, 'config', s, {'remark': s, 'lr': 0.1}, 'config')
        add(kind, 'text', s, f'run 7: uploaded with {s}, done')
    for kind in ('RSA ', 'OPENSSH ', '', 'EC ', 'ENCRYPTED '):
        key = pem(kind)
        add('private key', 'text', key.splitlines()[1:-1], f'wrote\n{key}to disk')
    key = pem('')
    add('GCP service account', 'JSON text', [*key.splitlines()[1:-1]], json.dumps(dict(type='service_account', project_id='p', private_key_id=made(40, chars=_hex), private_key=key, client_email='a@p.iam.gserviceaccount.com')))
    add('GCP service account', 'nested', [*key.splitlines()[1:-1]], {'gcp': dict(type='service_account', private_key=key, client_email='a@p.iam.gserviceaccount.com')}, 'config')
    add('known format', 'dictionary key', s:=made(36, 'gh'+'p_'), {'by_token': {s: 3}}, 'config')
    return res

CASES = _cases()

_sha,_sha256,_md5 = made(40, chars=_hex),made(64, chars=_hex),made(32, chars=_hex)
HARMLESS = [(name, value) for name,value in [
    ('code.commit', _sha), ('data.digest', _sha256), ('data.md5', _md5), ('end.weights', _md5[:24]), ('learner.arch', 'resnet50_imagenet1k_v2'), ('run.id', f'{_md5[:8]}-{_md5[8:12]}-4{_md5[13:16]}-a{_md5[17:20]}-{_md5[20:]}'),
    ('data.path', '/home/me/.fastai/data/oxford-iiit-pet/images'), ('data.path', 'C:\\Users\\me\\data'), ('url', 'https://host.org/list?page=2&key=name'), ('url', 'https://user-images.host.org/a/b.png?size=3&v=4'), ('author', 'Jane Doe'),
    ('authors', ['Jane','Joe']), ('bucket', 's3://bucket/key.parquet'), ('tokenizer', 'spacy'), ('max_tokens', 512), ('n_tokens', 3), ('token_size', 64), ('token_type_ids', [0, 1]), ('pad_token', '[PAD]'), ('bos_token', '<s>'),
    ('special_tokens', ['xxbos','xxeos']), ('keyboard', 'qwerty'), ('keypoints', 17), ('key', 'name'), ('sort_key', 'len'), ('primary_key', 'id'), ('secretary', 'Ann'), ('passes', 3), ('n_pass', 2), ('forward_pass', 'twice'), ('bypass', 'yes'),
    ('compass', 'north'), ('author_email', 'jane@host.org'), ('package', f'git+https://host.org/org/repo@{_sha}'), ('package', 'torch==2.11.0+cu128'), ('package', 'secrets==1.0.2'), ('package', 'tokenizers==0.22.1'),
    ('package', 'mine @ git+ssh://git@host.org/org/repo.git@main'), ('address', 'fe80::1ff:fe23:4567:890a'), ('address', 'http://[::1]:8080/x'), ('remote', 'git@host.org:org/repo.git'), ('word', 'Donaudampfschifffahrtsgesellschaftskapitän'),
    ('long', 'a_rather_long_name_of_a_function_with_many_words'), ('image', 'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ'), ('cuda', 'cuda:0'), ('use_token', True), ('token', None), ('password', ''), ('api_key', '${API_KEY}'),
    ('env', {'PWD': '/home/me/runs', 'OLDPWD': '/tmp'}), ('pat', r'(.+)_\d+.jpg$'), ('text', 'the key idea: pass the tokens on; authors agree'), ('repr', "Tokenizer(tok=SpacyTokenizer, rules=[fix_html], sep=' ')"), ('repr', 'Linear(in_features=512, out_features=10, bias=True)'),
    ('repr', "CrossEntropyLoss(weight=tensor([1., 2.]), ignore_index=-100)"), ('source', 'password = os.environ["DB_PASSWORD"]\ntoken = get_token()\n'), ('source', 'def f(pwd=None, token: str = None): return sorted(xs, key=lambda x: x.key)'),
    ('source', 'for token in tokens: print(token)\nif token: go(token)\n'), ('args', ['train.py', '--lr', '0.1', '--tokenizer', 'spacy', '--max-tokens', '512']), ('args', ['docker', 'run', '-u', '1000:1000', 'image:1.0']), ('image', f'repo/image:1.0@sha256:{_sha256}'),
    ('time', '2026-01-01T10:00:00+00:00'), ('patience', 3), ('pattern', '*.jpg'), ('signature', '(x, y=3)'), ('session', 'morning'), ('opt', 'Adam(lr=0.001, betas=(0.9, 0.999), key=None)'), ('token_mixing', 'tome'), ('password_file', '/run/secrets/db'),
    ('token_url', 'https://host.org/oauth/token'), ('auth', 'basic'), ('use_auth_token', False), ('cookie_consent_banner_width', 3), ('hash', 'sha256:' + _sha256), ('url', f'https://host.org/raw/{_sha}/data.csv?raw=true'), ('metrics', {'accuracy': 0.9, 'passing': 0.1}),
    ('url', 'https://download.pytorch.org/models/resnet18-f37072fd.pth'), ('vocab', ['token','password','secret','key']), ('columns', ['password','token']), ('pin_memory', True), ('conv_pw', 'Conv2d(3, 8)'), ('public', 'ssh-ed25519 fingerprint SHA256 shown elsewhere')]]

def masked_by_detect_secrets(value, name=''):
    "What is left of the JSON of `value` when every secret that detect-secrets finds in it as a file is taken out"
    from detect_secrets import SecretsCollection
    from detect_secrets.settings import default_settings
    text,found = json.dumps({name or 'value': value}, indent=0, ensure_ascii=False),SecretsCollection()
    with tempfile.TemporaryDirectory() as d, default_settings():
        path = Path(d)/'manifest.json'
        path.write_text(text)
        found.scan_file(str(path))
    for o in sorted({o.secret_value for _,o in found if o.secret_value}, key=len, reverse=True): text = text.replace(o, '***')
    return text

def main(by='fastai_repro'):
    if by=='fastai_repro': from fastai_repro.credentials import masked
    else: masked = masked_by_detect_secrets
    lost = [c for c in CASES if any(s in o for o in [json.dumps(masked(c.value, c.name), ensure_ascii=False)] for s in (x for y in c.secrets for x in (y, json.dumps(y)[1:-1])))]
    def same(name, v): return (masked(v, name)==v) if by=='fastai_repro' else masked(v, name)==json.dumps({name or 'value': v}, indent=0, ensure_ascii=False)
    touched = [(n, v) for n,v in HARMLESS if not same(n, v)]
    for c in lost: print('survives:', c.kind, '|', c.carrier, '|', c.value)
    for n,v in touched: print('touched:', n, '|', v, '|', masked(v, n))
    print(f'{by}: {len(CASES)} credentials of {len({c.kind.split()[0] for c in CASES})} kinds in {len({c.carrier for c in CASES})} carriers, {len(lost)} survive; {len(HARMLESS)} harmless values, {len(touched)} touched')

if __name__=='__main__': main(*sys.argv[2:3])
