"""Errors about what was given have one base class, and warnings point at the line that called."""

import ast
import builtins
import os
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
import xarray as xr

import bayesglu
from bayesglu import lock
from bayesglu.analysis.checks import check
from bayesglu.errors import BayesgluError, BayesgluWarning, FitWarning, RunWarning
from bayesglu.hierarchy.design import make_design
from bayesglu.inference.modes import find_modes
from bayesglu.physiology.loop import LoopError
from bayesglu.protocols.faults import ProtocolError
from bayesglu.solver.solver import SolverError
from bayesglu.spec.model import SpecError, load_model
from bayesglu.study.study import Study, StudyError, StudyWarning, load_study
from bayesglu.units import UnitError
from bayesglu.validation.facts import FactError
from bayesglu.validation.readings import ReadingError

PACKAGE = Path(bayesglu.__file__).parent

# What only a fault of the program, or of its installation, can raise.
NOT_ABOUT_INPUT = {
    ("__init__.py", "AttributeError"),
    ("catalog.py", "FileNotFoundError"),
    ("inference/density.py", "TypeError"),
    ("plots/__init__.py", "AttributeError"),
    ("spec/model.py", "AttributeError"),
    ("validation/rothman1991.py", "SystemExit"),
    ("protocols/checked.py", "ValueError"),
    ("protocols/schedule.py", "ValueError"),
    ("solver/op.py", "NotImplementedError"),
    ("solver/separate.py", "TypeError"),
    ("solver/solver.py", "ValueError"),
}


def test_what_is_raised_about_input_is_an_error_of_ours():
    raised = {
        (path.relative_to(PACKAGE).as_posix(), node.exc.func.id)
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and isinstance(node.exc.func, ast.Name)
        and isinstance(known := getattr(builtins, node.exc.func.id, None), type)
        and issubclass(known, BaseException)
    }
    assert raised == NOT_ABOUT_INPUT


@pytest.mark.parametrize(
    ("kind", "also"),
    [
        *((kind, ValueError) for kind in (SpecError, StudyError, ProtocolError, UnitError, LoopError)),
        *((kind, ValueError) for kind in (ReadingError, FactError)),
        (SolverError, RuntimeError),
    ],
)
def test_an_error_of_ours_can_still_be_caught_as_what_it_was(kind, also):
    assert issubclass(kind, BayesgluError) and issubclass(kind, also)
    assert issubclass(bayesglu.BayesgluError, Exception) and kind("told").problems == ()


@pytest.mark.parametrize(
    ("call", "also"),
    [
        (lambda: bayesglu.simulate("oral", "ogtt(75)", times=[1, 0]), ValueError),
        (lambda: bayesglu.citation("taylor1969"), LookupError),
        (lambda: bayesglu.load("absent.nc"), FileNotFoundError),
        (lambda: bayesglu.fit("minimal", "bergman1986", method="vb"), ValueError),
        (lambda: bayesglu.identify("oral", "ogtt(75)", subjects=0), ValueError),
        (lambda: bayesglu.scale(-1), ValueError),
        (lambda: bayesglu.scale("1.3"), ValueError),
        (lambda: bayesglu.shift(None), ValueError),
        (lambda: bayesglu.set_to(float("nan")), ValueError),
        (lambda: bayesglu.validate(draws=-1), ValueError),
        (lambda: bayesglu.what_if("fit.nc"), ValueError),
        (lambda: bayesglu.check(None), ValueError),
        (lambda: bayesglu.summarize_population(xr.DataTree()), ValueError),
        (lambda: bayesglu.coverage([]), ValueError),
        (lambda: bayesglu.coverage(xr.Dataset()), ValueError),
        (lambda: bayesglu.plots.expected_contraction(xr.Dataset()), ValueError),
        (lambda: bayesglu.plots.demo_figure(xr.DataTree(), xr.DataTree(), xr.Dataset()), ValueError),
        (lambda: bayesglu.simulate("minimal", "ivgtt(0.3)", forcing=([0, 0], [60, 60])), ValueError),
    ],
)
def test_an_argument_that_cannot_be_used_is_such_an_error(call, also):
    with pytest.raises(BayesgluError) as caught:
        call()
    assert isinstance(caught.value, also)


# --- warnings ---


def swapped_units() -> Study:
    table = pd.DataFrame({"subject": list("abc"), "time": 0, "analyte": "insulin", "value": [4.0, 5.0, 8.0]})
    return Study.from_table(table.assign(unit="pmol/L"), protocol="ogtt(75)", body_weight=70)


def without_glucose() -> Study:
    """Somebody of whom nothing was measured that the model compares."""
    study = load_study("synthetic_ogtt")
    table = study.observations.to_dataframe().drop(columns="line")
    table = table[table["analyte"].isin(["glucose", "insulin"])]
    table.loc[table["subject"] == study.subjects[0], "value"] = float("nan")
    table["unit"] = table["analyte"].map({"glucose": "mg/dL", "insulin": "pmol/L"})
    return Study.from_table(table, protocol="ogtt(75)", body_weight=70)


def unsettled():
    return find_modes(
        make_design(load_model("minimal"), load_study("bergman1986")), max_rounds=1, tolerance=1e-12
    )


def judged():
    from fake_fit import fake_fit

    fit = fake_fit()
    fit["sample_stats"]["diverging"] = fit["sample_stats"]["diverging"] | True
    return check(fit)


def taken_over():
    """A folder that another call left long ago."""
    with TemporaryDirectory() as folder:
        (Path(folder) / lock.NAME).touch()
        os.utime(Path(folder) / lock.NAME, (1, 1))
        with lock.in_use(Path(folder)):
            pass


@pytest.mark.parametrize(
    ("warned", "category"),
    [
        (taken_over, RunWarning),
        (swapped_units, StudyWarning),
        (lambda: bayesglu.fit("oral", without_glucose(), method="laplace", draws=2), StudyWarning),
        (lambda: make_design(load_model("oral"), without_glucose()), StudyWarning),
        (unsettled, FitWarning),
        (judged, FitWarning),
    ],
    ids=["run", "study", "fit", "design", "modes", "check"],
)
def test_a_warning_is_of_ours_and_points_at_the_line_that_called(warned, category):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        warned()
    (own,) = {(warning.category, warning.filename) for warning in told}
    assert own == (category, __file__) and issubclass(category, BayesgluWarning)
