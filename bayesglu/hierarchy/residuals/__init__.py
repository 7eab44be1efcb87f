"""Residuals by name, as a model file says them."""

from bayesglu.hierarchy.residuals.contract import Residual
from bayesglu.hierarchy.residuals.normal import Normal
from bayesglu.hierarchy.residuals.student import Student
from bayesglu.spec.priors import Analyte

__all__ = ["KINDS", "Normal", "Residual", "Student", "residual_of"]

KINDS = {Normal.kind: Normal, Student.kind: Student}
"""Every kind by its number in compiled code."""


def residual_of(analyte: Analyte) -> Residual:
    """The residual of an analyte's samples."""
    return Student(analyte.nu) if analyte.residual == "student" else Normal()
