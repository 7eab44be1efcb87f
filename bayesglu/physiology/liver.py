"""The liver: stores glucose as glycogen, releases it again, makes new glucose, and clears insulin."""

from bayesglu.physiology.adrenal import counterregulated
from bayesglu.physiology.quantities import (
    Fraction,
    Glucagon,
    GlucagonSlope,
    Glucose,
    GlucoseAmount,
    GlucoseClearance,
    GlucoseRate,
    Insulin,
    InsulinRate,
    InsulinSlope,
    LiverGlycogen,
    Minutes,
    MolarMass,
    PlasmaFlow,
    PlasmaVolume,
    Rate,
    Ratio,
)
from bayesglu.physiology.smooth import hill, saturating_drive


def sinusoidal_insulin(
    insulin: Insulin, insulin_secretion: InsulinRate, hepatic_plasma_flow: PlasmaFlow
) -> Insulin:
    """Insulin in the blood that reaches the liver cells: the circulating, plus what the pancreas has just
    secreted."""
    return insulin + insulin_secretion / hepatic_plasma_flow


def insulin_extraction(
    sinusoidal_insulin: Insulin,
    basal_sinusoidal_insulin: Insulin,
    hepatic_extraction: Fraction,
    extraction_half_saturation: Insulin,
) -> Fraction:
    r"""Share of the insulin passing the liver that it clears; falls as more is delivered.

    .. math:: \frac{E}{1 - E} = \frac{E_b}{1 - E_b}\,\frac{K_E + I_{s,b}}{K_E + I_s}

    60 % fasting and 40 % in a meal (Campioni 2009, Am J Physiol 297:E941). What saturates is the odds of
    being cleared rather than passed on, so that the share stays between 0 and 1 whatever the delivery.
    """
    removal = hepatic_extraction * (extraction_half_saturation + basal_sinusoidal_insulin)
    return removal / (removal + (1 - hepatic_extraction) * (extraction_half_saturation + sinusoidal_insulin))


def hepatic_insulin_slope(
    sinusoidal_insulin: Insulin, hepatic_insulin: Insulin, hepatic_insulin_rate: Rate
) -> InsulinSlope:
    """Change of the insulin that acts in the liver, which follows the sinusoidal insulin with a delay."""
    return hepatic_insulin_rate * (sinusoidal_insulin - hepatic_insulin)


def adapted_glucagon_rate(
    glucagon: Glucagon, adapted_glucagon: Glucagon, glucagon_tolerance_time: Minutes
) -> GlucagonSlope:
    """Change of the glucagon that the liver has adapted to."""
    return (glucagon - adapted_glucagon) / glucagon_tolerance_time


def glucagon_drive(
    glucagon: Glucagon,
    basal_glucagon: Glucagon,
    adapted_glucagon: Glucagon,
    glucagon_independence: Ratio,
    glucagon_tolerance: Fraction,
) -> Ratio:
    r"""Factor by which glucagon drives glucose production; part of it needs no glucagon (Breckenridge 2007,
    Diabetes 56:2442).

    .. math:: \psi = \frac{g_0 + N / ((1 - \delta) N_b + \delta A)}{g_0 + 1}

    What counts is glucagon against a level that follows it: the effect of a lasting infusion fades within an
    hour (Rizza 1979, J Clin Endocrinol Metab 48:352).
    """
    reference = (1 - glucagon_tolerance) * basal_glucagon + glucagon_tolerance * adapted_glucagon
    return (glucagon_independence + glucagon / reference) / (glucagon_independence + 1)


def production_left_by_insulin(
    hepatic_insulin: Insulin, basal_sinusoidal_insulin: Insulin, insulin_suppression_half_saturation: Insulin
) -> Ratio:
    """Factor of glucose production that suppression by insulin leaves (Rizza 1981): 1 at basal insulin, near
    0 at very high, above 1 where insulin is below basal."""
    return (insulin_suppression_half_saturation**2 + basal_sinusoidal_insulin**2) / (
        insulin_suppression_half_saturation**2 + hepatic_insulin**2
    )


def glycogenolysis_left_by_glucose(
    glucose: Glucose, basal_glucose: Glucose, glucose_suppression_half_saturation: Glucose
) -> Ratio:
    """Factor of the breakdown of glycogen that suppression by glucose itself leaves (autoregulation): 1 at
    basal glucose, less above, more below."""
    return (glucose_suppression_half_saturation + basal_glucose) / (
        glucose_suppression_half_saturation + glucose
    )


def glycogenolysis_drive(
    glucagon_drive: Ratio,
    production_left_by_insulin: Ratio,
    glycogenolysis_left_by_glucose: Ratio,
    production_ceiling: Ratio,
) -> Ratio:
    """How strongly glucagon, insulin and glucose call for the breakdown of glycogen: 1 in the basal state."""
    called = glucagon_drive * production_left_by_insulin * glycogenolysis_left_by_glucose
    return saturating_drive(called, production_ceiling)


def gluconeogenesis_drive(
    glucagon_drive: Ratio, production_left_by_insulin: Ratio, production_ceiling: Ratio
) -> Ratio:
    """How strongly glucagon and insulin call for new glucose: 1 in the basal state."""
    return saturating_drive(glucagon_drive * production_left_by_insulin, production_ceiling)


def counterregulated_glycogenolysis_drive(
    glucagon_drive: Ratio,
    production_left_by_insulin: Ratio,
    glycogenolysis_left_by_glucose: Ratio,
    production_ceiling: Ratio,
    adrenergic_response: Fraction,
    basal_adrenergic_response: Fraction,
    adrenergic_production: Ratio,
) -> Ratio:
    """How strongly glucagon, insulin, glucose and adrenaline call for the breakdown of glycogen: 1 in the
    basal state."""
    others = glycogenolysis_drive(
        glucagon_drive, production_left_by_insulin, glycogenolysis_left_by_glucose, production_ceiling
    )
    return counterregulated(others, adrenergic_response, basal_adrenergic_response, adrenergic_production)


def counterregulated_gluconeogenesis_drive(
    glucagon_drive: Ratio,
    production_left_by_insulin: Ratio,
    production_ceiling: Ratio,
    adrenergic_response: Fraction,
    basal_adrenergic_response: Fraction,
    adrenergic_production: Ratio,
) -> Ratio:
    """How strongly glucagon, insulin and adrenaline call for new glucose: 1 in the basal state."""
    others = gluconeogenesis_drive(glucagon_drive, production_left_by_insulin, production_ceiling)
    return counterregulated(others, adrenergic_response, basal_adrenergic_response, adrenergic_production)


def glycogenolysis(
    glycogenolysis_drive: Ratio,
    glycogen: GlucoseAmount,
    initial_glycogen: GlucoseAmount,
    glycogen_half_saturation: GlucoseAmount,
    basal_glycogenolysis: GlucoseRate,
) -> GlucoseRate:
    r"""Glucose released by the breakdown of glycogen.

    .. math:: P = P_b\, R_P\, \frac{\sigma(L)}{\sigma(L_b)}, \qquad \sigma(L) = \frac{L^2}{K_L^2 + L^2}

    Falls as glycogen runs out (the time course of Rothman 1991, Science 254:573).
    """
    substrate = hill(glycogen, glycogen_half_saturation, 2) / hill(
        initial_glycogen, glycogen_half_saturation, 2
    )
    return basal_glycogenolysis * glycogenolysis_drive * substrate


def gluconeogenesis(
    gluconeogenesis_drive: Ratio, basal_gluconeogenesis: GlucoseRate, gluconeogenic_hormone_share: Fraction
) -> GlucoseRate:
    r"""New glucose from lactate, glycerol and amino acids.

    .. math:: W = W_b'\,(1 - e + e\,R_W)

    Only the share ``gluconeogenic_hormone_share`` follows hormones; the rest follows substrate (Boden 2001,
    Diabetes 50:810; Edgerton 2001, Diabetes 50:1872).
    """
    return basal_gluconeogenesis * (
        1 - gluconeogenic_hormone_share + gluconeogenic_hormone_share * gluconeogenesis_drive
    )


def storage_signal(
    hepatic_insulin: Insulin,
    basal_sinusoidal_insulin: Insulin,
    glycogen: GlucoseAmount,
    hepatic_storage_insulin: Ratio,
    glycogen_capacity: GlucoseAmount,
) -> Ratio:
    """How strongly insulin tells the liver to store, as far as there is room left.

    Insulin counts in multiples of the person's own basal level: what is stored while fasting does not depend
    on how high that level is.
    """
    room = 1 / (1 + (glycogen / glycogen_capacity) ** 4)
    return hill(hepatic_insulin / basal_sinusoidal_insulin, hepatic_storage_insulin, 3) * room


def portal_glucose(
    glucose: Glucose, glucose_appearance: GlucoseRate, portal_flow: GlucoseClearance
) -> Glucose:
    """Glucose in the blood that reaches the liver from the gut."""
    return glucose + glucose_appearance / portal_flow


def greatest_hepatic_uptake(
    reference_hepatic_uptake: GlucoseRate,
    reference_portal_glucose: Glucose,
    reference_insulin_ratio: Ratio,
    reference_glycogen: GlucoseAmount,
    hepatic_uptake_glucose: Glucose,
    hepatic_storage_insulin: Ratio,
    glycogen_capacity: GlucoseAmount,
) -> GlucoseRate:
    """The most glucose that the liver would take up, from what it does at one glucose, insulin and glycogen.

    What is measured is uptake under such conditions, never its maximum. The half saturations and the capacity
    then say how uptake changes, and not how much of it there is.
    """
    signal = storage_signal(
        reference_insulin_ratio, 1, reference_glycogen, hepatic_storage_insulin, glycogen_capacity
    )
    return reference_hepatic_uptake / (hill(reference_portal_glucose, hepatic_uptake_glucose, 4) * signal)


def hepatic_glucose_uptake(
    portal_glucose: Glucose,
    storage_signal: Ratio,
    hepatic_uptake_maximum: GlucoseRate,
    hepatic_uptake_glucose: Glucose,
) -> GlucoseRate:
    """Glucose taken up by the liver and stored as glycogen (the direct pathway; Taylor 1996, J Clin Invest
    97:126)."""
    return hepatic_uptake_maximum * hill(portal_glucose, hepatic_uptake_glucose, 4) * storage_signal


def hepatic_glucose_uptake_from_reference(
    portal_glucose: Glucose,
    storage_signal: Ratio,
    greatest_hepatic_uptake: GlucoseRate,
    hepatic_uptake_glucose: Glucose,
) -> GlucoseRate:
    """Glucose taken up by the liver and stored as glycogen, where it is stated as `reference_hepatic_uptake`
    (the direct pathway; Taylor 1996, J Clin Invest 97:126)."""
    return hepatic_glucose_uptake(
        portal_glucose, storage_signal, greatest_hepatic_uptake, hepatic_uptake_glucose
    )


def indirect_storage(
    gluconeogenesis: GlucoseRate, storage_signal: Ratio, gluconeogenic_storage: Fraction
) -> GlucoseRate:
    """New glucose put into glycogen instead of into the blood (the indirect pathway)."""
    return gluconeogenic_storage * storage_signal * gluconeogenesis


def endogenous_glucose_production(
    glycogenolysis: GlucoseRate, gluconeogenesis: GlucoseRate, indirect_storage: GlucoseRate
) -> GlucoseRate:
    """Glucose that the liver gives to the blood."""
    return glycogenolysis + gluconeogenesis - indirect_storage


def gluconeogenesis_share(
    gluconeogenesis: GlucoseRate, indirect_storage: GlucoseRate, endogenous_glucose_production: GlucoseRate
) -> Fraction:
    """Share of new glucose in the liver's output, as deuterated water sees it (Landau 1996)."""
    return (gluconeogenesis - indirect_storage) / endogenous_glucose_production


def glycogen_rate(
    hepatic_glucose_uptake: GlucoseRate, indirect_storage: GlucoseRate, glycogenolysis: GlucoseRate
) -> GlucoseRate:
    """Change of liver glycogen: stored directly, stored indirectly, broken down."""
    return hepatic_glucose_uptake + indirect_storage - glycogenolysis


def liver_glycogen(
    glycogen: GlucoseAmount, liver_volume: PlasmaVolume, molar_mass: MolarMass = 180.16
) -> LiverGlycogen:
    """Glycogen as nuclear magnetic resonance sees it: glucose units per litre of liver."""
    return glycogen / (molar_mass * liver_volume)
