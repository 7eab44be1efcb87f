"""Parts: what one choice for a slot of the loop brings, and how the chosen ones combine.

A quantity is a name and the function that computes it; the function's arguments are the names of what it
needs. Each name is computed by one part. A flux between an organ and a pool that is not the organ's own, such
as glucose that it takes from the blood, is said to be so (`gives`, `takes`): the pool's rate is then what its
own part says, plus what organs give, less what they take. A factor of another part's flux is said to be one
(`modulates`): the flux is then what its own part says, times the factor.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from inspect import Parameter, Signature, signature
from types import MappingProxyType
from typing import Annotated

from bayesglu.errors import BayesgluError, InputError
from bayesglu.physiology.quantities import units
from bayesglu.text.problems import Problems

Quantities = Mapping[str, Callable]


class LoopError(BayesgluError, ValueError):
    """The chosen parts do not make a loop."""


@dataclass(frozen=True)
class State:
    """One state of the loop: its rate, its initial value and its unit.

    Parameters
    ----------
    rate : str
        Name of the quantity that is its change per minute.
    initial : str or None
        Name of the quantity or parameter that it starts from; None where nothing is there at the start.
    unit : str
        Unit of the state; its rate is in this unit per minute.
    scale : float
        Its usual size, against which the solver measures small errors.
    channel : str, optional
        A bolus on this input raises the state by the amount, divided by `volume`.
    volume : str, optional
        Name of that quantity.
    receives : tuple of str
        The quantities to which is added what organs give to this state; its rate where none are named.
    balance : str, optional
        The quantity that keeps the state at rest: less by what organs give it at rest, more by what they
        take.

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.State("glucagon_rate", "basal_glucagon", "pg/mL", 100.0, "glucagon", "glucagon_volume").unit
    'pg/mL'
    """

    rate: str
    initial: str | None
    unit: str
    scale: float
    channel: str | None = None
    volume: str | None = None
    receives: tuple[str, ...] = ()
    balance: str | None = None


@dataclass(frozen=True, eq=False)
class Part:
    """What one choice for a slot brings to the loop.

    Parameters
    ----------
    quantities : mapping
        Name to the function that computes it, in plain arithmetic, with the unit of each argument and of the
        result in its signature. An argument that nothing computes is a parameter; one called ``X_input`` is
        what a protocol gives, or the measured curve of X, a forcing function.
    states : mapping
        Name to `State`.
    gives, takes : mapping
        Name of one of the quantities to the state, of this part or of another, to which it is added or from
        which it is taken. It is an amount per kg and minute where a protocol gives such amounts to the state,
        else in the unit of the state per minute. What is called ``basal_X`` is what X is at rest.
    modulates : mapping
        Name of one of the quantities, a ratio, to those, of this part or of others, that it multiplies.

    Examples
    --------
    An organ that takes glucose:

    >>> import bayesglu as bg
    >>> from bayesglu.physiology.quantities import GlucoseRate, Ratio
    >>> def heart_uptake(basal_heart_uptake: GlucoseRate, heart_work: Ratio) -> GlucoseRate:
    ...     return basal_heart_uptake * heart_work
    >>> heart = bg.Part({"heart_uptake": heart_uptake}, takes={"heart_uptake": "glucose_mass"})
    """

    quantities: Quantities
    states: Mapping[str, State] = field(default_factory=dict)
    gives: Mapping[str, str] = field(default_factory=dict)
    takes: Mapping[str, str] = field(default_factory=dict)
    modulates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self):
        for name in ("quantities", "states", "gives", "takes", "modulates"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __bool__(self) -> bool:
        """Whether it brings anything."""
        return bool(self.quantities or self.states)

    def replacing(self, **functions: Callable) -> "Part":
        """The part with some of its quantities computed by other functions.

        Parameters
        ----------
        **functions : callable
            Name of a quantity to the function that computes it from now on.

        Returns
        -------
        Part
            The new part; this one stays as it is.

        Raises
        ------
        InputError
            If the part does not compute a name; the message lists every one.

        Examples
        --------
        >>> import bayesglu as bg
        >>> from bayesglu.physiology.quantities import GlucoseAmount, GlucoseRate, Rate
        >>> def glycogenolysis(glycogen: GlucoseAmount, glycogen_turnover: Rate) -> GlucoseRate:
        ...     return glycogen_turnover * glycogen
        >>> mine = bg.get_part("liver", "regulated").replacing(glycogenolysis=glycogenolysis)
        >>> mine.quantities["glycogenolysis"] is glycogenolysis
        True
        """
        problems = Problems("replacing")
        for name in functions:
            if name not in self.quantities:
                problems.unknown(name, self.quantities, "quantity")
        problems.raise_any(InputError)
        return replace(self, quantities={**self.quantities, **functions})


def needs(function: Callable) -> list[str]:
    """Names of the arguments that must be given (those with a default need not)."""
    return [name for name, a in signature(function).parameters.items() if a.default is Parameter.empty]


def combined(parts: Mapping[str, Part], faults: list[str]) -> Part:
    """Several parts as one, by what each is called in sentences; what does not fit goes to `faults`."""
    home: dict[str, str] = {}
    for called, part in parts.items():
        for name in dict.fromkeys((*part.quantities, *part.states)):
            if name in home:
                faults.append(f"both {home[name]} and {called} compute {name}, which must be one part's.")
            home.setdefault(name, called)
    quantities = {name: function for part in parts.values() for name, function in part.quantities.items()}
    quantities = _modulated(quantities, parts, faults)
    states = {name: state for part in parts.values() for name, state in part.states.items()}
    for called, part in parts.items():
        for flux, pool in (*part.gives.items(), *part.takes.items()):
            if pool not in states:
                faults.append(f"{called} exchanges {flux} with {pool}, which no chosen part has as a state.")
            elif (basal := _at_rest(flux, quantities)) and not states[pool].balance:
                faults.append(
                    f"{called} exchanges {flux} with {pool}, and {basal} of it at rest, but nothing balances "
                    f"{pool} at rest; {flux} must be what is exchanged beyond rest."
                )
    return Part(quantities if faults else _exchanging(quantities, states, parts), states)


def _modulated(quantities: dict, parts: Mapping[str, Part], faults: list[str]) -> dict:
    """The quantities, each times the factors that parts have for it."""
    found = dict(quantities)
    for called, part in parts.items():
        for factor, fluxes in part.modulates.items():
            for flux in fluxes:
                if flux in found:
                    found[flux] = _times(found, flux, factor)
                else:
                    faults.append(f"{called} modulates {flux}, which no chosen part computes.")
    return found


def _times(quantities: Quantities, name: str, factor: str) -> Callable:
    """The function of a quantity times another quantity."""
    function = quantities[name]
    own = signature(function).parameters

    def whole(**known):
        return known[factor] * function(**{n: known[n] for n in own if n in known})

    whole.__name__, whole.__module__, whole.__doc__ = name, function.__module__, function.__doc__
    said = units(function)
    unit = {n: said[n] for n in own} | {factor: units(quantities[factor])["return"], "return": said["return"]}
    return declared(whole, unit, {n: a.default for n, a in own.items()})


def _at_rest(flux: str, quantities: Quantities) -> str | None:
    """Name of what a flux is at rest, where a quantity or a parameter is called so."""
    basal = f"basal_{flux}"
    asked = basal in quantities or any(basal in needs(function) for function in quantities.values())
    return basal if asked else None


def _exchanging(quantities: Quantities, states: Mapping[str, State], parts: Mapping[str, Part]) -> dict:
    """The quantities, where each pool receives what organs give and loses what they take."""
    whole = dict(quantities)
    for pool, state in states.items():
        given, taken = (
            [flux for part in parts.values() for flux, to in getattr(part, side).items() if to == pool]
            for side in ("gives", "takes")
        )
        if not (given or taken):
            continue
        for name in state.receives or (state.rate,):
            if name in whole:
                whole[name] = _plus(whole, name, given, taken, state.volume)
        basal_given, basal_taken = (
            [name for flux in fluxes if (name := _at_rest(flux, quantities))] for fluxes in (given, taken)
        )
        if basal_given or basal_taken:
            assert state.balance is not None  # else it is one of the faults of `combined`
            whole[state.balance] = _plus(whole, state.balance, basal_taken, basal_given)
    return whole


def _plus(
    quantities: Quantities, name: str, more: list[str], less: list[str], volume: str | None = None
) -> Callable:
    """The function of a quantity with the sum of others added, over a volume where there is one."""
    function = quantities[name]
    own = signature(function).parameters
    unit = {called: said for each in quantities.values() for called, said in units(each).items()}
    unit |= {called: units(each)["return"] for called, each in quantities.items()}

    def whole(**known):
        amount = sum(known[n] for n in more) - sum(known[n] for n in less)
        base = function(**{n: known[n] for n in own if n in known})
        return base + (amount / known[volume] if volume else amount)

    whole.__name__, whole.__module__, whole.__doc__ = name, function.__module__, function.__doc__
    asked = dict.fromkeys((*own, *more, *less, *([volume] if volume else ())))
    said = {n: unit[n] for n in asked} | {"return": units(function)["return"]}
    return declared(whole, said, {n: a.default for n, a in own.items()})


def declared(
    function: Callable, unit: Mapping[str, str], defaults: Mapping = MappingProxyType({})
) -> Callable:
    """A function of any names as one of these, each with its unit, and of the result as ``return``."""
    arguments = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=defaults.get(name, Parameter.empty))
        for name in unit
        if name != "return"
    ]
    # pyrefly: ignore[missing-attribute]  # what inspect.signature gives back; typeshed does not list it
    function.__signature__ = Signature(arguments)
    function.__annotations__ = {name: Annotated[float, said] for name, said in unit.items()}
    return function
