"""Whether a model can say anything about a study, and about what was done there."""

from bayesglu.analytes import words
from bayesglu.errors import InputError, ModelWarning, warn_caller
from bayesglu.physiology.loop import assemble
from bayesglu.protocols.checked import Forcing
from bayesglu.protocols.protocol import Protocol
from bayesglu.spec.model import ModelSpec, SpecError
from bayesglu.study.study import Study, StudyError

# Insulin always has its place: where a model does not compute it, what was measured is its forcing function.
NOT_TAKEN = {
    "stomach": "it has no gut to take oral glucose. Choose one that has, such as 'oral'.",
    "glucagon": "it leaves out what glucagon does. Choose one that has it, such as 'feedback'.",
}


LONGEST_FAST = 16.0
"""Hours without glucose, a long night, after which it is no longer nearly true that glycogen stays: it
falls by half on the first day of a fast (Rothman 1991, Science 254:573)."""


def warn_of_fasts(spec: ModelSpec, protocol: Protocol, until: float) -> None:
    """Say so where glycogen is held and someone fasts longer than it would last, to `until` (min) at most."""
    if spec.structure["glycogen"] != "held":
        return
    fed = [(e.time, e.stop) for e in protocol.events if e.substance == "glucose"]
    ends = [protocol.start, *(stop for _, stop in fed)]
    begins = [*(time for time, _ in fed), max(until, protocol.duration)]
    longest = max(begin - end for begin, end in zip(sorted(begins), sorted(ends), strict=True)) / 60
    if longest > LONGEST_FAST:
        called = protocol.name or "This protocol"
        warn_caller(
            f"{called} has {longest:.0f} h without glucose, and the model '{spec.name}' holds the liver's "
            "glycogen constant: a fasting person never runs out of it. Choose a model whose glycogen is "
            "used up, such as 'feedback', or 'fasting' for a fast of days.",
            ModelWarning,
        )


def check_protocol(spec: ModelSpec, protocol: Protocol) -> None:
    """Raise a ValueError if the protocol gives something that could change nothing in this model."""
    taken = {state.channel for state in assemble(spec.structure).states.values()}
    given = {event.channel for event in protocol.events if event.amount > 0}
    lost = [why for channel, why in NOT_TAKEN.items() if channel in given - taken]
    if lost:
        called = protocol.name or "This protocol"
        raise InputError(f"{called} is not for the model '{spec.name}': {' '.join(lost)}")


def check_forcing(spec: ModelSpec, forcing: Forcing | None) -> None:
    """Raise an InputError unless a forcing function is given where the model has one, and only there."""
    forced = tuple(assemble(spec.structure).forced)
    if forced and forcing is None:
        another = ", or choose a model with insulin of its own, such as 'ivgtt' or 'oral'"
        raise InputError(
            f"The model '{spec.name}' has measured {words(forced[0])} as its forcing function and cannot "
            "predict it: give forcing=(times, values)"
            f"{another if forced == ('insulin',) else ''}."
        )
    if forcing is not None and not forced:
        raise InputError(
            f"The model '{spec.name}' computes its own insulin and has no use for forcing: leave it out, "
            "or choose a model with a forcing function, such as 'minimal'."
        )


def check_study(spec: ModelSpec, study: Study) -> None:
    """Raise SpecError or StudyError if a model and a study do not fit together."""
    if several := [n for n in spec.correlations if n in spec.at("occasion")]:
        raise SpecError(
            f"{spec.name}: [correlations] are of what differs between people, but {', '.join(several)} "
            "differs from occasion to occasion; give it the level 'subject', or take it out of the section."
        )
    unknown = [a for a in study.analytes if a not in spec.analytes]
    if unknown:
        raise StudyError(
            f"The study '{study.name}' measured {', '.join(unknown)}, which the model '{spec.name}' does not "
            f"describe. It describes {', '.join(spec.analytes)}. Use study.select(analytes=[...]) to leave "
            "samples out, or another model (bayesglu models)."
        )
    forced = [a for a, analyte in spec.analytes.items() if analyte.forcing and a not in study.analytes]
    if forced:
        raise StudyError(
            f"The model '{spec.name}' has measured {', '.join(forced)} as its forcing function, "
            f"which the study '{study.name}' lacks."
        )
    last = study.observations.time.to_series().groupby(study.observations.subject.values).max()
    until: dict[Protocol, float] = {}
    for (subject, _), protocol in study.protocols.items():
        until[protocol] = max(until.get(protocol, 0.0), float(last.get(subject, 0.0)))
    for protocol, time in until.items():
        check_protocol(spec, protocol)
        warn_of_fasts(spec, protocol, time)
