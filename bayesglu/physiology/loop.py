"""The loop: which organs take part, how their fluxes become the change of each state, and where a person
starts.

A quantity is a name and the function that computes it; the function's arguments are the names of what it
needs. A model file chooses one part for each slot. Whatever name no part computes is a parameter or an input,
so a new variant of a flux is one function in its organ's file and one line here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from graphlib import TopologicalSorter
from inspect import Parameter, signature
from types import MappingProxyType

from bayesglu.errors import BayesgluError
from bayesglu.physiology import basal, gut, liver, pancreas, periphery
from bayesglu.physiology.quantities import GlucoseAmount, GlucoseRate, Insulin, Ratio, fractions, units

Quantities = Mapping[str, Callable]


@dataclass(frozen=True)
class State:
    """One state: the quantity that is its change per minute, the quantity that it starts from, and its unit.

    `scale` is its usual size, against which the solver measures small errors. A bolus on `channel` raises the
    state by the amount divided by the quantity `volume`.
    """

    rate: str
    initial: str | None
    unit: str
    scale: float
    channel: str | None = None
    volume: str | None = None


@dataclass(frozen=True)
class Part:
    """What one choice for a slot brings to the loop."""

    quantities: Quantities
    states: Mapping[str, State] = field(default_factory=dict)


def _no_flux() -> GlucoseRate:
    """A flux that this model leaves out."""
    return 0.0


def _no_effect() -> Ratio:
    """A regulator that this model leaves out: always at its basal value."""
    return 1.0


def _forced_insulin(insulin_level_input: Insulin) -> Insulin:
    """Plasma insulin as it was measured."""
    return insulin_level_input


def _constant_production(basal_glucose_production: GlucoseRate) -> GlucoseRate:
    """Glucose production at its basal value."""
    return basal_glucose_production


def _held_glycogen(initial_glycogen: GlucoseAmount) -> GlucoseAmount:
    """Glycogen at its initial value."""
    return initial_glycogen


def _clamped(clamp_infusion: GlucoseRate) -> GlucoseRate:
    """What a clamp infuses."""
    return clamp_infusion


def _given_glucose(glucose_input: GlucoseRate, glucose_infusion: GlucoseRate) -> GlucoseRate:
    """Glucose entering the blood by vein."""
    return glucose_input + glucose_infusion


SLOTS: Mapping[str, Mapping[str, Part]] = {
    "gut": {
        "two_stage": Part(
            {
                "gastric_emptying": gut.gastric_emptying,
                "absorption": gut.absorption,
                "glucose_appearance": gut.glucose_appearance,
                "unabsorbed_glucose": gut.unabsorbed_glucose,
                "incretin_effect": gut.incretin_effect,
                "stomach_rate": gut.stomach_rate,
                "gut_rate": gut.gut_rate,
            },
            {
                "stomach": State("stomach_rate", None, "mg/kg", 100.0, channel="stomach"),
                "gut": State("gut_rate", None, "mg/kg", 100.0),
            },
        ),
        "none": Part(
            {"glucose_appearance": _no_flux, "unabsorbed_glucose": _no_flux, "incretin_effect": _no_effect}
        ),
    },
    "beta_cell": {
        "proportional_plus_rate": Part(
            {
                "glucose_stimulus": pancreas.glucose_stimulus,
                "adapted_glucose_rate": pancreas.adapted_glucose_rate,
                "provision_glucose_rate": pancreas.provision_glucose_rate,
                "secretion_threshold": pancreas.secretion_threshold,
                "insulin_secretion": pancreas.insulin_secretion,
                "basal_insulin_secretion": basal.basal_insulin_secretion,
            },
            {
                "adapted_glucose": State("adapted_glucose_rate", "basal_glucose", "mg/dL", 100.0),
                "provision_glucose": State("provision_glucose_rate", "basal_glucose", "mg/dL", 100.0),
            },
        ),
        "none": Part({}),
    },
    "insulin": {
        "kinetic": Part(
            {
                "sinusoidal_insulin": liver.sinusoidal_insulin,
                "basal_sinusoidal_insulin": basal.basal_sinusoidal_insulin,
                "insulin_extraction": liver.insulin_extraction,
                "insulin_slope": periphery.insulin_slope,
            },
            {
                "insulin": State(
                    "insulin_slope",
                    "basal_insulin",
                    "pmol/L",
                    100.0,
                    channel="insulin",
                    volume="insulin_volume",
                )
            },
        ),
        "forced": Part({"insulin": _forced_insulin}),
    },
    "c_peptide": {
        "two_pool": Part(
            {
                "basal_c_peptide": basal.basal_c_peptide,
                "basal_c_peptide_slow": basal.basal_c_peptide_slow,
                "c_peptide_slope": periphery.c_peptide_slope,
                "c_peptide_slow_slope": periphery.c_peptide_slow_slope,
            },
            {
                "c_peptide": State("c_peptide_slope", "basal_c_peptide", "pmol/L", 1000.0),
                "c_peptide_slow": State("c_peptide_slow_slope", "basal_c_peptide_slow", "pmol/L", 1000.0),
            },
        ),
        "none": Part({}),
    },
    "alpha_cell": {
        "responsive": Part(
            {
                "hypoglycaemic_drive": pancreas.hypoglycaemic_drive,
                "paracrine_drive": pancreas.paracrine_drive,
                "glucagon_rate": pancreas.glucagon_rate,
                "glucagon_effect": pancreas.glucagon_effect,
                "adapted_glucagon_rate": liver.adapted_glucagon_rate,
                "glucagon_drive": liver.glucagon_drive,
            },
            {
                "glucagon": State(
                    "glucagon_rate",
                    "basal_glucagon",
                    "pg/mL",
                    100.0,
                    channel="glucagon",
                    volume="glucagon_volume",
                ),
                "adapted_glucagon": State("adapted_glucagon_rate", "basal_glucagon", "pg/mL", 100.0),
            },
        ),
        "constant": Part({"glucagon_effect": _no_effect, "glucagon_drive": _no_effect}),
    },
    "liver": {
        "regulated": Part(
            {
                "basal_storage_signal": basal.basal_storage_signal,
                "basal_hepatic_uptake": basal.basal_hepatic_uptake,
                "basal_glycogenolysis": basal.basal_glycogenolysis,
                "basal_gluconeogenesis": basal.basal_gluconeogenesis,
                "hepatic_insulin_slope": liver.hepatic_insulin_slope,
                "insulin_suppression": liver.insulin_suppression,
                "glucose_suppression": liver.glucose_suppression,
                "glycogenolysis": liver.glycogenolysis,
                "gluconeogenesis": liver.gluconeogenesis,
                "storage_signal": liver.storage_signal,
                "portal_glucose": liver.portal_glucose,
                "hepatic_glucose_uptake": liver.hepatic_glucose_uptake,
                "indirect_storage": liver.indirect_storage,
                "endogenous_glucose_production": liver.endogenous_glucose_production,
                "gluconeogenesis_share": liver.gluconeogenesis_share,
                "glycogen_rate": liver.glycogen_rate,
                "liver_glycogen": liver.liver_glycogen,
            },
            {"hepatic_insulin": State("hepatic_insulin_slope", "basal_sinusoidal_insulin", "pmol/L", 100.0)},
        ),
        "constant": Part(
            {
                "gluconeogenesis": _constant_production,
                "endogenous_glucose_production": _constant_production,
                "hepatic_glucose_uptake": _no_flux,
                "glycogen_rate": _no_flux,
                "basal_hepatic_uptake": _no_flux,
            }
        ),
    },
    "glycogen": {
        "free": Part({}, {"glycogen": State("glycogen_rate", "initial_glycogen", "mg/kg", 1000.0)}),
        "held": Part({"glycogen": _held_glycogen}),
        "none": Part({}),
    },
    "kidney": {
        "threshold": Part(
            {
                "renal_glucose_excretion": periphery.renal_glucose_excretion,
                "basal_renal_glucose_excretion": basal.basal_renal_glucose_excretion,
            }
        ),
        "none": Part({"renal_glucose_excretion": _no_flux, "basal_renal_glucose_excretion": _no_flux}),
    },
    "brain": {
        "saturating": Part({"brain_glucose_uptake": periphery.saturating_brain_uptake}),
        "constant": Part({"brain_glucose_uptake": periphery.constant_brain_uptake}),
    },
    "glucose_clamp": {
        "none": Part({"glucose_infusion": _no_flux}),
        "infusion": Part({"clamp_infusion": periphery.clamp_infusion, "glucose_infusion": _clamped}),
    },
    "mass_balance": {
        "none": Part({}),
        "tracked": Part(
            {"given_glucose": _given_glucose},
            {
                "total_given": State("given_glucose", None, "mg/kg", 1000.0, channel="glucose"),
                "total_tissue_uptake": State("tissue_uptake", None, "mg/kg", 1000.0),
                "total_renal_glucose_excretion": State("renal_glucose_excretion", None, "mg/kg", 1000.0),
                "total_unabsorbed": State("unabsorbed_glucose", None, "mg/kg", 1000.0),
                "total_gluconeogenesis": State("gluconeogenesis", None, "mg/kg", 1000.0),
                "total_stored": State("glycogen_rate", None, "mg/kg", 1000.0),
            },
        ),
    },
}
"""Every slot of the loop with its choices. The two last are the simulator's, never a model file's."""

DEFAULTS: Mapping[str, str] = {"glucose_clamp": "none", "mass_balance": "none"}

ALWAYS = Part(
    {
        "glucose": periphery.glucose,
        "basal_glucose_mass": basal.basal_glucose_mass,
        "basal_glucose_production": basal.basal_glucose_production,
        "insulin_independent_uptake": periphery.insulin_independent_uptake,
        "insulin_dependent_uptake": periphery.insulin_dependent_uptake,
        "tissue_uptake": periphery.tissue_uptake,
        "unclamped_glucose_rate": periphery.unclamped_glucose_rate,
        "glucose_mass_rate": periphery.glucose_mass_rate,
        "remote_insulin_slope": periphery.remote_insulin_slope,
    },
    {
        "glucose_mass": State("glucose_mass_rate", "basal_glucose_mass", "mg/kg", 100.0, channel="glucose"),
        "remote_insulin": State("remote_insulin_slope", "basal_insulin", "pmol/L", 100.0),
    },
)
"""What every model has: glucose in blood, and insulin's action on it at muscle and fat."""

INPUTS: Mapping[str, float] = {
    "stomach": 0.0,
    "glucose": 0.0,
    "insulin": 0.0,
    "glucagon": 0.0,
    "emptying": 1.0,
    "clamp": 0.0,
    "clamp_target": 0.0,
    "insulin_level": 0.0,
}
"""The channels through which a protocol acts, with the value of one that is not used."""


class LoopError(BayesgluError, ValueError):
    """The chosen parts do not make a loop."""


@dataclass(frozen=True, eq=False)
class Loop:
    """The parts that a structure chose, put together.

    `quantities` are in an order in which each can be computed from those before it.
    """

    structure: Mapping[str, str]
    states: Mapping[str, State]
    quantities: Quantities
    parameters: tuple[str, ...]

    @property
    def fluxes(self) -> tuple[str, ...]:
        """Names of everything that can be asked for over time besides the states."""
        return tuple(name for name in self.quantities if name not in self.states)

    def unit(self, name: str) -> str:
        """Unit of a state or a quantity."""
        return self.states[name].unit if name in self.states else units(self.quantities[name])["return"]

    def evaluate(self, known: Mapping, only: frozenset[str] | None = None) -> dict:
        """All quantities (or `only` some), given parameters, states and inputs in `known`."""
        pool = dict(known)
        for name, function in self.quantities.items():
            if only is None or name in only:
                pool[name] = function(**{a: pool[a] for a in signature(function).parameters if a in pool})
        return pool

    def basal(self, parameters: Mapping) -> dict:
        """Everything that the parameters alone decide: the basal state and what follows from it in closed
        form."""
        return self.evaluate(parameters, self.constant_quantities)

    def initial(self, parameters: Mapping) -> dict:
        """Each state in the fasting basal state."""
        pool = self.basal(parameters)
        return {
            name: pool[s.initial] if s.initial else 0.0 * pool["basal_glucose"]
            for name, s in self.states.items()
        }

    def fluxes_at(self, state: Mapping, parameters: Mapping, inputs: Mapping | None = None) -> dict:
        """Every quantity by name, for a person in `state` while `inputs` act on the channels of `INPUTS`."""
        given = {f"{channel}_input": value for channel, value in {**INPUTS, **(inputs or {})}.items()}
        return self.evaluate({**parameters, **state, **given})

    def derivatives(self, state: Mapping, parameters: Mapping, inputs: Mapping | None = None) -> dict:
        """Change per minute of each state."""
        pool = self.fluxes_at(state, parameters, inputs)
        return {name: pool[s.rate] for name, s in self.states.items()}

    def fingerprint(self, parameters: Mapping) -> dict[str, float]:
        """Every quantity at one state away from rest, by name: two loops that agree here are the same."""
        start = self.initial(parameters)
        away = {name: value * (1.1 + 0.07 * i) + 0.5 for i, (name, value) in enumerate(start.items())}
        found = self.fluxes_at(away, parameters, {name: 0.3 for name in INPUTS})
        return {name: float(found[name]) for name in self.quantities}

    @property
    def constant_quantities(self) -> frozenset[str]:
        """Names of the quantities that depend on parameters alone."""
        constant: set[str] = set()
        for name, function in self.quantities.items():
            if all(a in constant or a in self.parameters for a in _needs(function)):
                constant.add(name)
        return frozenset(constant)


def _needs(function: Callable) -> list[str]:
    """Names of the arguments that must be given (those with a default need not)."""
    return [name for name, a in signature(function).parameters.items() if a.default is Parameter.empty]


def assemble(structure: Mapping[str, str]) -> Loop:
    """The loop that a model file's `structure` describes (slot -> choice)."""
    return _assemble(tuple(sorted({**DEFAULTS, **structure}.items())))


@cache
def _assemble(chosen: tuple[tuple[str, str], ...]) -> Loop:
    choice = dict(chosen)
    parts = [ALWAYS, *(SLOTS[slot][choice[slot]] for slot in SLOTS)]
    quantities = {name: function for part in parts for name, function in part.quantities.items()}
    states = {name: state for part in parts for name, state in part.states.items()}

    computable = {name: [a for a in _needs(f) if a in quantities] for name, f in quantities.items()}
    order = list(TopologicalSorter(computable).static_order())
    needed = {a for n in order for a in _needs(quantities[n])} | {
        s.volume for s in states.values() if s.volume
    }
    needed |= {s.initial for s in states.values() if s.initial}
    inputs = {f"{channel}_input" for channel in INPUTS}
    parameters = needed - set(order) - set(states) - inputs
    missing = sorted(parameters - set(PARAMETERS))
    if missing:
        raise LoopError(
            f"These choices do not make a loop: nothing computes {', '.join(missing)}. Chosen: {choice}."
        )
    return Loop(
        MappingProxyType(choice),
        MappingProxyType(states),
        MappingProxyType({n: quantities[n] for n in order}),
        tuple(name for name in PARAMETERS if name in parameters),
    )


def _functions() -> list[Callable]:
    """Every function that computes a quantity for some choice, in the order of the slots."""
    parts = [ALWAYS, *(part for choices in SLOTS.values() for part in choices.values())]
    return [function for part in parts for function in part.quantities.values()]


def _parameters() -> dict[str, str]:
    """Name and unit of every argument that no part computes, in the order in which the parts ask for them."""
    parts = [ALWAYS, *(part for choices in SLOTS.values() for part in choices.values())]
    computed = {name for part in parts for name in (*part.quantities, *part.states)}
    inputs = {f"{channel}_input" for channel in INPUTS}
    found: dict[str, str] = {}
    for function in _functions():
        unit = units(function)
        for name in _needs(function):
            if name not in computed and name not in inputs:
                found.setdefault(name, unit[name])
    return found


PARAMETERS: Mapping[str, str] = MappingProxyType(_parameters())
"""Every parameter that some choice asks for, with its unit."""

FRACTIONS: frozenset[str] = frozenset().union(*map(fractions, _functions())) & PARAMETERS.keys()
"""Those of them that are shares of a whole, and so between 0 and 1."""


def carbon(state: Mapping) -> float:
    """Carbohydrate in the body plus all that has left it, less all that has entered: constant but for what is
    drunk.

    Needs the states of the mass balance; linear in them, so that every Runge-Kutta method keeps it to
    rounding.
    """
    stored = state["glucose_mass"] + state["total_stored"] + state.get("stomach", 0.0) + state.get("gut", 0.0)
    left = state["total_tissue_uptake"] + state["total_renal_glucose_excretion"] + state["total_unabsorbed"]
    return stored + left - state["total_gluconeogenesis"] - state["total_given"]
