"""Fits of earlier versions, read as if they had been written by this one: see `renamed`."""

import json
from hashlib import sha256
from importlib.metadata import version

import numpy as np
import xarray as xr

from bayesglu import renamed
from bayesglu.errors import InputError
from bayesglu.hierarchy import names
from bayesglu.hierarchy.posterior import effect_labels
from bayesglu.inference.datatree import FORMAT
from bayesglu.spec.model import ModelSpec, read_model

WITH_SAMPLES = {
    "observed_data": "observed_data",
    "posterior_predictive": "posterior_predictive",
    "prior_predictive": "prior_predictive",
    "predictions": "fitted",
    "log_likelihood": "log_likelihood",
}
"""Groups that had all analytes in one variable, and their names today."""


def has_format(tree: xr.DataTree) -> bool:
    """Whether a fit was written since fits have a format."""
    return "format" in tree.attrs


def modernized(tree: xr.DataTree, where: str) -> xr.DataTree:
    """A whole fit of an earlier format with today's names, and its model's text with today's keys."""
    homes = {name: source["module"] for name, source in json.loads(tree.attrs.get("parts", "{}")).items()}
    spec = read_model(str(tree.attrs["model_text"]), where=where, remind=False, homes=homes)
    found = xr.DataTree.from_dict(
        {renamed.GROUPS.get(name, name): _renamed(c.to_dataset()) for name, c in tree.children.items()}
    )
    values = json.loads(tree.attrs["equations"])
    values = {renamed.OUTPUTS.get(name, name): value for name, value in values.items()}
    found.attrs = {**tree.attrs, **_written_by(tree.attrs, spec), "equations": json.dumps(values)}
    return found


def _renamed(group: xr.Dataset) -> xr.Dataset:
    """A group of a fit of format 1 with today's names of variables and dims, labels and attributes."""
    parameters = renamed.PARAMETERS
    of = {f(old): f(new) for old, new in parameters.items() for f in (str, names.typical, names.omega)}
    for name in map(str, group.data_vars):
        if name.endswith("_at_readings"):
            of[name] = names.forcing(name.removesuffix("_at_readings"))
        if name.startswith("known_"):
            of[name] = name.replace("known_", "pseudo_observation_", 1)
    of |= {f"reading_{label}": f"forcing_{label}" for label in ("subject", "occasion", "time")}
    of |= renamed.DIMS
    group = group.rename({old: new for old, new in of.items() if old in {*group.variables, *group.dims}})
    for dim in {"varying", "parameter"} & group.coords.keys():
        labels = [parameters.get(str(label), str(label)) for label in group[dim].values]
        group = group.assign_coords({dim: labels})
    for dim, between in (("effect", " by "), ("pair", " and ")):
        if dim in group.coords:
            parted = [str(label).split(between) for label in group[dim].values]
            labels = [between.join(parameters.get(word, word) for word in words) for words in parted]
            group = group.assign_coords({dim: labels})
    if "effect_parameter" in group:
        acting = [parameters.get(str(name), str(name)) for name in group.effect_parameter.values]
        group["effect_parameter"] = ("effect", acting)
    tables = {"parameter": parameters, "role": renamed.ROLES, "level": renamed.LEVELS}
    for draws in group.data_vars.values():
        draws.attrs = {key: tables.get(key, {}).get(value, value) for key, value in draws.attrs.items()}
    return group


def without_format(tree: xr.DataTree, where: str) -> xr.DataTree:
    """A fit that has no format with today's names and groups, and its model's text with today's keys.

    Raises InputError where the fit is not whole, or its text is not that of its hash.
    """
    text = str(tree.attrs["model_text"])
    if sha256(text.encode()).hexdigest() != tree.attrs.get("model_hash"):
        raise InputError(f"{where}: the text of the model is not the one that was fitted; its hash differs.")
    spec = read_model(text, where="the model in the fit", remind=False)
    _require_whole(tree, spec, where)
    groups, labels = {}, xr.Dataset()
    samples = tree["constant_data"].to_dataset() if "constant_data" in tree.children else xr.Dataset()
    for name, child in tree.children.items():
        group = child.to_dataset()
        if name in ("posterior", "prior"):
            drawn = _draws(group, spec)
            labels = labels.assign({n: drawn[n] for n in drawn.coords if n not in drawn.dims})
            groups[name] = drawn.reset_coords(drop=True)
        elif name == "sample_stats":
            groups[name] = group.rename({k: v for k, v in renamed.STATISTICS.items() if k in group})
        elif name in WITH_SAMPLES:
            groups[WITH_SAMPLES[name]] = _by_analyte(group.value, samples, name != "log_likelihood")
        elif name == "constant_data":
            groups[name] = _known(group)
        else:
            groups[name] = group.rename({k: v for k, v in renamed.DIMS.items() if k in group.dims})
    groups["constant_data"] = groups["constant_data"].assign(labels.reset_coords())
    found = xr.DataTree.from_dict({name: _renamed(group) for name, group in groups.items()})
    found.attrs = _attributes(tree.attrs, spec)
    return found


def _require_whole(tree: xr.DataTree, spec: ModelSpec, where: str) -> None:
    """Old fits bear no mark that they are whole: all that the model asks for must be there, and finite."""
    lost = [g for g in ("posterior", "prior", "constant_data", "protocols") if g not in tree.children]
    posterior = tree["posterior"] if "posterior" in tree.children else xr.Dataset()
    old = {new: name for name, new in renamed.PARAMETERS.items()}
    unmeasured = {a.background for a in spec.analytes.values()} - {None}
    for name in spec.estimated:
        if old.get(name, name) not in posterior and name not in unmeasured:
            lost.append(f"posterior/{name}")
    unfinished = [str(n) for n, v in posterior.data_vars.items() if not np.isfinite(v.values).all()]
    if lost or unfinished:
        parts = [f"it lacks {', '.join(lost)}"] * bool(lost)
        parts += [f"draws of {', '.join(unfinished[:5])} are missing"] * bool(unfinished)
        raise InputError(f"{where}: this fit is not whole; {' and '.join(parts)}. Fit again.")


def _draws(group: xr.Dataset, spec: ModelSpec) -> xr.Dataset:
    """Draws with today's names, dims and roles; factors of covariates together in one variable."""
    keys = {
        f"{old}_effect_{key.replace(':', '_')}": (name, key)
        for name in spec.parameters
        for old in {name, *(o for o, n in renamed.PARAMETERS.items() if n == name)}
        for key in spec.parameters[name].effects
    }
    found, effects = {}, []
    for name, draws in group.data_vars.items():
        if draws.attrs.get("role") == "effect":
            effects.append((*keys[str(name)], draws))
            continue
        about = dict(draws.attrs)
        about["role"] = renamed.ROLES.get(about.get("role", ""), about.get("role", ""))
        for key, today in (("parameter", renamed.PARAMETERS), ("level", renamed.LEVELS)):
            if key in about:
                about[key] = today.get(about[key], about[key])
        found[_variable(str(name), about)] = draws.assign_attrs(about)
    dataset = xr.Dataset(found, coords=group.coords)
    dataset = dataset.rename({k: v for k, v in renamed.DIMS.items() if k in dataset.dims})
    if effects:
        dataset = dataset.merge(_effects(effects, spec))
    return dataset


def _variable(name: str, about: dict) -> str:
    """Today's name of a variable of a posterior."""
    if about["role"] == "omega":
        return names.omega(about["parameter"])
    if about["role"] == "typical":
        return names.typical(about["parameter"])
    if about["role"] == "sigma":
        return names.sigma(name.removeprefix("error_"))
    return about.get("parameter", name)


def _effects(effects: list, spec: ModelSpec) -> xr.Dataset:
    labels = [names.effect(parameter, key) for parameter, key, _ in effects]
    together = xr.concat([draws.drop_attrs() for *_, draws in effects], xr.Variable("effect", labels))
    known = [spec.parameters[parameter].effects[key] for parameter, key, _ in effects]
    meaning = "factor by which a covariate multiplies a typical value (or its odds)"
    together = together.transpose("chain", "draw", "effect").assign_attrs(
        role="effect", units="1", long_name=meaning
    )
    acting = [(parameter, effect) for (parameter, *_), effect in zip(effects, known, strict=True)]
    return xr.Dataset({names.EFFECT: together}).assign_coords(effect_labels(acting))


def _by_analyte(values: xr.DataArray, samples: xr.Dataset, with_labels: bool) -> xr.Dataset:
    """Samples of all analytes as a variable for each."""
    found = {}
    occasions = set(zip(samples.obs_subject.values, samples.occasion.values, strict=True))
    several = len(occasions) > len({subject for subject, _ in occasions})
    for analyte in dict.fromkeys(samples.analyte.values.tolist()):
        own = np.flatnonzero(samples.analyte.values == analyte)
        part, dim = samples.isel(obs=own), names.observations(analyte)
        subject, occasion = (part[name].values.astype(str) for name in ("obs_subject", "occasion"))
        who = [f"{s}/{o}" if several else s for s, o in zip(subject, occasion, strict=True)]
        labels = [f"{w}, {t:g} min" for w, t in zip(who, part.time.values, strict=True)]
        coords: dict[str, list[str] | tuple] = {dim: labels}
        if with_labels:
            coords |= {f"{analyte}_subject": (dim, subject), f"{analyte}_occasion": (dim, occasion)}
            coords[f"{analyte}_time"] = (dim, part.time.values, {"units": "min"})
        mine = values.isel(obs=own).drop_vars("obs", errors="ignore").rename(obs=dim)
        unit = str(part.unit.values[0]) if with_labels else "1"
        found[analyte] = mine.assign_coords(coords).assign_attrs(units=unit)
    return xr.Dataset(found)


def _known(group: xr.Dataset) -> xr.Dataset:
    """What is known of people and samples."""
    kept = [n for n in group.data_vars if str(n).startswith("covariate_") or n == "body_weight"]
    found = group[kept].drop_vars("obs", errors="ignore")
    if "analyte" in group:
        for analyte in dict.fromkeys(group.analyte.values.tolist()):
            own = group.analyte.values == analyte
            found[f"{analyte}_censoring"] = (names.observations(analyte), group.censoring.values[own])
    return found


def _attributes(attrs: dict, spec: ModelSpec) -> dict:
    """Attributes with today's names; what the fit was before is kept."""
    new = dict(attrs)
    settings = json.loads(new.get("settings", "{}"))
    solver = settings.get("solver", {})
    settings = {renamed.SETTINGS.get(k, k): v for k, v in settings.items()}
    if isinstance(solver, dict):
        settings["solver"] = {renamed.SETTINGS.get(k, k): v for k, v in solver.items()}
    new["settings"] = json.dumps(settings)
    new["method"] = renamed.METHODS.get(new["method"], new["method"])
    new.pop("physics_hash", None)
    return new | _written_by(attrs, spec)


def _written_by(attrs: dict, spec: ModelSpec) -> dict:
    """The model by today's names, and what the fit was before."""
    before = {
        "bayesglu_version": attrs.get("bayesglu_version", ""),
        "model_hash": attrs["model_hash"],
        "read_by": version("bayesglu"),
    }
    before |= json.loads(attrs.get("read_from", "{}"))
    return {
        "format": FORMAT,
        "model_text": spec.text,
        "model_hash": spec.hash,
        "read_from": json.dumps(before),
    }
