"""matplotlib as the report uses it: imported here alone, without a window and without a trace in the home directory.

It keeps its list of fonts in a folder that it makes when it is imported: a temporary one here, gone with the process,
unless MPLCONFIGDIR names another.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

if "MPLCONFIGDIR" not in os.environ:
    os.environ["MPLCONFIGDIR"] = tempfile.mkdtemp(prefix="forecastle-matplotlib-")
    atexit.register(shutil.rmtree, os.environ["MPLCONFIGDIR"], ignore_errors=True)

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

mpl.use("agg")

__all__ = ["Axes", "Figure", "FigureCanvasAgg", "PercentFormatter", "mpl"]
