"""Whether a model can say anything about what is done to people."""

from bayesglu.physiology.loop import assemble
from bayesglu.protocols.events import Protocol
from bayesglu.spec.model import ModelSpec

# Insulin always has its place: a model that does not compute it is driven by what was measured.
NOT_TAKEN = {
    "stomach": "it has no gut to take oral glucose. Choose one that has, such as 'oral'.",
    "glucagon": "it leaves out what glucagon does. Choose one that has it, such as 'feedback'.",
}


def check_protocol(spec: ModelSpec, protocol: Protocol) -> None:
    """Raise a ValueError if the protocol gives something that could change nothing in this model."""
    taken = {state.channel for state in assemble(spec.structure).states.values()}
    given = {event.channel for event in protocol.events if event.amount > 0}
    lost = [why for channel, why in NOT_TAKEN.items() if channel in given - taken]
    if lost:
        called = protocol.name or "This protocol"
        raise ValueError(f"{called} is not for the model '{spec.name}': {' '.join(lost)}")
