"""A client for the visdom server: plots, pictures and texts in a browser, by the standard library alone."""
from .charts import Charts
from .networks import Networks
from .panes import Panes

__all__ = ["Visdom"]
__version__ = "0.2.4"       # of the package whose protocol this speaks


class Visdom(Charts, Networks, Panes):
    """Shows data in the windows of a visdom server, by default the one at http://localhost:8097.

    A method that draws makes a window, or fills the one named by `win`, in the environment `env`
    (by default that of the client), and returns the window's name; False, after one warning, when
    no server answers. Tensors, arrays and lists are data. `opts` are titles, labels, legends and
    colours, as the visdom package documents them.
    """
