"""What the forms of the fluxes miss: smooth factors, which follow the time since a test began.

The logarithm of each factor is a sum of three waves, highest 20, 60 and 180 min after the latest meal or
drink (or after what is given first, where nothing is drunk). Their coefficients are the logarithms of
parameters: 1 where a form is right. Before the test, and long after it, the factors are 1. What of
them is the day's is kept for the test that was fitted, and drawn anew for another one (Kennedy
and O'Hagan 2001, J R Stat Soc B 63:425; Brynjarsdottir and O'Hagan 2014, Inverse Probl 30:114007).
"""

from bayesglu.physiology.quantities import Minutes, Ratio
from bayesglu.physiology.smooth import exp, log


def early_wave(elapsed_input: Minutes, early_time: Minutes = 20.0) -> Ratio:
    """How much what is early in a test counts now."""
    return _wave(elapsed_input / early_time)


def middle_wave(elapsed_input: Minutes, middle_time: Minutes = 60.0) -> Ratio:
    """How much what is in the middle of a test counts now."""
    return _wave(elapsed_input / middle_time)


def late_wave(elapsed_input: Minutes, late_time: Minutes = 180.0) -> Ratio:
    """How much what is late in a test counts now."""
    return _wave(elapsed_input / late_time)


def emptying_discrepancy(
    early_wave: Ratio,
    middle_wave: Ratio,
    late_wave: Ratio,
    early_emptying_discrepancy: Ratio,
    middle_emptying_discrepancy: Ratio,
    late_emptying_discrepancy: Ratio,
) -> Ratio:
    """Factor of gastric emptying that its form misses."""
    waves = early_wave, middle_wave, late_wave
    return _factor(
        waves, (early_emptying_discrepancy, middle_emptying_discrepancy, late_emptying_discrepancy)
    )


def secretion_discrepancy(
    early_wave: Ratio,
    middle_wave: Ratio,
    late_wave: Ratio,
    early_secretion_discrepancy: Ratio,
    middle_secretion_discrepancy: Ratio,
    late_secretion_discrepancy: Ratio,
) -> Ratio:
    """Factor of the secretion of insulin that its form misses."""
    waves = early_wave, middle_wave, late_wave
    return _factor(
        waves, (early_secretion_discrepancy, middle_secretion_discrepancy, late_secretion_discrepancy)
    )


def production_discrepancy(
    early_wave: Ratio,
    middle_wave: Ratio,
    late_wave: Ratio,
    early_production_discrepancy: Ratio,
    middle_production_discrepancy: Ratio,
    late_production_discrepancy: Ratio,
) -> Ratio:
    """Factor of glycogenolysis and gluconeogenesis that their forms miss."""
    waves = early_wave, middle_wave, late_wave
    return _factor(
        waves, (early_production_discrepancy, middle_production_discrepancy, late_production_discrepancy)
    )


def uptake_discrepancy(
    early_wave: Ratio,
    middle_wave: Ratio,
    late_wave: Ratio,
    early_uptake_discrepancy: Ratio,
    middle_uptake_discrepancy: Ratio,
    late_uptake_discrepancy: Ratio,
) -> Ratio:
    """Factor of the insulin-dependent uptake of glucose that its form misses."""
    waves = early_wave, middle_wave, late_wave
    return _factor(waves, (early_uptake_discrepancy, middle_uptake_discrepancy, late_uptake_discrepancy))


def _wave(progress: Ratio) -> Ratio:
    """Rises from 0 to 1, where `progress` is 1, and fades."""
    return progress * exp(1 - progress)


def _factor(waves: tuple, coefficients: tuple) -> Ratio:
    """The product of coefficients, each to the power of its wave."""
    return exp(sum(wave * log(coefficient) for wave, coefficient in zip(waves, coefficients, strict=True)))
