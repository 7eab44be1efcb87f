"""The gut: a drink or a meal leaves the stomach, is absorbed from the lumen and appears in portal blood."""

from bayesglu.physiology.quantities import Fraction, GlucoseAmount, GlucoseRate, Rate, Ratio


def gastric_emptying(
    stomach: GlucoseAmount, emptying_rate: Rate, emptying_saturation: GlucoseAmount, emptying_input: Ratio
) -> GlucoseRate:
    r"""Carbohydrate leaving the stomach.

    .. math:: \frac{k_e q_1}{1 + q_1 / q_s}

    Emptying saturates near ``emptying_rate * emptying_saturation`` (1-4 kcal/min, Marathe 2014, Diabetes
    63:2668), so a large meal takes longer. ``emptying_input`` is the protocol's: 1 for a drink, less for a
    mixed meal.
    """
    return emptying_rate * emptying_input * stomach / (1 + stomach / emptying_saturation)


def absorption(gut: GlucoseAmount, absorption_rate: Rate) -> GlucoseRate:
    """Glucose leaving the gut lumen."""
    return absorption_rate * gut


def glucose_appearance(absorption: GlucoseRate, bioavailability: Fraction) -> GlucoseRate:
    """Glucose appearing in portal blood."""
    return bioavailability * absorption


def unabsorbed_glucose(absorption: GlucoseRate, bioavailability: Fraction) -> GlucoseRate:
    """Glucose that leaves the lumen and never reaches the blood."""
    return (1 - bioavailability) * absorption


def incretin_effect(
    glucose_appearance: GlucoseRate, incretin_potentiation: Ratio, incretin_half_saturation: GlucoseRate
) -> Ratio:
    """Factor by which glucose coming from the gut amplifies insulin secretion; 1 in the fasting state.

    Responsible for 40-70 % of the insulin after an oral load in health (Marathe 2014, Diabetes 63:2668).
    """
    return 1 + incretin_potentiation * glucose_appearance / (incretin_half_saturation + glucose_appearance)


def stomach_rate(gastric_emptying: GlucoseRate, stomach_input: GlucoseRate) -> GlucoseRate:
    """Change of the carbohydrate in the stomach."""
    return stomach_input - gastric_emptying


def gut_rate(gastric_emptying: GlucoseRate, absorption: GlucoseRate) -> GlucoseRate:
    """Change of the carbohydrate in the gut lumen."""
    return gastric_emptying - absorption


def stomach_dilution(early_emptying_share: Fraction) -> Ratio:
    """What is drunk, over what of it stays in the stomach at first."""
    return 1 / (1 - early_emptying_share)


def duodenal_dilution(early_emptying_share: Fraction) -> Ratio:
    """What is drunk, over what of it leaves the stomach at once."""
    return 1 / early_emptying_share


def late_stomach_rate(
    gastric_emptying: GlucoseRate, stomach_input: GlucoseRate, early_emptying_share: Fraction
) -> GlucoseRate:
    """Change of the carbohydrate in the stomach, past which a part of it goes at once."""
    return (1 - early_emptying_share) * stomach_input - gastric_emptying


def early_gut_rate(
    gastric_emptying: GlucoseRate,
    absorption: GlucoseRate,
    stomach_input: GlucoseRate,
    early_emptying_share: Fraction,
) -> GlucoseRate:
    """Change of the carbohydrate in the gut lumen, which a part of a drink reaches at once.

    Drinks begin to empty fast, before the small intestine has tasted them and holds the stomach back (Hunt
    1985, Gastroenterology 89:1326; Vist 1994, Med Sci Sports Exerc 26:1269).
    """
    return early_emptying_share * stomach_input + gastric_emptying - absorption
