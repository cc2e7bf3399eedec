"""The picture of the factors: the shap library's beeswarm of our own exact contributions, as PNG in a data URI.

The numbers are the shipped model's (offset and trees, log-odds); shap only draws them. It is imported when it is
needed, takes seconds to, and is not there on every machine.
"""

from __future__ import annotations

import base64
import io
import warnings
from importlib.util import find_spec

import numpy as np

from training.charts import STYLE, shortened
from training.plotting import Figure, FigureCanvasAgg, mpl
from training.report_data import Look

SHOWN = 20
MISSING = "The shap library is not installed on this machine, so the picture of the factors is left out."


def available() -> bool:
    """Whether the shap library is there."""
    return find_spec("shap") is not None


def beeswarm(look: Look, shown: int = SHOWN) -> str:
    """Return the beeswarm of the largest factors as a ``data:image/png`` URI, coloured by their leads' values."""
    shown = min(shown, len(look.names))
    state = np.random.get_state()  # noqa: NPY002 - shap scatters its points by NumPy's global generator
    with warnings.catch_warnings(), mpl.rc_context():
        warnings.simplefilter("ignore")
        import shap

        mpl.rcParams.update(STYLE | {"axes.grid": False})
        np.random.seed(0)  # noqa: NPY002
        try:
            figure = Figure(figsize=(7.4, 1.4 + 0.4 * shown), layout="constrained")
            FigureCanvasAgg(figure)
            told = shap.Explanation(
                values=look.phi[:, :shown],
                base_values=look.base,
                data=look.values[:, :shown],
                feature_names=[_name(look, j) for j in range(shown)],
            )
            shap.plots.beeswarm(told, max_display=shown, ax=figure.subplots(), show=False, plot_size=None, s=7)
            figure.axes[0].set_xlabel("term in the log-odds (right: raises the score)", fontsize=10)
            figure.axes[0].tick_params(labelsize=9)
            out = io.BytesIO()
            figure.savefig(out, format="png", dpi=130, metadata={"Software": None})
        finally:
            np.random.set_state(state)  # noqa: NPY002
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def _name(look: Look, j: int) -> str:
    factor, lead = shortened(look.names[j], 30), shortened(look.leads[j], 34)
    return factor if factor == lead else f"{factor}\n({lead})"
