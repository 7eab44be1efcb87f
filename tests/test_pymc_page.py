"""What the page about PyMC shows runs, and finds what was put into its data."""

import re
from pathlib import Path

import numpy as np
import pymc as pm
import pytensor
import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "pymc.md").read_text(encoding="utf-8")


@pytest.mark.sampling
@pytest.mark.filterwarnings("ignore:The effect of Potentials")
@pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto")
@pytest.mark.long
def test_the_examples_of_the_page_run_in_their_order(monkeypatch):
    """Only what samples becomes machine code: compiling takes longer than all the rest in Python."""
    usual = pytensor.config.change_flags(mode=pytensor.config.mode)
    monkeypatch.setattr(pm, "sample", usual(pm.sample))
    names = {}
    with pytensor.config.change_flags(mode="FAST_COMPILE"):
        for code in re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
            exec(compile(code, "docs/pymc.md", "exec"), names)
    found, truth = names["found"], names["study"].truth.insulin_sensitivity.values
    assert float(found.sample_stats.diverging.mean()) < 0.01
    assert set(found.log_likelihood.data_vars) == {"glucose", "insulin", "clamp"}
    # The clamp was made as 1.1e5 times insulin sensitivity, within 10 %.
    theta = found.posterior.theta.sel(parameter="insulin_sensitivity")
    assert np.corrcoef(np.log(theta.mean(["chain", "draw"])), np.log(truth))[0, 1] > 0.95
    assert abs(found.posterior.log_scale - np.log(1.1e5)).mean() < 0.2
    # What is regressed on hours is known nearly as the truth is: the slope lies about that of least squares.
    slope, expected = found.posterior.slope, np.polyfit(names["hours"], np.log(truth), 1)[0]
    assert abs(slope.mean() - expected) < 4 * slope.std() < expected
    # Each clamp is one draw of its predictive distribution, and everyone's was shown: all within four SDs.
    again = np.log(names["again"].posterior_predictive.clamp)
    away = (np.log(names["clamp"]) - again.mean(["chain", "draw"])) / again.std(["chain", "draw"])
    assert np.abs(away).max() < 4
