"""Figures of simulations, fits and what-ifs.

Each function takes what a bayesglu function returned and gives a Matplotlib figure back: save it with
``figure.savefig("name.png")``; a notebook shows it when it is the last line of a cell. Bands and intervals
are equal-tailed, colours are safe for colour-blind eyes, and a person has the same colour in every figure.
"""

from bayesglu.plots.demo import demo_figure
from bayesglu.plots.facts import facts
from bayesglu.plots.fasting import fasting
from bayesglu.plots.identified import identified
from bayesglu.plots.learnt import learning, parameters
from bayesglu.plots.measured import fit_overview
from bayesglu.plots.organs import organs
from bayesglu.plots.over_time import contrast, trajectories

__all__ = [
    "contrast",
    "demo_figure",
    "facts",
    "fasting",
    "fit_overview",
    "identified",
    "learning",
    "organs",
    "parameters",
    "trajectories",
]
