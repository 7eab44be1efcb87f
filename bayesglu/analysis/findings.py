"""What a check found, as sentences."""

from typing import NamedTuple


class Finding(NamedTuple):
    """A sentence about what was checked, and whether it passed."""

    sentence: str
    fine: bool = True


def count(number: int, what: str) -> str:
    """So many of something: ``"1 chain"``, ``"4 chains"``."""
    return f"{number} {what}{'' if number == 1 else 's'}"
