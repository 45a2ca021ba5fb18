"""The cases of `hiding.py`: places where a random generator can hide in a training, each as small as it gets.

They stand in a module of their own so that spawned workers can import their classes. A case is a function that makes the parts of a
training anew; `@hides` says what it shows, where the generator hides, and the names one of which a warning has to use.
Groups: 1 places that a first version did not find, 2 more of them, 3 what no walk through objects can find, 4 what must raise no alarm,
5 what even a rehearsal of the first item may not see (shown, but not counted).
"""
import collections,contextvars,ctypes,dataclasses,enum,functools,io,itertools,os,random,secrets,sqlite3
import tempfile,threading,time,types,uuid,weakref
os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')  # it would ask the network for a newer version
from concurrent.futures import ThreadPoolExecutor,as_completed
import albumentations as alb,cv2,scipy.stats
from albumentations.pytorch import ToTensorV2
from torch.utils.data import DataLoader as TorchLoader,BatchSampler,ConcatDataset,Dataset,RandomSampler,Sampler,Subset,WeightedRandomSampler
from torch.utils.data import default_collate,get_worker_info
from torchvision.transforms import v2
from fastai.vision.all import *
from fastai.tabular.all import *
from fastai.text.all import *
from fastai.data.load import SkipItemException
import hiding_helper

default_rng = np.random.default_rng
n_train,n_all,bs = 16,20,4
rows_x = torch.sin(torch.arange(n_all*4).float()).view(n_all,4)

def row(i): return rows_x[i].clone()
def target(i): return rows_x[i].sum()
def picture(i): return ((np.arange(12*12*3).reshape(12,12,3)*(i+3))%251).astype('uint8')
def photo(i): return PILImage.create(picture(i))

# --- parts of a training

@dataclasses.dataclass
class Parts:
    "How loaders, model, loss and callbacks of a case are made"
    loaders:object # Function of `num_workers` and a start method for workers (None: the default) that gives `DataLoaders`
    model:object = None # Function that gives the model, with the seed of the run
    loss:object = None
    cbs:tuple = ()
    opt:object = SGD
    metrics:object = None

    def learner(self, dls, cbs):
        model = self.model() if self.model else nn.Linear(4,1)
        loss = self.loss or MSELossFlat()
        return Learner(dls, model, loss_func=loss, opt_func=self.opt, metrics=self.metrics, cbs=[*cbs, *self.cbs], lr=0.01)

def splits(valid=True): return [list(range(n_train)), list(range(n_train, n_all)) if valid else []]

def fastai_parts(tfms=(), x=row, y=target, cls=TfmdDL, valid=True, bs=bs, dl=None, **kw):
    "Loaders of fastai: `tfms` in the pipeline of the inputs, keyword arguments for the loaders"
    parts = {k:kw.pop(k) for k in ('model','loss','cbs','opt','metrics') if k in kw}
    def loaders(num_workers, ctx=None):
        dsets = Datasets(list(range(n_all)), [[x, *tfms], [y]], splits=splits(valid), dl_type=cls)
        return dsets.dataloaders(bs=bs, num_workers=num_workers, shuffle_train=True, drop_last=False, **kw)
    return Parts(loaders, **parts)

def direct_parts(dataset, cls=TfmdDL, **kw):
    "A loader of fastai straight over a dataset"
    parts = {k:kw.pop(k) for k in ('model','loss','cbs') if k in kw}
    def loaders(num_workers, ctx=None):
        ds = dataset()
        return DataLoaders(*(cls(ds, bs=bs, shuffle=o, num_workers=num_workers, **kw) for o in (True,False)))
    return Parts(loaders, **parts)

def torch_parts(dataset, valid=None, model=None, loss=None, cbs=(), train_kw=None, **kw):
    "torch's own loaders; `train_kw` makes arguments of the training loader from its dataset"
    def loaders(num_workers, ctx=None):
        ds = dataset()
        more = dict(num_workers=num_workers, multiprocessing_context=ctx if num_workers else None, **kw)
        train = train_kw(ds) if train_kw else dict(batch_size=bs, shuffle=True)
        return DataLoaders(TorchLoader(ds, **train, **more), TorchLoader(valid() if valid else Rows(n_train, n_all), batch_size=bs, **more))
    return Parts(loaders, model, loss, cbs)

class Rows(Dataset):
    "Rows and their sums"
    def __init__(self, start=0, stop=n_train): self.start,self.stop = start,stop
    def __len__(self): return self.stop-self.start
    def __getitem__(self, i): return self.x(self.start+i),target(self.start+i)
    def x(self, i): return row(i)

class Pictures(Dataset):
    "Pictures as uint8 tensors, through a transform"
    def __init__(self, tfm): self.tfm = tfm
    def __len__(self): return n_train
    def __getitem__(self, i): return self.tfm(tensor(picture(i)).permute(2,0,1).contiguous()).float()/255,target(i)

def pictures(*tfms, **kw): return torch_parts(lambda: Pictures(v2.Compose(tfms)), lambda: Pictures(v2.Identity()), pooled, **kw)

def pooled(): return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12,1))

def before_linear(layer, *args): return lambda: nn.Sequential(layer(*args), nn.Linear(4,1))

def items(f, **kw): return fastai_parts([f], **kw)
def batches(f, **kw): return fastai_parts(after_batch=[f], **kw)

# --- the table of cases

@dataclasses.dataclass
class Case:
    group:int
    name:str
    where:str
    make:object # Function that gives `Parts`
    names:tuple # A warning that names the culprit has one of these

cases = {}

def hides(group, where, *names):
    "Register a case; a warning has to name one of `names`"
    def register(f):
        if f.__name__ in cases: raise ValueError(f"two cases have the name {f.__name__}")
        cases[f.__name__] = Case(group, f.__name__, where, f, names)
        return f
    return register

class Add(Transform):
    "An item or batch transform that adds what `draw` gives"
    def encodes(self, x:Tensor): return x + self.draw()

# --- 1: places that the first version did not find

rng = default_rng(1)

def in_list(x): return x + sum([rng.normal() for _ in range(2)])
def in_generator_expression(x): return x + sum(rng.normal() for _ in range(2))
def _noise(): return rng.normal()
def through_helper(x): return x + _noise()
def with_default(x, rng=default_rng(2)): return x + rng.normal()

@hides(1, 'global generator, in a list comprehension', 'in_list')
def list_comprehension(): return items(in_list)

@hides(1, 'global generator, in a generator expression', 'in_generator_expression')
def generator_expression(): return items(in_generator_expression)

@hides(1, 'global generator, in a helper function', 'through_helper')
def helper_function(): return items(through_helper)

@hides(1, 'default argument', 'with_default')
def default_argument(): return items(with_default)

class Settings:
    def __init__(self, seed): self.rng = default_rng(seed)
settings = Settings(3)
def from_settings(x): return x + settings.rng.normal()

@hides(1, 'global object that holds one', 'from_settings')
def global_object(): return items(from_settings)

class InClass(Add):
    rng = default_rng(4)
    def draw(self): return self.rng.normal()

@hides(1, 'class attribute of a transform', 'InClass')
def class_attribute(): return items(InClass())

class Slotted:
    __slots__ = ('rng',)
    def __init__(self): self.rng = random.Random(5)
    def __call__(self, x): return x + self.rng.random()

@hides(1, 'slots of a callable object', 'Slotted')
def slots(): return items(Slotted())

class SlottedRows(Dataset):
    __slots__ = ('rng',)
    def __init__(self): self.rng = default_rng(6)
    def __len__(self): return n_train
    def __getitem__(self, i): return row(i)+self.rng.normal(),target(i)

@hides(1, 'slots of a dataset', 'SlottedRows')
def dataset_slots(): return torch_parts(SlottedRows)

class ModuleNoise(nn.Module):
    def __init__(self, seed=7):
        super().__init__()
        self.rng = default_rng(seed)
    def forward(self, x): return x + self.rng.normal()

@hides(1, 'item transform that is an nn.Module', 'ModuleNoise')
def module_item(): return items(ModuleNoise())

@hides(1, 'batch transform that is an nn.Module', 'ModuleNoise')
def module_batch(): return batches(ModuleNoise())

class Brighter(nn.Module):
    def __init__(self):
        super().__init__()
        self.rng = default_rng(8)
    def forward(self, x): return x*self.rng.random()

@hides(1, "nn.Module inside torchvision's v2.Compose", 'Brighter', 'Compose', 'Pictures')
def torchvision_compose(): return pictures(v2.ToDtype(torch.float32), Brighter())

class GlobalRows(Rows):
    def x(self, i): return row(i) + rng.normal()

@hides(1, "global generator in a dataset's method", 'GlobalRows')
def dataset_global(): return torch_parts(GlobalRows)

class DirectRows(Rows):
    def __getitem__(self, i): return row(i)+rng.normal(),target(i)

@hides(1, "global generator in a dataset's __getitem__, in a loader of fastai", 'DirectRows')
def dataset_getitem(): return direct_parts(DirectRows)

class NoisyCollate:
    def __init__(self): self.rng = default_rng(9)
    def __call__(self, b):
        x,y = default_collate(b)
        return x+self.rng.normal(size=(len(x),1)).astype('float32'),y

@hides(1, 'collate function that is an object', 'NoisyCollate')
def collate_object(): return torch_parts(Rows, collate_fn=NoisyCollate())

def noisy_collate(b):
    x,y = default_collate(b)
    return x+rng.normal(),y

@hides(1, 'global generator in a collate function', 'noisy_collate')
def collate_function(): return torch_parts(Rows, collate_fn=noisy_collate)

@hides(1, "object as a fastai loader's create_batch", 'NoisyCollate', 'create_batch')
def create_batch_object(): return direct_parts(Rows, create_batch=NoisyCollate())

class NoisyItem:
    def __init__(self): self.rng = random.Random(10)
    def __call__(self, i): return row(i or 0)+self.rng.random(),target(i or 0)

@hides(1, "object as a fastai loader's create_item", 'NoisyItem', 'create_item')
def create_item_object(): return direct_parts(Rows, create_item=NoisyItem())

class OwnOrder(TfmdDL):
    own = random.Random(11)
    def get_idxs(self):
        idxs = super().get_idxs()
        self.own.shuffle(idxs)
        return idxs

@hides(1, 'class attribute of a loader, in get_idxs', 'OwnOrder', 'get_idxs')
def get_idxs_class(): return fastai_parts(cls=OwnOrder)

class HeldOrder(TfmdDL):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.order_rng = default_rng(12)
    def get_idxs(self): return self.order_rng.permutation(super().get_idxs()).tolist()

@hides(1, 'attribute of a loader, in get_idxs', 'HeldOrder', 'get_idxs')
def get_idxs_attribute(): return fastai_parts(cls=HeldOrder)

# --- 2: more of them. In functions and classes

def noisy(f):
    own = default_rng(13)
    @functools.wraps(f)
    def wrapper(x): return f(x) + own.normal()
    return wrapper

@noisy
def decorated(x): return x*2

@hides(2, 'closure of a decorator, under functools.wraps', 'decorated')
def decorator_closure(): return items(decorated)

def add_from(x, source): return x + source.normal()

@hides(2, 'keyword of a functools.partial', 'add_from', 'partial')
def partial_keyword(): return items(partial(add_from, source=default_rng(14)))

class BoundBuiltin(Add):
    def __init__(self):
        super().__init__()
        self.draw = random.Random(15).random

@hides(2, "bound builtin method `Random.random`, kept as attribute", 'BoundBuiltin')
def bound_builtin(): return items(BoundBuiltin())

draw_global = random.Random(16).gauss
def by_bound_method(x): return x + draw_global(0,1)

@hides(2, 'bound method `Random.gauss` as a global', 'by_bound_method')
def bound_method_global(): return items(by_bound_method)

@functools.lru_cache
def cached_rng(): return default_rng(17)
def from_cache(x): return x + cached_rng().normal()

@hides(2, 'inside the cache of an lru_cached function', 'from_cache')
def lru_cached(): return items(from_cache)

class ByProperty(Add):
    def __init__(self):
        super().__init__()
        self._hidden = [default_rng(18)]
    @property
    def rng(self): return self._hidden[0]
    def draw(self): return self.rng.normal()

@hides(2, 'behind a property', 'ByProperty')
def by_property(): return items(ByProperty())

class PropertyGlobal(Add):
    @property
    def draw(self): return lambda: rng.normal()

@hides(2, "global generator in a lambda that a property gives", 'PropertyGlobal')
def property_lambda(): return items(PropertyGlobal())

class ByStatic(Add):
    @staticmethod
    def draw(): return rng.normal()

@hides(2, 'global generator in a staticmethod', 'ByStatic')
def static_method(): return items(ByStatic())

class ByClassMethod(Add):
    _rngs = {'noise':default_rng(19)}
    @classmethod
    def draw(cls): return cls._rngs['noise'].normal()

@hides(2, 'dict of the class, in a classmethod', 'ByClassMethod')
def class_method(): return items(ByClassMethod())

class Lazy(Add):
    rng = None
    def draw(self):
        if self.rng is None: self.rng = default_rng(20)
        return self.rng.normal()

@hides(2, 'made when first used, in whichever process that is', 'Lazy')
def lazily_made(): return items(Lazy())

class CachedProperty(Rows):
    @functools.cached_property
    def rng(self): return default_rng(20)
    def x(self, i): return row(i) + self.rng.normal()

@hides(2, 'cached_property of a dataset, made when first used', 'CachedProperty')
def cached_property_rng(): return torch_parts(CachedProperty)

def with_attribute(x): return x + with_attribute.rng.normal()
with_attribute.rng = default_rng(22)

def with_keyword_default(x, *, rng=default_rng(80)): return x + rng.normal()

@hides(2, 'default of an argument that is keyword only', 'with_keyword_default')
def keyword_default(): return items(with_keyword_default)

@hides(2, 'attribute of the function itself', 'with_attribute')
def function_attribute(): return items(with_attribute)

def import_inside(x):
    from hiding_helper import helper_rng
    return x + helper_rng.normal()

@hides(2, "helper module of the user's, imported inside the function", 'import_inside')
def imported_inside(): return items(import_inside)

def module_attribute(x): return x + hiding_helper.helper_noise()

@hides(2, 'helper module, reached as attribute of the module', 'module_attribute')
def helper_module(): return items(module_attribute)

class Derived(hiding_helper.HelperBase): pass

@hides(2, "module of the base class that has the code", 'Derived', 'HelperBase')
def base_class_module(): return items(Derived())

nested = lambda x: (lambda y: (lambda z: z + rng.normal())(y))(x)

@hides(2, 'global generator in a lambda in a lambda in a lambda', 'lambda', 'nested')
def nested_lambda(): return items(nested)

def by_name(x): return x + globals()['r'+'ng'].normal()

@hides(2, 'looked up by name in globals()', 'by_name')
def looked_up_by_name(): return items(by_name)

class Meta(type):
    rng = default_rng(23)
class Dice(metaclass=Meta):
    @classmethod
    def roll(cls): return cls.rng.normal()
def by_dice(x): return x + Dice.roll()

@hides(2, 'attribute of a metaclass', 'by_dice')
def metaclass_attribute(): return items(by_dice)

class PerObject:
    "Descriptor that keeps one generator for each object"
    def __init__(self): self.rngs = weakref.WeakKeyDictionary()
    def __get__(self, o, cls): return self if o is None else self.rngs.setdefault(o, default_rng(24))
class Described(Rows):
    rng = PerObject()
    def x(self, i): return row(i) + self.rng.normal()

@hides(2, 'WeakKeyDictionary of a descriptor', 'Described')
def descriptor(): return torch_parts(Described)

@functools.singledispatch
def jitter(x): return x
@jitter.register
def _(x:torch.Tensor): return x + rng.normal()
def dispatched(x): return jitter(x)

@hides(2, 'global generator in a method of functools.singledispatch', 'dispatched', 'jitter')
def single_dispatch(): return items(dispatched)

class Engine:
    def __init__(self): self.rng = default_rng(25)
    def collate(self, b):
        x,y = default_collate(b)
        return x+self.rng.normal(),y

@hides(2, 'object whose bound method is the collate function', 'collate', 'Engine')
def bound_method(): return torch_parts(Rows, collate_fn=Engine().collate)

class Proxy(GetAttr):
    _default = 'inner'
    def __init__(self): self.inner = Engine()
class ByProxy(Add):
    def __init__(self):
        super().__init__()
        self.engine = Proxy()
    def draw(self): return self.engine.rng.normal()

@hides(2, 'behind __getattr__ of a proxy', 'ByProxy')
def proxied(): return items(ByProxy())

class AroundAll(Rows):
    def __getattribute__(self, name):
        if name=='noise': return rng.normal()
        return super().__getattribute__(name)
    def x(self, i): return row(i) + self.noise

@hides(2, 'global generator in __getattribute__', 'AroundAll')
def getattribute(): return torch_parts(AroundAll)

# --- 2: in containers

class Held(Add):
    "Holds `o`; `get` gives the generator in it"
    def __init__(self, o, get):
        super().__init__()
        self.o,self.get = o,get
    def draw(self): return self.get(self.o).normal()

Pair = collections.namedtuple('Pair', 'scale rng')

@dataclasses.dataclass(frozen=True, slots=True)
class Config:
    scale:float = 1.
    rng:object = dataclasses.field(default_factory=lambda: default_rng(26))

class Mode(enum.Enum): noise = Settings(27)

class Keyed:
    "As key of a dict"
    def __hash__(self): return 7

def object_array(*seeds):
    res = np.empty(len(seeds), dtype=object)
    res[:] = [default_rng(s) for s in seeds]
    return res

def get_rng(o): return o.rng
def get_last(o): return o[-1]
def get_only_value(o): return next(iter(o.values()))
def get_only_key(o): return next(iter(o))
def get_by_seed(o): return next(x.rng for x in o if x.seed==2)
def get_end(o):
    while hasattr(o, 'next'): o = o.next
    return o.rng

class Seeded:
    "Hashed by its address, so that a set has it in another order in each process"
    def __init__(self, seed): self.seed,self.rng = seed,default_rng(seed)

class Node:
    def __init__(self, next): self.next = next

def chain(n):
    o = Settings(28)
    for _ in range(n): o = Node(o)
    return o

class Leaf:
    def __init__(self, i): self.i,self.name,self.tags = i,f'leaf {i}',[i]

@hides(2, 'field of a namedtuple', 'Held')
def namedtuple_field(): return items(Held(Pair(1, default_rng(29)), get_rng))

@hides(2, 'field of a frozen dataclass with slots', 'Held')
def dataclass_field(): return items(Held(Config(), get_rng))

@hides(2, 'deque', 'Held')
def in_deque(): return items(Held(collections.deque([default_rng(30)]), get_last))

@hides(2, 'dict value under a key that is an object', 'Held')
def dict_value(): return items(Held({Keyed():default_rng(31)}, get_only_value))

@hides(2, 'key of a dict', 'Held')
def dict_key(): return items(Held({default_rng(32):'noise'}, get_only_key))

@hides(2, 'array of objects', 'Held')
def in_object_array(): return items(Held(object_array(33,34), get_last))

@hides(2, 'in a set with others, whose order is that of their addresses', 'Seeded')
def in_set(): return items(Held({Seeded(i) for i in range(8)}, get_by_seed))

@hides(2, 'frozenset of bare generators, all of which draw', 'Held', 'AllOfSet')
def in_frozenset(): return items(AllOfSet())

class AllOfSet(Add):
    def __init__(self):
        super().__init__()
        self.rngs = frozenset(default_rng(i) for i in range(3))
    def draw(self): return max(o.normal() for o in self.rngs)

@hides(2, 'end of a list of 5,000 objects', 'Held')
def in_long_list(): return items(Held([*map(Leaf, range(5000)), default_rng(35)], get_last))

@hides(2, 'end of a chain of 100 objects', 'Held')
def in_deep_chain(): return items(Held(chain(100), get_end))

@hides(2, 'SimpleNamespace in a MappingProxyType', 'Held', 'InProxy')
def mapping_proxy(): return items(InProxy())

table_of = types.MappingProxyType({'noise':types.SimpleNamespace(rng=default_rng(36))})
class InProxy(Add):
    def draw(self): return table_of['noise'].rng.normal()

class InEnum(Add):
    def draw(self): return Mode.noise.value.rng.normal()

@hides(2, 'value of an Enum member', 'InEnum')
def enum_value(): return items(InEnum())

class ByWeakref(Add):
    def __init__(self):
        super().__init__()
        self.ref = weakref.ref(settings)
    def draw(self): return self.ref().rng.normal()

@hides(2, 'behind a weakref', 'ByWeakref')
def weak_reference(): return items(ByWeakref())

local = threading.local()
def thread_local(x):
    if not hasattr(local, 'rng'): local.rng = default_rng(37)
    return x + local.rng.normal()

@hides(2, 'threading.local', 'thread_local')
def in_thread_local(): return items(thread_local)

context_rng = contextvars.ContextVar('rng', default=default_rng(38))
def from_context(x): return x + context_rng.get().normal()

@hides(2, 'ContextVar', 'from_context')
def context_variable(): return items(from_context)

class RowsOfSubclass(Rows):
    def __init__(self, *args):
        super().__init__(*args)
        self.data = torch.zeros(3).as_subclass(TensorBase)
        self.data.rng = default_rng(39)
    def x(self, i): return row(i) + self.data.rng.normal()

@hides(2, 'attribute of a tensor', 'RowsOfSubclass')
def tensor_attribute(): return torch_parts(RowsOfSubclass)

class Framed(Rows):
    def __init__(self, *args):
        super().__init__(*args)
        self.df = pd.DataFrame(dict(a=[1,2]))
        self.df.attrs['rng'] = default_rng(40)
    def x(self, i): return row(i) + self.df.attrs['rng'].normal()

@hides(2, 'attrs of a DataFrame', 'Framed')
def frame_attrs(): return torch_parts(Framed)

# --- 2: kinds of generators

class Kept(Add):
    "Keeps `rng` and draws by the function `by` of it"
    def __init__(self, rng, by):
        super().__init__()
        self.rng,self.by = rng,by
    def draw(self): return self.by(self.rng)

class Loaded(random.Random):
    "Loaded dice: a subclass of `random.Random` with a state of its own beside it"
    def __init__(self, seed):
        super().__init__(seed)
        self.faces = [1,2,3]
    def random(self): return super().random()*self.faces[-1]

def draw_random(o): return o.random()
def draw_normal(o): return o.normal()
def draw_randn(o): return o.randn()
def draw_bits(o): return np.random.Generator(o).normal()
def draw_torch(o): return torch.randn(4, generator=o)
def draw_frozen(o): return float(o.rvs())
def draw_sample(o): return float(rows_frame.a.sample(1, random_state=o).iloc[0])
rows_frame = pd.DataFrame(dict(a=np.arange(99.)))

@hides(2, 'bare BitGenerator', 'Kept')
def bit_generator(): return items(Kept(np.random.PCG64(41), draw_bits))

@hides(2, 'Generators over MT19937, Philox and SFC64', 'Kept', 'ManyKinds')
def other_bit_generators(): return items(ManyKinds())

class ManyKinds(Add):
    def __init__(self):
        super().__init__()
        self.rngs = [np.random.Generator(o(42)) for o in (np.random.MT19937, np.random.Philox, np.random.SFC64)]
    def draw(self): return sum(o.normal() for o in self.rngs)

@hides(2, "RandomState", 'Kept')
def random_state(): return items(Kept(np.random.RandomState(43), draw_randn))

@hides(2, "numpy's global one, kept as `np.random.mtrand._rand`", 'Kept')
def numpy_global(): return items(Kept(np.random.mtrand._rand, draw_randn))

@hides(2, "python's global one, kept as `random._inst`", 'Kept')
def python_global(): return items(Kept(random._inst, draw_random))

@hides(2, 'subclass of random.Random', 'Kept')
def random_subclass(): return items(Kept(Loaded(44), draw_random))

@hides(2, 'torch.Generator', 'Kept')
def torch_generator(): return items(Kept(torch.Generator().manual_seed(45), draw_torch))

@hides(2, "inside a frozen distribution of scipy's", 'Kept')
def scipy_frozen(): return items(Kept(frozen_norm(), draw_frozen))

def frozen_norm():
    res = scipy.stats.norm(0, 1)
    res.random_state = default_rng(46)
    return res

@hides(2, "given to pandas' sample", 'Kept')
def pandas_sample(): return items(Kept(default_rng(47), draw_sample))

# --- 2: places of loaders

class Jitter(Add):
    "Draws from the generator that it is given"
    def __init__(self, rng):
        super().__init__()
        self.rng = rng
    def draw(self): return self.rng.normal()

class Scale(Transform):
    def __init__(self, rng):
        super().__init__()
        self.rng = rng
    def encodes(self, x:Tensor): return x*self.rng.random()

def shared_parts():
    own = default_rng(48)
    return fastai_parts([Jitter(own), Scale(own)])

@hides(2, 'shared by two item transforms', 'Jitter', 'Scale')
def shared_by_items(): return shared_parts()

@hides(2, 'shared by an item transform and a batch transform', 'Jitter', 'Scale')
def shared_item_batch():
    own = default_rng(49)
    return fastai_parts([Jitter(own)], after_batch=[Scale(own)])

@hides(2, 'the same transform as item and as batch transform', 'Jitter')
def same_item_batch():
    tfm = Jitter(default_rng(50))
    return fastai_parts([tfm], after_batch=[tfm])

@hides(2, 'global generator in a batch transform that is a function', 'in_list')
def batch_function(): return batches(in_list)

@hides(2, 'after_item', 'Jitter')
def after_item(): return fastai_parts(after_item=[Jitter(default_rng(51))])

class BeforeBatch:
    def __init__(self): self.rng = default_rng(52)
    def __call__(self, b): return [(x+self.rng.normal(),y) for x,y in b]

@hides(2, 'object as before_batch', 'BeforeBatch', 'before_batch')
def before_batch(): return direct_parts(Rows, before_batch=BeforeBatch())

class Shuffle:
    def __init__(self): self.rng = random.Random(53)
    def __call__(self, idxs): return self.rng.sample(idxs, len(idxs))

@hides(2, "object as a fastai loader's shuffle_fn", 'Shuffle', 'shuffle_fn')
def shuffle_function(): return direct_parts(Rows, shuffle_fn=Shuffle())

class TrainOnly(InClass):
    split_idx = 0
    rng = default_rng(81)

@hides(2, 'transform for the training items only, by split_idx', 'TrainOnly')
def train_only(): return fastai_parts(after_item=[TrainOnly()])

class Remake(Callback):
    "Makes the generator of `o` anew in each epoch"
    def __init__(self, o): self.o = o
    def before_epoch(self): self.o.rng = default_rng(self.epoch)

@hides(2, 'batch transform whose generator a callback makes anew in each epoch', 'Jitter')
def remade_batch():
    tfm = Jitter(default_rng(82))
    return fastai_parts(after_batch=[tfm], cbs=(Remake(tfm),))

class EpochRows(Rows):
    rng = default_rng(83)
    def x(self, i): return row(i) + self.rng.normal()

@hides(2, 'dataset whose generator a callback makes anew in each epoch', 'EpochRows')
def remade_dataset():
    ds = EpochRows()
    return torch_parts(lambda: ds, cbs=(Remake(ds),))

class NoisyRow:
    def __init__(self): self.rng = default_rng(54)
    def __call__(self, i): return row(i) + self.rng.normal()

class NoisyTarget:
    def __init__(self): self.rng = default_rng(55)
    def __call__(self, i): return target(i) + self.rng.normal()

def block_parts(get_x, get_y):
    def loaders(num_workers, ctx=None):
        block = DataBlock((TransformBlock,TransformBlock), get_x=get_x, get_y=get_y, splitter=IndexSplitter(list(range(n_train, n_all))))
        return block.dataloaders(list(range(n_all)), bs=bs, num_workers=num_workers)
    return Parts(loaders)

@hides(2, 'callable object as get_x', 'NoisyRow')
def get_x(): return block_parts(NoisyRow(), target)

@hides(2, 'callable object as get_y', 'NoisyTarget')
def get_y(): return block_parts(row, NoisyTarget())

@hides(2, 'generator of a sampler in a batch_sampler of torch', 'RandomSampler', 'BatchSampler', 'sampler')
def batch_sampler():
    def train_kw(ds): return dict(batch_sampler=BatchSampler(RandomSampler(ds, generator=torch.Generator().manual_seed(56)), bs, False))
    return torch_parts(Rows, train_kw=train_kw)

@hides(2, "generator= of torch's loader", 'RandomSampler', 'sampler', 'generator')
def loader_generator():
    def train_kw(ds): return dict(batch_size=bs, shuffle=True, generator=torch.Generator().manual_seed(57))
    return torch_parts(Rows, train_kw=train_kw)

@hides(2, 'generator of a WeightedRandomSampler', 'WeightedRandomSampler', 'sampler')
def weighted_sampler():
    def train_kw(ds):
        weights,own = torch.arange(1.,n_train+1),torch.Generator().manual_seed(58)
        return dict(batch_size=bs, sampler=WeightedRandomSampler(weights, n_train, generator=own))
    return torch_parts(Rows, train_kw=train_kw)

class OwnSampler(Sampler):
    def __init__(self, n): self.n,self.rng = n,default_rng(59)
    def __len__(self): return self.n
    def __iter__(self): return iter(self.rng.permutation(self.n).tolist())

@hides(2, "a sampler of the user's own", 'OwnSampler', 'sampler')
def own_sampler(): return torch_parts(Rows, train_kw=lambda ds: dict(batch_size=bs, sampler=OwnSampler(len(ds))))

worker_rng = default_rng(60)
def init_worker(i):
    global worker_rng
    worker_rng = default_rng(61+i)

class WorkerRows(Rows):
    def x(self, i): return row(i) + worker_rng.normal()

@hides(2, 'global that worker_init_fn replaces in each worker', 'WorkerRows', 'init_worker')
def worker_init(): return torch_parts(WorkerRows, worker_init_fn=init_worker)

class InitRows(Rows):
    rng = default_rng(62)
    def x(self, i): return row(i) + self.rng.normal()

def init_dataset(i):
    "As it is often advised: each worker another seed"
    get_worker_info().dataset.rng = default_rng(63+i)

@hides(2, "attribute that worker_init_fn sets on the worker's dataset", 'InitRows', 'init_dataset')
def worker_init_dataset(): return torch_parts(InitRows, worker_init_fn=init_dataset)

class HookNoise:
    def __init__(self): self.rng = default_rng(64)
    def __call__(self, module, args): return (args[0] + self.rng.normal(),)

def hooked():
    res = nn.Identity()
    res.register_forward_pre_hook(HookNoise())
    return res

@hides(2, 'forward hook of a batch transform that is an nn.Module', 'Identity', 'HookNoise')
def module_hook(): return batches(hooked())

class Wrapped(Dataset):
    "A dataset around another one"
    def __init__(self, ds): self.ds = ds
    def __len__(self): return len(self.ds)
    def __getitem__(self, i): return self.ds[i]

@hides(2, 'dataset in a Subset in a ConcatDataset in a dataset', 'GlobalRows', 'Wrapped', 'ConcatDataset')
def nested_datasets():
    def ds(): return Wrapped(ConcatDataset([Subset(GlobalRows(), range(8)), GlobalRows(8, 16)]))
    return torch_parts(ds)

@hides(2, 'replay buffer: other items, chosen by a generator, are mixed in', 'MixRows')
def mixed_rows(): return torch_parts(MixRows)

class MixRows(Rows):
    def __init__(self, *args):
        super().__init__(*args)
        self.pick = partial(random.Random(65).choice, range(n_train))
    def x(self, i): return (row(i) + row(self.pick()))/2

# --- 2: in the step

step_rng = default_rng(66)

class NoisyLayer(nn.Module):
    def __init__(self, rng):
        super().__init__()
        self.rng = rng
    def forward(self, x): return x + self.rng.normal()

class TorchNoise(nn.Module):
    def __init__(self):
        super().__init__()
        self.g = torch.Generator().manual_seed(67)
    def forward(self, x): return x*torch.bernoulli(torch.full_like(x, 0.5), generator=self.g)

class GlobalLayer(nn.Module):
    def forward(self, x): return x + sum([step_rng.normal() for _ in range(2)])

class NoisyLoss(nn.Module):
    def __init__(self):
        super().__init__()
        self.rng = default_rng(68)
    def forward(self, pred, y): return F.mse_loss(pred.flatten(), y.flatten().float()*self.rng.random())
kept_loss = NoisyLoss()

def loss_with_rng(pred, y, source): return F.mse_loss(pred.flatten(), y.flatten().float()*source.random())
partial_loss = partial(loss_with_rng, source=default_rng(69))

class BatchNoise(Callback):
    order = 30
    def __init__(self): self.rng = step_rng
    def before_batch(self): self.learn.xb = (self.xb[0] + self.rng.normal(),)

class GradNoise(Callback):
    own = default_rng(70)
    def before_step(self):
        for p in self.model.parameters(): p.grad += self.own.normal()

def noisy_step(p, lr, source, **kwargs): p.data.add_(source.normal()*lr)
step_with_rng = partial(noisy_step, source=default_rng(71))
def noisy_sgd(params, lr=0.01, **kwargs): return Optimizer(params, [sgd_step, step_with_rng], lr=lr)

grad_rng = default_rng(72)
def with_hook():
    m = nn.Linear(4,1)
    m.weight.register_hook(lambda g: g + grad_rng.normal())
    return m

output_rng = default_rng(73)
def with_forward_hook():
    m = nn.Linear(4,1)
    m.register_forward_hook(lambda m,args,out: out + output_rng.normal())
    return m

metric_rng = default_rng(74)
def noisy_metric(pred, y): return (pred.flatten()-y.flatten()).abs().mean() + metric_rng.normal()

@hides(2, 'attribute of a layer', 'NoisyLayer')
def in_layer(): return fastai_parts(model=before_linear(NoisyLayer, step_rng))

@hides(2, 'torch.Generator of a layer', 'TorchNoise')
def in_layer_torch(): return fastai_parts(model=before_linear(TorchNoise))

@hides(2, 'global generator in the forward of a layer', 'GlobalLayer')
def in_layer_global(): return fastai_parts(model=before_linear(GlobalLayer))

class LazyLayer(nn.Module):
    rng = None
    def forward(self, x):
        if self.rng is None: self.rng = default_rng(84)
        return x + self.rng.normal()

@hides(2, 'layer that makes its generator when first used', 'LazyLayer')
def in_layer_lazy(): return fastai_parts(model=before_linear(LazyLayer))

@hides(2, 'shared by an item transform and a layer', 'Jitter', 'NoisyLayer')
def shared_item_layer():
    own = default_rng(85)
    return fastai_parts([Jitter(own)], model=before_linear(NoisyLayer, own))

@hides(2, 'shared by a batch transform and a loss', 'Jitter', 'loss_with_rng')
def shared_batch_loss():
    own = default_rng(86)
    return fastai_parts(after_batch=[Jitter(own)], loss=partial(loss_with_rng, source=own))

class HookIn(Callback):
    "Registers a hook that draws while it trains"
    own = default_rng(87)
    def before_fit(self): self.hook = self.model.register_forward_pre_hook(lambda m,args: (args[0] + self.own.normal(),))
    def after_fit(self): self.hook.remove()

@hides(2, 'hook that a callback registers in before_fit', 'HookIn', 'hook')
def hook_by_callback(): return fastai_parts(cbs=(HookIn(),))

@hides(2, 'global generator in a loss that is a lambda', 'lambda')
def in_loss_lambda(): return fastai_parts(loss=lambda pred,y: F.mse_loss(pred.flatten(), y.flatten()*step_rng.random()))

@hides(2, 'loss that is a module, made once for several learners', 'NoisyLoss')
def in_loss(): return fastai_parts(loss=kept_loss)

@hides(2, 'keyword of a loss that is a partial', 'loss_with_rng')
def in_loss_partial(): return fastai_parts(loss=partial_loss)

@hides(2, 'callback, in before_batch', 'BatchNoise')
def in_callback(): return fastai_parts(cbs=(BatchNoise(),))

@hides(2, 'class attribute of a callback, in before_step', 'GradNoise')
def in_before_step(): return fastai_parts(cbs=(GradNoise(),))

@hides(2, 'step function of the optimizer', 'noisy_step', 'Optimizer')
def in_optimizer(): return fastai_parts(opt=noisy_sgd)

@hides(2, 'hook on the gradient of a parameter', 'hook', 'Linear')
def gradient_hook(): return fastai_parts(model=with_hook)

@hides(2, 'forward hook of a layer', 'hook', 'Linear')
def forward_hook(): return fastai_parts(model=with_forward_hook)

@hides(2, 'global generator in a metric', 'noisy_metric')
def in_metric(): return fastai_parts(metrics=noisy_metric)

# --- 3: what no walk can find

libc = ctypes.CDLL(None)
libc.drand48.restype = ctypes.c_double

def from_c(x): return x + libc.drand48()
def from_sqlite(x): return x + sqlite3.connect(':memory:').execute('select random()').fetchone()[0]/2**64
def from_opencv(x):
    a = np.zeros((1,4), 'float32')
    cv2.randn(a, 0, 1)
    return x + tensor(a[0])
def from_clock(x): return x + time.perf_counter_ns()%997/997
def from_urandom(x): return x + os.urandom(1)[0]/256 + os.urandom(1)[0]
def from_secrets(x): return x + secrets.randbelow(2**30)/2**30
def from_uuid(x): return x + uuid.uuid4().int/2**128
system_random = random.SystemRandom()
def from_system(x): return x + system_random.random()
def from_fresh(x): return x + default_rng().normal()
def reseeds_numpy(x):
    np.random.seed()
    return x + np.random.randn()
def reseeds_torch(x):
    torch.seed()
    return x + torch.randn(4)

noises = default_rng(75).normal(size=5000).tolist()
def moving():
    own = default_rng(76)
    while True: yield own.normal()

class NextOf(Add):
    "The next value of an iterator"
    def __init__(self, values):
        super().__init__()
        self.values = values
    def draw(self): return next(self.values)

class Counter(Add):
    n = 0
    def draw(self):
        self.n += 1
        return self.n/10

class FilePlace(Add):
    "Reads on in a file that it holds"
    def __init__(self):
        super().__init__()
        self.f = io.BytesIO(default_rng(77).bytes(1<<16))
    def draw(self): return self.f.read(1)[0]/256 + self.f.read(1)[0]

class OpenFile(Rows):
    "Reads on in a file of the file system, opened by the dataset"
    def __init__(self):
        super().__init__()
        self.f = tempfile.TemporaryFile()
        self.f.write(default_rng(78).bytes(1<<16))
        self.f.seek(0)
    def x(self, i): return row(i) + self.f.read(1)[0]/256 + self.f.read(1)[0]

def slow(i):
    time.sleep(os.urandom(1)[0]/256/200)
    return i
def from_pool(x):
    with ThreadPoolExecutor(8) as pool: order = [o.result() for o in as_completed([pool.submit(slow, i) for i in range(8)])]
    return x + sum(o*8**-k for k,o in enumerate(order))

class UrandomRows(Rows):
    def x(self, i): return row(i) + int.from_bytes(os.urandom(4), 'little')/2**32

class CountingRows(Rows):
    n = 0
    def __getitem__(self, i):
        self.n += 1
        return row(i)+self.n,target(i)

class CountingCollate:
    n = 0
    def __call__(self, b):
        self.n += 1
        x,y = default_collate(b)
        return x+self.n,y

def urandom_collate(b):
    x,y = default_collate(b)
    return x+int.from_bytes(os.urandom(4), 'little')/2**32,y

class Inplace(Rows):
    "Hands out its own storage, which a transform then changes in place"
    def __init__(self, *args):
        super().__init__(*args)
        self.data = rows_x.clone()
    def x(self, i): return self.data[i]
def add_in_place(x): return x.add_(1)

class Previous(Rows):
    "Mixes in the index of the item before"
    last = 0
    def x(self, i):
        was,self.last = self.last,i+1
        return row(i) + was

@hides(3, "a generator in C: libc's drand48", 'from_c')
def c_generator(): return items(from_c)

@hides(3, "a generator in C: SQLite's random()", 'from_sqlite')
def sqlite_generator(): return items(from_sqlite)

@hides(3, "a generator in C++: OpenCV's randn", 'from_opencv')
def opencv_generator(): return items(from_opencv)

@hides(3, 'iterator over a list', 'NextOf')
def iterator(): return items(NextOf(iter(noises)))

@hides(3, 'itertools.cycle', 'NextOf')
def cycle(): return items(NextOf(itertools.cycle(noises)))

@hides(3, 'itertools.cycle, in a batch transform', 'NextOf')
def cycle_batch(): return batches(NextOf(itertools.cycle(noises)))

@hides(3, 'Python generator that moves on', 'NextOf')
def python_generator(): return items(NextOf(moving()))

@hides(3, 'clock', 'from_clock')
def clock(): return items(from_clock)

@hides(3, 'clock, in a batch transform', 'from_clock')
def clock_batch(): return batches(from_clock)

@hides(3, 'os.urandom', 'from_urandom')
def urandom(): return items(from_urandom)

@hides(3, 'os.urandom, in a dataset of torch', 'UrandomRows')
def urandom_dataset(): return torch_parts(UrandomRows)

@hides(3, 'os.urandom, in a collate function of torch', 'urandom_collate')
def urandom_in_collate(): return torch_parts(Rows, collate_fn=urandom_collate)

@hides(3, 'os.urandom, in a create_batch', 'urandom_collate', 'create_batch')
def urandom_create_batch(): return direct_parts(Rows, create_batch=urandom_collate)

@hides(3, 'secrets', 'from_secrets')
def from_module_secrets(): return items(from_secrets)

@hides(3, 'uuid4', 'from_uuid')
def from_uuid4(): return items(from_uuid)

@hides(3, 'SystemRandom', 'from_system')
def from_system_random(): return items(from_system)

@hides(3, 'default_rng() made anew at each call', 'from_fresh')
def fresh_generator(): return items(from_fresh)

@hides(3, "np.random.seed() without a seed", 'reseeds_numpy')
def numpy_reseeded(): return items(reseeds_numpy)

@hides(3, "torch.seed()", 'reseeds_torch')
def torch_reseeded(): return items(reseeds_torch)

@hides(3, 'counter of an item transform', 'Counter')
def counter(): return items(Counter())

@hides(3, 'counter of a transform in after_item', 'Counter')
def counter_after_item(): return fastai_parts(after_item=[Counter()])

@hides(3, 'counter of a batch transform', 'Counter')
def counter_batch(): return batches(Counter())

@hides(3, 'counter of a dataset of torch', 'CountingRows')
def counter_dataset(): return torch_parts(CountingRows)

@hides(3, 'counter of a dataset, in a loader of fastai', 'CountingRows')
def counter_dataset_fastai(): return direct_parts(CountingRows)

@hides(3, 'counter of a collate function', 'CountingCollate')
def counter_collate(): return torch_parts(Rows, collate_fn=CountingCollate())

@hides(3, 'second of three item transforms', 'Counter')
def counter_between(): return fastai_parts([in_list, Counter(), through_helper])

@hides(3, 'position in a file in memory', 'FilePlace')
def file_position(): return items(FilePlace())

@hides(3, 'position in an open file', 'OpenFile')
def file_handle(): return torch_parts(OpenFile)

@hides(3, 'pool that finishes in any order', 'from_pool')
def unordered_pool(): return items(from_pool)

@hides(3, "transform that changes the dataset's own tensor in place", 'add_in_place', 'Inplace')
def changed_in_place(): return direct_parts(Inplace, after_item=[add_in_place])

@hides(3, 'what the item before was', 'Previous')
def previous_item(): return torch_parts(Previous)

# --- 4: no false alarm

def photo_parts(item=(), batch=(), **kw):
    return fastai_parts(x=photo, after_item=[*item, ToTensor()], after_batch=[IntToFloatTensor(), *batch], model=pooled, **kw)

@hides(4, 'global generators only')
def global_generators(): return items(all_globals)
def all_globals(x): return x + random.random() + np.random.rand() + torch.rand(4)

@hides(4, 'nothing random')
def nothing_random(): return fastai_parts()

@hides(4, 'RandomResizedCrop')
def fastai_resized_crop(): return photo_parts([RandomResizedCrop(8, min_scale=0.3)])

@hides(4, 'RandomCrop, FlipItem, DihedralItem')
def fastai_item_transforms(): return photo_parts([RandomCrop(8), FlipItem(), DihedralItem()])

@hides(4, 'Resize by crop and by padding, RatioResize, CropPad')
def fastai_resizes(): return photo_parts([Resize(10), RatioResize(10), CropPad(9), Resize(8, method='pad', pad_mode='zeros')])

@hides(4, 'aug_transforms')
def fastai_aug_transforms(): return photo_parts(batch=aug_transforms(size=8, min_scale=0.5))

@hides(4, 'Flip, Dihedral, Rotate, Zoom, Warp, RandomResizedCropGPU')
def fastai_affine(): return photo_parts(batch=[Flip(), Dihedral(), Rotate(p=1.), Zoom(p=1.), Warp(p=1.), RandomResizedCropGPU(8)])

@hides(4, 'Brightness, Contrast, Saturation, Hue, RandomErasing')
def fastai_lighting(): return photo_parts(batch=[*(o(p=1.) for o in (Brightness,Contrast,Saturation,Hue)), RandomErasing(p=1., sh=0.3)])

@hides(4, 'points, flipped')
def fastai_points():
    def corner(i): return TensorPoint.create([[i%9,3.]], img_size=(12,12))
    return photo_parts(y=corner, batch=[PointScaler(), Flip()], loss=point_loss)
def point_loss(pred, y): return F.mse_loss(pred.expand(len(pred),2), y.reshape(len(pred),2).as_subclass(torch.Tensor))

@hides(4, 'MixUp, as a callback')
def fastai_mixup(): return photo_parts(cbs=(MixUp(0.4),), loss=nn.MSELoss())

def table(): return pd.DataFrame(dict(a=[np.nan,*np.sin(np.arange(n_all-2)),np.nan], b=list('abcd')*5, c=np.cos(np.arange(n_all))))

def table_parts(**kw):
    def loaders(num_workers, ctx=None):
        procs = [Categorify,FillMissing,Normalize]
        to = TabularPandas(table(), procs, ['b'], ['a'], 'c', y_block=RegressionBlock(), splits=splits())
        return to.dataloaders(bs=bs, num_workers=num_workers, **kw)
    def model(): return TabularModel([(5,2),(3,2)], 1, 1, [4], ps=0.2)
    return Parts(loaders, model)

@hides(4, 'tabular: Categorify, FillMissing, Normalize')
def fastai_tabular(): return table_parts()

@hides(4, 'tabular, weighted')
def fastai_tabular_weighted(): return table_parts(dl_kwargs=[dict(wgts=np.arange(1,n_train+1)),{}])

vocab = ['xxunk','xxpad',*'abcdefgh']
def words(i): return [vocab[2+(i*k)%8] for k in range(1, 4+i%5)]

class BagOfWords(nn.Module):
    def __init__(self, flat=True):
        super().__init__()
        self.emb,self.lin,self.flat = nn.Embedding(len(vocab),4),nn.Linear(4, 1 if flat else len(vocab)),flat
    def reset(self): pass
    def forward(self, x): return self.lin(self.emb(x).mean(1) if self.flat else self.emb(x))

@hides(4, 'text: Numericalize, padded, sorted by length')
def fastai_text():
    return fastai_parts([Numericalize(vocab)], x=words, cls=SortedDL, before_batch=[pad_input], model=BagOfWords)

@hides(4, 'language model')
def fastai_language_model():
    def loaders(num_workers, ctx=None):
        texts = [words(i)*3 for i in range(n_all)]
        dsets = Datasets(texts, [[Numericalize(vocab)]], splits=splits(), dl_type=LMDataLoader)
        return dsets.dataloaders(bs=2, seq_len=8, num_workers=num_workers)
    return Parts(loaders, lambda: BagOfWords(False), CrossEntropyLossFlat())

def vision_v2(*tfms): return pictures(*tfms, v2.Resize((8,8), antialias=True))

@hides(4, 'torchvision v2: geometry')
def torchvision_geometry():
    return vision_v2(v2.RandomResizedCrop(9, antialias=True), v2.RandomCrop(8, padding=1), v2.RandomHorizontalFlip(),
                     v2.RandomVerticalFlip(), v2.RandomRotation(30), v2.RandomAffine(20, (0.1,0.1), (0.8,1.2), 5), v2.RandomPerspective(),
                     v2.ElasticTransform(5., sigma=0.5), v2.RandomZoomOut(p=1.), v2.RandomShortestSize(9))

@hides(4, 'torchvision v2: colour')
def torchvision_colour():
    return vision_v2(v2.ColorJitter(0.4,0.4,0.4,0.1), v2.RandomPhotometricDistort(), v2.RandomGrayscale(), v2.RandomInvert(),
                     v2.RandomPosterize(4), v2.RandomSolarize(128), v2.RandomAdjustSharpness(2), v2.RandomAutocontrast(),
                     v2.RandomEqualize(), v2.RandomChannelPermutation(), v2.GaussianBlur(3), v2.RandomErasing(p=1.))

@hides(4, 'torchvision v2: AutoAugment, RandAugment, TrivialAugmentWide, AugMix')
def torchvision_auto(): return vision_v2(v2.AutoAugment(), v2.RandAugment(), v2.TrivialAugmentWide(), v2.AugMix())

@hides(4, 'torchvision v2: RandomApply, RandomChoice, RandomOrder, GaussianNoise')
def torchvision_containers():
    return vision_v2(v2.RandomApply([v2.RandomHorizontalFlip(1.)]), v2.RandomChoice([v2.RandomInvert(1.), v2.RandomGrayscale(1.)]),
                     v2.RandomOrder([v2.RandomVerticalFlip(), v2.RandomRotation(9)]),
                     v2.ToDtype(torch.float32, scale=True), v2.GaussianNoise())

class MixCollate:
    def __init__(self): self.mix = v2.RandomChoice([v2.MixUp(num_classes=2), v2.CutMix(num_classes=2)])
    def __call__(self, b):
        x,y = default_collate(b)
        x,y = self.mix(x, (y>0).long())
        return x,y[:,0]

@hides(4, 'torchvision v2: MixUp and CutMix, in a collate function')
def torchvision_mixup(): return pictures(v2.Identity(), collate_fn=MixCollate())

@hides(4, "torchvision v2: in a pipeline of fastai")
def torchvision_in_fastai():
    return fastai_parts([v2.Compose([v2.RandomHorizontalFlip(), v2.RandomErasing(p=1.)])], x=tensor_picture, model=pooled)
def tensor_picture(i): return tensor(picture(i)).permute(2,0,1).float()/255

def album(*more, **kw):
    one = alb.OneOf([alb.Blur(p=1), alb.CoarseDropout(p=1)], p=1)
    light = [alb.RandomBrightnessContrast(p=1), alb.GaussNoise(p=1)]
    return alb.Compose([alb.RandomCrop(8,8), alb.HorizontalFlip(), *light, one, *more], **kw)

class Album(Transform):
    "As fastai's documentation has it"
    def __init__(self, aug):
        super().__init__()
        self.aug = aug
    def encodes(self, x:PILImage): return PILImage.create(self.aug(image=np.array(x))['image'])

class AlbumRows(Dataset):
    def __init__(self): self.aug = album(ToTensorV2())
    def __len__(self): return n_train
    def __getitem__(self, i): return self.aug(image=picture(i))['image'].float()/255,target(i)

@hides(4, 'albumentations, in a small transform of fastai')
def albumentations_fastai(): return photo_parts([Album(album())])

@hides(4, 'albumentations, in a dataset of torch')
def albumentations_torch(): return torch_parts(AlbumRows, AlbumRows, pooled)

@hides(4, 'albumentations with a seed of its own')
def albumentations_seeded(): return photo_parts([Album(album(seed=7))])

def skip_some(i):
    if i%5==2: raise SkipItemException()
    return row(i)

def skip_first_batch(i):
    if i<6: raise SkipItemException()
    return row(i)

@hides(4, 'items that raise SkipItemException')
def skipped_items(): return fastai_parts([all_globals], x=skip_some)

@hides(4, 'all items of the first batch of the validation are skipped')
def skipped_first(): return direct_parts(SkipRows, cls=DataLoader)
class SkipRows(Rows):
    def x(self, i): return skip_first_batch(i) + np.random.rand()

@hides(4, 'NaN in items and batches')
def nan_in_batches(): return fastai_parts([with_nan, all_globals], after_batch=[all_globals_batch], model=before_linear(NoNan))
def with_nan(x): return torch.cat([x[:3], tensor([float('nan')])])
def all_globals_batch(x): return x + torch.rand_like(x.float())
class NoNan(nn.Module):
    def forward(self, x): return x.nan_to_num()

@hides(4, 'one batch')
def one_batch(): return fastai_parts([all_globals], bs=64)

@hides(4, 'empty validation set')
def empty_validation(): return fastai_parts([all_globals], valid=False)

@hides(4, 'bs 5 with drop_last')
def dropped_last(): return torch_parts(NoisyRows, train_kw=lambda ds: dict(batch_size=5, shuffle=True, drop_last=True))
class NoisyRows(Rows):
    def x(self, i): return all_globals(row(i))

@hides(4, 'batch size None')
def unbatched(): return torch_parts(Chunks, Chunks, train_kw=lambda ds: dict(batch_size=None, shuffle=True))
class Chunks(Dataset):
    def __len__(self): return 4
    def __getitem__(self, i): return all_globals(rows_x[i*4:i*4+4]),rows_x[i*4:i*4+4].sum(1)

@hides(4, "fastai's DataLoader over a dataset of torch")
def bare_dataloader(): return direct_parts(NoisyRows, cls=DataLoader)

@hides(4, 'weighted loader')
def weighted_loader(): return fastai_parts([all_globals], cls=WeightedDL, dl_kwargs=[dict(wgts=list(range(1,n_train+1))),{}])

class LazyFile(Rows):
    "Opens its file when first used; a handle opened before the workers are forked would be shared by them"
    f = None
    def x(self, i):
        if self.f is None: self.f,self.pid = tempfile.TemporaryFile(),os.getpid()
        if self.pid!=os.getpid(): raise RuntimeError("the file was opened in another process")
        return all_globals(row(i))

@hides(4, 'file opened when first used, which must be in the worker')
def lazily_opened(): return torch_parts(LazyFile)

class Counts(Rows):
    "Counts its items and uses that for nothing"
    n = 0
    def x(self, i):
        self.n += 1
        return row(i)

@hides(4, 'counter that reaches no item')
def harmless_counter(): return torch_parts(Counts)

@functools.lru_cache
def read_row(i): return row(i)
class CachedRows(Rows):
    def x(self, i): return all_globals(read_row(i))

@hides(4, 'cache of what is read, before augmentation')
def cached_reading(): return torch_parts(CachedRows)

def double_in_place(x): return x.mul_(2) if x.is_floating_point() else x

@hides(4, 'batch transform that works in place')
def in_place_batch(): return batches(double_in_place)

class DictRows(Rows):
    def __getitem__(self, i): return dict(x=all_globals(row(i)), name=f'row {i}', more=[i,None]),target(i)
def dict_collate(b):
    lists = {k:[o[k] for o,_ in b] for k in ('x','name','more')}
    return dict(lists, x=torch.stack(lists['x'])),torch.stack([y for _,y in b])
class TakesDict(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4,1)
    def forward(self, d): return self.lin(d['x'] if isinstance(d, dict) else getattr(d, 'x', d))

@hides(4, 'items and batches that are dicts, with strings and None')
def dict_batches(): return torch_parts(DictRows, DictRows, TakesDict, collate_fn=dict_collate)

class Packet:
    "An object that knows no equality"
    def __init__(self, x): self.x = x
class PacketRows(Rows):
    def __getitem__(self, i): return Packet(all_globals(row(i))),target(i)
def packet_collate(b): return Packet(torch.stack([o.x for o,_ in b])),torch.stack([y for _,y in b])

@hides(4, "items and batches that are objects of the user's")
def object_batches(): return torch_parts(PacketRows, PacketRows, TakesDict, collate_fn=packet_collate)

# --- 5: what a rehearsal of the first item may not see. Shown, not counted

class CachedNoise(Rows):
    "Augments each item once and keeps that"
    def __init__(self, *args):
        super().__init__(*args)
        self.cache = {}
    def x(self, i):
        if i not in self.cache: self.cache[i] = all_globals(row(i))
        return self.cache[i]

class MixLast(Rows):
    "Mixes with the item before, and the first with itself"
    last = None
    def x(self, i):
        x,was = row(i),self.last
        self.last = x
        return x if was is None else (x+was)/2

class Running(Rows):
    "Subtracts the running mean of what went by"
    n,total = 0,0
    def x(self, i):
        x = row(i)
        self.n,self.total = self.n+1,self.total+x
        return x - self.total/self.n

class Seldom(Rows):
    "The clock, for one item in four only"
    def x(self, i): return row(i) + (time.perf_counter_ns()%997/997 if i%4==3 else 0)

class FifthOnly(Add):
    n = 0
    def draw(self):
        self.n += 1
        return float(self.n%5==0)

def by_hash(x): return x + hash('row')%997/997

def small_pool(x):
    with ThreadPoolExecutor(2) as pool: order = [o.result() for o in as_completed([pool.submit(slow, i) for i in range(2)])]
    return x + order[0]

class UrandomSampler(Sampler):
    def __init__(self, n): self.n = n
    def __len__(self): return self.n
    def __iter__(self): return iter(sorted(range(self.n), key=lambda _: os.urandom(4)))

class UrandomLayer(nn.Module):
    def forward(self, x): return x + os.urandom(1)[0]/256

@hides(5, 'order of a sampler, from os.urandom', 'UrandomSampler')
def urandom_order(): return torch_parts(Rows, train_kw=lambda ds: dict(batch_size=bs, sampler=UrandomSampler(len(ds))))

@hides(5, 'os.urandom in a layer', 'UrandomLayer')
def urandom_layer(): return fastai_parts(model=before_linear(UrandomLayer))

@hides(5, 'augmentation that is cached', 'CachedNoise')
def cached_noise(): return torch_parts(CachedNoise)

@hides(5, 'mixed with the item before', 'MixLast')
def mixed_with_last(): return torch_parts(MixLast)

@hides(5, 'running mean', 'Running')
def running_mean(): return torch_parts(Running)

@hides(5, 'clock, for one item in four', 'Seldom')
def seldom_clock(): return torch_parts(Seldom)

@hides(5, 'counter that acts at every fifth item', 'FifthOnly')
def seldom_counter(): return items(FifthOnly())

@hides(5, "hash of a string, which a new process has otherwise", 'by_hash')
def string_hash(): return items(by_hash)

@hides(5, 'pool of two that finishes in any order', 'small_pool')
def pool_of_two(): return items(small_pool)
