"""A fit that nobody made: the shape, names and attributes of a real one, in milliseconds and without PyMC.

Its posterior is narrower than its prior, but for what is named as untaught: that stays at the prior.
"""

import json

import numpy as np
import xarray as xr

from bayesglu.hierarchy import names
from bayesglu.inference.datatree import FORMAT
from bayesglu.physiology.loop import assemble
from bayesglu.protocols.library import ogtt
from bayesglu.protocols.table import keep_protocols
from bayesglu.spec.model import load_model

TIMES = np.array([0.0, 10, 20, 30, 60, 90, 120, 180])
SAMPLE = ("chain", "draw")


def fake_fit(
    model="oral",
    subjects=4,
    chains=4,
    draws=400,
    seed=0,
    method="nuts",
    untaught=("glucose_volume",),
    occasions=1,
    failed=(),
    diverging=0,
):
    """A DataTree as ``fit`` returns it for people labelled "1", "2", ... who took an oral test."""
    rng = np.random.default_rng(seed)
    spec = load_model(model)
    people = _labels(subjects)
    turns = [names.occasion(person, turn) for person in people for turn in _labels(occasions)]
    chains = 1 if method == "laplace" else chains
    prior, posterior = {}, {}
    for group, shape in ((prior, (1, 500)), (posterior, (chains, draws))):
        for name in spec.estimated:
            width = 1.0 if group is prior or name in untaught else 0.25
            group.update(_draws(spec.parameters[name], rng, shape, people, turns, width))
        if spec.correlations:
            drawn = np.stack([_correlation(spec, pair, rng, shape) for pair in _pairs(spec)], axis=-1)
            about = {"role": "correlation", "units": "1", "long_name": "correlation of people's deviations"}
            group[names.CORRELATION] = ((*SAMPLE, "pair"), drawn, about)
        for analyte, measured in spec.analytes.items():
            if not measured.forcing:
                sd = measured.sigma.sd * (1.0 if group is prior else 0.2)
                about = {"role": "sigma", "units": "1", "long_name": f"SD of log residuals of {analyte}"}
                group[names.sigma(analyte)] = (SAMPLE, measured.sigma.median * _spread(rng, shape, sd), about)
    coords = {"subject": people, "occasion": turns}
    coords["pair"] = [f"{one} and {other}" for one, other in _pairs(spec)]
    if spec.structure["insulin"] == "forced":
        about = {
            "role": "forcing",
            "units": "pmol/L",
            "long_name": "true insulin at the samples of the forcing function",
        }
        for group, shape in ((prior, (1, 500)), (posterior, (chains, draws))):
            true = 60 * _spread(rng, (*shape, len(TIMES)), 0.15)
            group["insulin_forcing"] = ((*SAMPLE, "forcing_obs"), true, about)
        coords["forcing_obs"] = np.arange(len(TIMES))
    observed, known = _observations(spec, people, occasions, rng)
    if "forcing_obs" in coords:
        known["forcing_time"] = ("forcing_obs", TIMES)
    fitted = {a: v.values * _spread(rng, (chains, draws, v.size), 0.03) for a, v in observed.items()}
    noisy = {a: v * _spread(rng, v.shape, 0.06) for a, v in fitted.items()}

    def sampled(values):
        found = {a: ((*SAMPLE, names.observations(a)), v) for a, v in values.items()}
        found = xr.Dataset(found, {"chain": np.arange(chains), "draw": np.arange(draws)})
        return found.assign_coords(observed.coords)

    groups = {
        "posterior": _group(posterior, coords, chains, draws),
        "prior": _group(prior, coords, 1, 500),
        "observed_data": observed,
        "constant_data": known,
        "protocols": keep_protocols({(p, t): ogtt(75) for p in people for t in _labels(occasions)}),
        "log_likelihood": sampled(
            {a: -0.5 * (np.log(observed[a].values / v) / 0.06) ** 2 for a, v in fitted.items()}
        ),
        "posterior_predictive": sampled(noisy),
        "fitted": sampled(fitted),
    }
    if method == "nuts":
        hit = np.zeros(chains * draws, bool)
        hit[:diverging] = True
        groups["sample_stats"] = _group(
            {
                "diverging": (SAMPLE, hit.reshape(chains, draws)),
                "energy": (SAMPLE, rng.normal(size=(chains, draws))),
                "n_steps": (SAMPLE, np.full((chains, draws), 31)),
            },
            {},
            chains,
            draws,
        )
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = {
        "format": FORMAT,
        "model_name": spec.name,
        "model_text": spec.text,
        "model_hash": spec.hash,
        "equations": json.dumps(assemble(spec.structure).fingerprint(spec.medians)),
        "study_name": "fake",
        "method": method,
        "random_seed": seed,
        "failed_solves": json.dumps(list(failed)),
        "wall_seconds": 12.3,
    }
    return tree


def fake_what_if(subjects=4, chains=2, draws=40, seed=0, scenarios=("reference", "changed")):
    """Glucose, insulin and a flux ``(chain, draw, subject, scenario, time)``: the change lowers glucose."""
    rng = np.random.default_rng(seed)
    time = np.arange(0.0, 181, 10)
    person = _spread(rng, (chains, draws, 1, 1, 1), 0.05) * _spread(rng, (1, 1, subjects, 1, 1), 0.15)
    less = 1 - 0.1 * np.arange(len(scenarios))[:, None]
    rise = 60 * (time / 45) * np.exp(1 - time / 45)
    dims = (*SAMPLE, "subject", "scenario", "time")
    variables = {
        "glucose": (dims, 90 + person * less * rise, {"units": "mg/dL", "long_name": "glucose"}),
        "insulin": (dims, 55 + 4 * person * less * rise, {"units": "pmol/L", "long_name": "insulin"}),
        "gluconeogenesis": (dims, person / (1 + less * rise), {"units": "mg/kg/min"}),
    }
    coords = {"subject": _labels(subjects), "scenario": list(scenarios), "time": time}
    return xr.Dataset(variables, coords | {"chain": np.arange(chains), "draw": np.arange(draws)})


def fake_simulation(hours=4.0, every=5.0, **sizes):
    """What `simulate` returns for the whole loop, over ``sizes`` such as ``draw=50, subject=3``."""
    rng = np.random.default_rng(1)
    time = np.arange(0.0, 60 * hours + 1, every)
    spread = _spread(rng, (*sizes.values(), 1), 0.1)
    rise = (time / 45) * np.exp(1 - time / 45)
    fall = np.exp(-time / 900)
    shapes = {
        "glucose": (90 + 60 * rise, "mg/dL"),
        "insulin": (55 + 400 * rise, "pmol/L"),
        "c_peptide": (490 + 1200 * rise, "pmol/L"),
        "glucagon": (70 / (1 + rise), "pg/mL"),
        "liver_glycogen": (259 * fall, "mmol/L"),
        "endogenous_glucose_production": (2 / (1 + 3 * rise), "mg/kg/min"),
        "glycogenolysis": (1.2 * fall / (1 + 3 * rise), "mg/kg/min"),
        "gluconeogenesis": (1 + 0 * time, "mg/kg/min"),
        "hepatic_glucose_uptake": (0.2 + rise, "mg/kg/min"),
    }
    variables = {
        name: ((*sizes, "time"), spread * values, {"units": unit, "long_name": name.replace("_", " ")})
        for name, (values, unit) in shapes.items()
    }
    coords = {"time": ("time", time, {"units": "min"})}
    coords |= {dim: _labels(size) if dim == "subject" else np.arange(size) for dim, size in sizes.items()}
    return xr.Dataset(variables, coords)


def _labels(count):
    return [str(i + 1) for i in range(count)]


def _spread(rng, shape, sd):
    return np.exp(sd * rng.normal(size=shape))


def _group(variables, coords, chains, draws):
    used = {dim for dims, *_ in variables.values() for dim in dims}
    kept = {name: labels for name, labels in coords.items() if name.partition("_")[0] in used}
    return xr.Dataset(variables, kept | {"chain": np.arange(chains), "draw": np.arange(draws)})


def _draws(parameter, rng, shape, people, turns, width):
    """Variables of one parameter: typical value, spread and people, at ``width`` of the prior."""
    name = parameter.name
    back = (lambda x: 1 / (1 + np.exp(-x))) if parameter.scale == "logit" else np.exp
    about = {"units": parameter.unit, "long_name": name.replace("_", " "), "symbol": parameter.symbol}
    about |= {"level": parameter.level, "scale": parameter.scale, "parameter": name}
    typical = parameter.location + width * parameter.typical.sd * rng.normal(size=shape)
    if parameter.level == "shared":
        return {name: (SAMPLE, back(typical), about | {"role": "shared"})}
    dim, labels = ("occasion", turns) if parameter.level == "occasion" else ("subject", people)
    between = parameter.between_subject.omega * _spread(rng, shape, width * parameter.between_subject.sd)
    offset = parameter.between_subject.omega * np.random.default_rng(len(name)).normal(size=len(labels))
    noise = rng.normal(size=(*shape, len(labels)))
    people_at = typical[..., None] + between[..., None] * noise
    if width < 1:
        people_at = parameter.location + offset + width * parameter.between_subject.omega * noise
    return {
        name: ((*SAMPLE, dim), back(people_at), about | {"role": "individual"}),
        names.typical(name): (SAMPLE, back(typical), about | {"role": "typical"}),
        names.omega(name): (SAMPLE, between, about | {"role": "omega", "units": "1"}),
        **_within(parameter, rng, people_at, back, about, people, turns, width),
    }


def _pairs(spec):
    """Pairs of correlated parameters, in the order of the elements below the diagonal."""
    return [
        (earlier, later) for i, later in enumerate(spec.correlations) for earlier in spec.correlations[:i]
    ]


def _correlation(spec, pair, rng, shape):
    a, b = spec.correlation_priors[pair].shapes if pair in spec.correlation_priors else (2.0, 2.0)
    return 2 * rng.beta(a, b, size=shape) - 1


def _within(parameter, rng, people_at, back, about, people, turns, width):
    """What an occasion adds to the person, where there are several."""
    if parameter.between_occasion is None or len(people) == len(turns):
        return {}
    spread = parameter.between_occasion
    within = spread.omega * _spread(rng, people_at.shape[:2], width * spread.sd)
    each = np.repeat(people_at, len(turns) // len(people), axis=-1)
    each = each + width * within[..., None] * rng.normal(size=each.shape)
    own = about | {"role": "individual"}
    return {
        names.by_occasion(parameter.name): ((*SAMPLE, "occasion"), back(each), own),
        names.kappa(parameter.name): (SAMPLE, within, about | {"role": "kappa", "units": "1"}),
    }


def _observations(spec, people, occasions, rng):
    """Samples of every analyte of the model, a variable each, and what is known of people and samples."""
    peak = {"glucose": (90, 60), "insulin": (55, 400), "c_peptide": (490, 1200), "glucagon": (110, -40)}
    analytes = [a for a in spec.analytes if a in peak and not spec.analytes[a].forcing]
    rows = [(p, turn, time) for p in people for turn in _labels(occasions) for time in TIMES]
    subject, occasion, time = map(np.array, zip(*rows, strict=True))
    known = xr.Dataset(
        {"body_weight": ("subject", np.full(len(people), 70.0), {"units": "kg"})}, {"subject": people}
    )
    found, coords = {}, {}
    for analyte in analytes:
        dim, (base, rise) = names.observations(analyte), peak[analyte]
        curve = (base + rise * (time / 45) * np.exp(1 - time / 45)) * _spread(rng, len(time), 0.06)
        found[analyte] = (dim, curve, {"units": spec.analytes[analyte].unit})
        labels = [f"{s}/{o}, {t:g} min" for s, o, t in rows]
        coords |= {dim: labels, f"{analyte}_subject": (dim, subject), f"{analyte}_occasion": (dim, occasion)}
        coords[f"{analyte}_time"] = (dim, time, {"units": "min"})
        known[f"{analyte}_censoring"] = (dim, np.full(len(time), "none"))
    return xr.Dataset(found, coords), known
