"""Residuals by the names that model files give them, and by the numbers that compiled code gives them.

A new kind is a file here that keeps the contract, a place in `KINDS`, and a branch of its compiled form,
`inference.residuals`. Whatever else there is reads it from here.
"""

from bayesglu.residuals.contract import Residual
from bayesglu.residuals.normal import Normal
from bayesglu.residuals.student import Student

__all__ = ["KINDS", "Normal", "Residual", "Student", "numbered", "residual"]

KINDS: dict[str, type[Residual]] = {kind.name: kind for kind in (Normal, Student)}
"""Every kind by its name."""


def residual(name: str, nu: float | None = None) -> Residual:
    """The residual of a name; `nu` is its shape, where it has one."""
    kind = KINDS[name]
    return kind() if nu is None or kind.shape_above is None else kind(nu)


def numbered(number: int, nu: float) -> Residual:
    """The residual of a number."""
    (name,) = (name for name, kind in KINDS.items() if kind.number == number)
    return residual(name, nu)
