"""Figures of studies, simulations, fits and what-ifs.

Each function takes what a bayesglu function returned and gives a Matplotlib figure back: save it with
``figure.savefig("name.png")``; a notebook shows it when it is the last line of a cell. Bands and intervals
are equal-tailed, and what they hold is said in the figure; colours are safe for colour-blind eyes, and none
means two people. The type can be read where a figure is printed: those that are at most 5.35 inches wide in
one column of a journal (85 mm), the others over both (170 mm).
"""

from typing import Any

from bayesglu.plots.calibration import calibration
from bayesglu.plots.comparison import comparison
from bayesglu.plots.demo import demo_figure
from bayesglu.plots.effects import conditional, forest
from bayesglu.plots.fits import fit_overview
from bayesglu.plots.flows import flows
from bayesglu.plots.identifiability import expected_contraction
from bayesglu.plots.indices import index
from bayesglu.plots.individual_fits import individual_fits
from bayesglu.plots.loop_map import organs
from bayesglu.plots.posteriors import contraction, parameters
from bayesglu.plots.predictive import npde, pit, vpc
from bayesglu.plots.prior_sensitivity import prior_sensitivity
from bayesglu.plots.residuals import random_effects, sample_residuals
from bayesglu.plots.rothman1991 import fasting
from bayesglu.plots.scenarios import contrast
from bayesglu.plots.study import study
from bayesglu.plots.time_courses import trajectories
from bayesglu.plots.validation import facts

__all__ = [
    "calibration",
    "comparison",
    "conditional",
    "contraction",
    "contrast",
    "demo_figure",
    "expected_contraction",
    "facts",
    "fasting",
    "fit_overview",
    "flows",
    "forest",
    "index",
    "individual_fits",
    "npde",
    "organs",
    "parameters",
    "pit",
    "prior_sensitivity",
    "random_effects",
    "sample_residuals",
    "study",
    "trajectories",
    "vpc",
]


def __getattr__(name: str) -> Any:
    from bayesglu.errors import RenamedWarning, warn_caller
    from bayesglu.renamed import FIGURES

    if name not in FIGURES:
        raise AttributeError(f"module 'bayesglu.plots' has no attribute {name!r}")
    warn_caller(f"bayesglu.plots.{name} is now bayesglu.plots.{FIGURES[name]}.", RenamedWarning)
    return globals()[FIGURES[name]]
