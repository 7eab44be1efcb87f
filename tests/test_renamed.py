"""Names that were given up are still read, with a warning that says the new ones."""

import json
import warnings

import numpy as np
import pytest
import xarray as xr
from fake_fit import fake_fit

import bayesglu
from bayesglu import load_model, renamed
from bayesglu.errors import RenamedWarning
from bayesglu.inference.datatree import FORMAT
from bayesglu.inference.old_fits import modernized
from bayesglu.physiology.registry import available

OLD = """
extends = "oral"
title = "By old names"

[parameters.glucose_autoregulation]
level = "population"
typical = { gsd = 1.2 }

[parameters.insulin_brake_half_saturation]
typical = { median = 70 }

[correlations]
parameters = ["insulin_sensitivity", "basal_insulin"]
eta = 3
"""
NEW = (
    OLD.replace("glucose_autoregulation", "glucose_suppression_half_saturation")
    .replace("insulin_brake", "insulin_suppression")
    .replace('"population"', '"shared"')
    .replace("\neta", "\nlkj_eta")
)


def test_a_model_file_with_old_names_is_the_one_with_the_new_names_and_a_warning_says_them():
    with pytest.warns(RenamedWarning, match="glucose_autoregulation -> glucose_suppression_half_saturation"):
        old = load_model(OLD)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RenamedWarning)
        new = load_model(NEW)
    assert old == new and old.hash == new.hash
    with pytest.warns(RenamedWarning, match="level population -> shared"):
        changed = load_model("oral").with_changes(
            parameters={"portal_flow": {"level": "population", **GIVEN}}
        )
    assert changed.parameters["portal_flow"].level == "shared"
    with pytest.warns(RenamedWarning, match="'population' is now 'shared'"):
        assert old.at("population") == new.at("shared")
    with pytest.warns(RenamedWarning, match=r"ModelSpec\.eta is now ModelSpec\.lkj_eta"):
        assert old.eta == new.lkj_eta == 3.0


GIVEN = {"typical": {"gsd": 1.2}}


@pytest.mark.parametrize("table", ["PARAMETERS", "OUTPUTS"])
def test_names_that_took_the_place_of_others_are_there_and_the_others_are_not(table):
    known = available()
    there = {*known.parameters, *known.states, *(n for part in known.parts() for n in part.quantities)}
    there |= {a.background for name in ("feedback",) for a in load_model(name).analytes.values()}
    names = getattr(renamed, table)
    assert set(names.values()) <= there and not names.keys() & there


@pytest.mark.parametrize(("of", "table"), [("", "FUNCTIONS"), ("plots", "FIGURES")])
def test_functions_by_old_names_are_the_new_ones(of, table):
    module = bayesglu.plots if of else bayesglu
    for old, new in getattr(renamed, table).items():
        module.__dict__.pop(old, None)
        with pytest.warns(RenamedWarning, match=f"{old} is now {module.__name__}.{new}"):
            assert getattr(module, old) is getattr(module, new)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = module.nothing


def test_a_fit_with_old_names_is_read_with_todays(tmp_path):
    """As format 1 wrote them: parameters, labels of effects and pairs, forcing functions, groups, roles."""
    tree = xr.load_datatree(bayesglu.save(fake_fit("minimal", subjects=2, draws=5), tmp_path / "fit.nc"))
    posterior = tree.posterior.to_dataset()
    old, new = "glucose_autoregulation", renamed.PARAMETERS["glucose_autoregulation"]
    about = {"role": "population", "level": "population", "parameter": old}
    posterior[f"{old}_typical"] = posterior.sigma_glucose.assign_attrs(about)
    posterior["covariate_effect"] = (
        ("chain", "draw", "effect"),
        np.ones((*posterior.sigma_glucose.shape, 1)),
    )
    posterior["correlation"] = (("chain", "draw", "pair"), np.zeros((*posterior.sigma_glucose.shape, 1)))
    posterior = posterior.assign_coords(effect=[f"{old} by bmi"], pair=[f"basal_glucose and {old}"])
    posterior = posterior.rename(insulin_forcing="insulin_at_readings", forcing_obs="reading")
    known = tree.constant_data.to_dataset().rename(forcing_time="reading_time", forcing_obs="reading")
    known["effect_parameter"] = ("effect", [old])
    prior = xr.Dataset({"known_x": (("chain", "known_occasion"), np.zeros((1, 1)))})
    made = {"posterior": posterior, "constant_data": known, "log_prior": prior, "coordinates": xr.Dataset()}
    made |= {name: child.to_dataset() for name, child in tree.children.items() if name not in made}
    values = {"insulin_suppression": 0.5}
    attrs = tree.attrs | {"format": 1, "equations": json.dumps(values)}
    tree = xr.DataTree.from_dict(made)
    tree.attrs = attrs
    found = modernized(tree, "here")
    assert found.attrs["format"] == FORMAT
    assert json.loads(found.attrs["equations"]) == {"production_left_by_insulin": 0.5}
    said = found.posterior[f"{new}_typical"].attrs
    assert (said["role"], said["level"], said["parameter"]) == ("shared", "shared", new)
    assert list(found.posterior.effect.values) == [f"{new} by bmi"]
    assert list(found.posterior.pair.values) == [f"basal_glucose and {new}"]
    assert found.posterior.insulin_forcing.dims == ("chain", "draw", "forcing_obs")
    assert found.constant_data.forcing_time.dims == ("forcing_obs",)
    assert list(found.constant_data.effect_parameter.values) == [new]
    assert found.log_prior.pseudo_observation_x.dims == ("chain", "pseudo_observation_occasion")
    assert "whitened_coordinates" in found.children and "coordinates" not in found.children
