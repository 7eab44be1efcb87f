"""Figures of simulations, fits and what-ifs.

Each function takes what a bayesglu function returned and gives a Matplotlib figure back: save it with
``figure.savefig("name.png")``; a notebook shows it when it is the last line of a cell. Bands and intervals
are equal-tailed, colours are safe for colour-blind eyes, and a person has the same colour in every figure.
"""

from bayesglu.plots.demo import demo_figure
from bayesglu.plots.fits import fit_overview
from bayesglu.plots.identifiability import identified
from bayesglu.plots.loop_map import organs
from bayesglu.plots.posteriors import learning, parameters
from bayesglu.plots.rothman1991 import fasting
from bayesglu.plots.time_courses import contrast, trajectories
from bayesglu.plots.validation import facts

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
