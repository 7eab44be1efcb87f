"""Residuals by name, as a model file says them."""

from collections.abc import Callable, Mapping

from bayesglu.hierarchy.residuals.contract import Residual
from bayesglu.hierarchy.residuals.normal import Normal
from bayesglu.hierarchy.residuals.student import Student
from bayesglu.spec.priors import Analyte

__all__ = ["KINDS", "Normal", "Residual", "Student", "residual_of"]

KINDS: Mapping[int, Callable[..., Residual]] = {Normal.kind: Normal, Student.kind: Student}
"""Every kind by its number in compiled code."""


def residual_of(analyte: Analyte) -> Residual:
    """The residual of an analyte's samples."""
    if analyte.residual != "student":
        return Normal()
    assert analyte.nu is not None  # which the reader asks of every such analyte
    return Student(analyte.nu)
