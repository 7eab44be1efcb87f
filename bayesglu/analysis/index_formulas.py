"""Formulas of indices: of fasting values, of an oral or an intravenous test, of a clamp. In the package's
units, where a formula's own are not named; NaN where they mean nothing."""

import numpy as np

from bayesglu.analysis.sampled_test import NotKnown, SampledTest
from bayesglu.units import express

STEADY_FROM = 80.0
"""Minute from which a clamp counts as steady."""

UNSTEADY = 0.1
"""Share of its mean by which glucose may vary in the last minutes of a clamp that is steady."""


def mmol(glucose):
    """Glucose in mmol/L."""
    return express(glucose, "mmol/L", "glucose")


def units(insulin):
    """Insulin in uU/mL."""
    return express(insulin, "uU/mL", "insulin")


def where(fine, value):
    """The values where they mean something."""
    return np.where(fine, value, np.nan)


def ratio(above, below):
    """A ratio, where what is below is positive."""
    return where(below > 0, above / np.where(below > 0, below, 1.0))


# --- fasting ---


def homa_ir(glucose, insulin):
    """Insulin resistance of fasting glucose (mg/dL) and insulin (pmol/L).

    >>> round(float(homa_ir(5 * 18.016, 9 * 6.0)), 6)
    2.0
    """
    return where(insulin > 0, mmol(glucose) * units(insulin) / 22.5)


def homa_b(glucose, insulin):
    """Beta-cell function in percent, of fasting glucose (mg/dL) and insulin (pmol/L).

    >>> round(float(homa_b(4.5 * 18.016, 5 * 6.0)), 6)
    100.0
    """
    return ratio(20 * units(insulin), mmol(glucose) - 3.5)


def quicki(glucose, insulin):
    """Quantitative insulin sensitivity check of fasting glucose (mg/dL) and insulin (pmol/L).

    >>> round(float(quicki(100.0, 10 * 6.0)), 6)
    0.333333
    """
    product = glucose * units(insulin)
    return ratio(1.0, np.log10(np.maximum(product, 1.0)))


# --- an oral test ---


def matsuda(test: SampledTest):
    """Composite insulin sensitivity of an oral test: means by time over two hours."""
    fasting = test.fasting("glucose") * units(test.fasting("insulin"))
    means = test.mean("glucose", 120) * units(test.mean("insulin", 120))
    return ratio(10_000.0, np.sqrt(np.maximum(fasting * means, 0.0)))


def stumvoll(test: SampledTest):
    """Insulin sensitivity by a regression on an oral test, samples at 0 and 120 min."""
    insulin = 0.0000459 * test.at("insulin", 120) + 0.000321 * test.at("insulin", 0)
    found = 0.156 - insulin - 0.00541 * mmol(test.at("glucose", 120))
    return where(found > 0, found)


def ogis(test: SampledTest):
    """Glucose clearance of a clamp, predicted by an oral test of 75 g with samples at 0, 90 and 120 min."""
    if not abs(test.glucose_dose - 75.0) < 0.5:
        dose = f"{test.glucose_dose:g} g" if np.isfinite(test.glucose_dose) else "unknown"
        raise NotKnown(f"the dose is {dose}, and the constants are of 75 g")
    g0, g90, g120 = (test.at("glucose", minute) for minute in (0, 90, 120))
    rise = units(test.at("insulin", 90) - test.at("insulin", 0)) + 325.0
    dose = 650.0 * test.glucose_dose / test.body_surface
    x1 = 132.0 * ratio((dose - 10_000.0 * (g120 - g90) / 30.0) / g90 + 81_300.0 / g0, rise)
    x2 = (0.000652 * (g90 - 90.0) + 1.0) * x1
    inner = x2**2 + 4.0 * 0.000652 * 173.0 * (g90 - 90.0) * x1
    return where(inner >= 0, 0.5 * (x2 + np.sqrt(np.maximum(inner, 0.0))))


def insulinogenic(test: SampledTest):
    """Rise of insulin over that of glucose in the first half hour of an oral test."""
    insulin = units(test.at("insulin", 30) - test.at("insulin", 0))
    return ratio(insulin, test.at("glucose", 30) - test.at("glucose", 0))


def oral_disposition(test: SampledTest):
    """Insulinogenic index times composite sensitivity."""
    return insulinogenic(test) * matsuda(test)


def phi_total(test: SampledTest):
    """Secretion above basal for each mg/dL of glucose above basal, over three hours of an oral test."""
    secreted = test.area("insulin_secretion", 180, above=test.fasting("insulin_secretion"))
    return ratio(secreted, test.area("glucose", 180, above=test.fasting("glucose")))


def suppression(test: SampledTest, analyte: str):
    """How far something falls below its fasting value within two hours, in percent of it."""
    fasting = test.fasting(analyte)
    return 100 * ratio(fasting - test.lowest(analyte, 120), fasting)


# --- an intravenous test ---


def acute_insulin_response(test: SampledTest):
    """Area of insulin above basal in the first ten minutes after intravenous glucose, in uU/mL min."""
    return units(test.area("insulin", 10, above=test.fasting("insulin")))


# --- a clamp ---


def m_value(test: SampledTest):
    """Mean glucose infusion of the last forty minutes of a clamp of two hours."""
    times, glucose = test.times["glucose"], test.values["glucose"]
    last = (times >= STEADY_FROM) & (times < times[-1])  # at its end nothing is infused any more
    steady = np.ptp(glucose[..., last], axis=-1) < UNSTEADY * glucose[..., last].mean(-1)
    return where(steady, test.values["glucose_infusion"][..., last].mean(-1))


def clamp_isi(test: SampledTest):
    """M-value over 100 uU/mL of insulin in the same minutes."""
    times = test.times["insulin"]
    last = (times >= STEADY_FROM) & (times < times[-1])
    return 100 * ratio(m_value(test), units(test.values["insulin"][..., last].mean(-1)))
