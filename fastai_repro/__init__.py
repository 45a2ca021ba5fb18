"fastai training runs that repeat bit for bit"
__version__ = "0.0.1"
