"""The pancreas: beta cells answer glucose with insulin and C-peptide, alpha cells answer its fall with
glucagon."""

from bayesglu.physiology.quantities import (
    BetaCellSensitivity,
    Glucagon,
    GlucagonRate,
    GlucagonSlope,
    GlucagonVolume,
    Glucose,
    GlucoseSlope,
    Insulin,
    InsulinRate,
    Minutes,
    Rate,
    Ratio,
)
from bayesglu.physiology.smooth import softplus, softplus_inverse


def glucose_stimulus(
    glucose: Glucose, adapted_glucose: Glucose, provision_glucose: Glucose, first_phase_gain: Ratio
) -> Glucose:
    """What the beta cell answers to: the glucose by which insulin has been made ready, and the recent rise
    (the first phase)."""
    return provision_glucose + first_phase_gain * (glucose - adapted_glucose)


def provision_glucose_rate(
    glucose: Glucose, provision_glucose: Glucose, provision_time: Minutes
) -> GlucoseSlope:
    """Change of the glucose by which insulin has been made ready: supply follows demand with a delay
    (Cobelli 2014, Diabetes 63:1203)."""
    return (glucose - provision_glucose) / provision_time


def adapted_glucose_rate(
    glucose: Glucose, adapted_glucose: Glucose, glucose_adaptation_time: Minutes
) -> GlucoseSlope:
    """Change of the glucose that the beta cell has adapted to."""
    return (glucose - adapted_glucose) / glucose_adaptation_time


def secretory_drive(
    glucose_stimulus: Glucose, secretion_threshold: Glucose, secretion_width: Glucose
) -> Glucose:
    r"""What glucose asks of the beta cells.

    .. math:: d = \mathrm{sp}(G^* - h;\, w_B)

    Linear in glucose above the threshold (the static response of Breda and of Mari), fading smoothly to
    nothing below.
    """
    return softplus(glucose_stimulus - secretion_threshold, secretion_width)


def glucose_driven_secretion(
    secretory_drive: Glucose,
    beta_cell_mass: Ratio,
    beta_cell_sensitivity: BetaCellSensitivity,
    glucagon_effect: Ratio,
) -> InsulinRate:
    r"""Insulin that would leave the beta cells without incretins.

    .. math:: S_G = \beta\,\Phi\,d\; p_{\mathrm{glucagon}}
    """
    return beta_cell_mass * beta_cell_sensitivity * secretory_drive * glucagon_effect


def insulin_secretion(glucose_driven_secretion: InsulinRate, incretin_effect: Ratio) -> InsulinRate:
    r"""Insulin, and mole for mole C-peptide, leaving the beta cells; incretins amplify all of it.

    .. math:: S = S_G\; p_{\mathrm{incretin}}

    Nothing else in the body makes insulin: without beta cells there is none.
    """
    return glucose_driven_secretion * incretin_effect


def stimulated_insulin_secretion(
    secretory_drive: Glucose,
    glucose_driven_secretion: InsulinRate,
    basal_insulin_secretion: InsulinRate,
    secretion_width: Glucose,
    beta_cell_mass: Ratio,
    beta_cell_sensitivity: BetaCellSensitivity,
    incretin_effect: Ratio,
    glucagon_effect: Ratio,
) -> InsulinRate:
    r"""Insulin, and mole for mole C-peptide, leaving the beta cells; incretins amplify what glucose adds to
    basal secretion.

    .. math:: S = S_G + (p_{\mathrm{incretin}} - 1)\;\beta\,\Phi\,\mathrm{sp}(d - S_b / \Phi;\, w_B)\;
        p_{\mathrm{glucagon}}

    GLP-1 and GIP release insulin only where glucose is above its fasting level (Holst 2007, Physiol Rev
    87:1409; Christensen 2011, Diabetes 60:3103). Nothing else in the body makes insulin: without beta cells
    there is none.
    """
    above = softplus(secretory_drive - basal_insulin_secretion / beta_cell_sensitivity, secretion_width)
    added = beta_cell_mass * beta_cell_sensitivity * above * glucagon_effect
    return glucose_driven_secretion + (incretin_effect - 1) * added


def secretion_threshold(
    basal_insulin_secretion: InsulinRate,
    beta_cell_sensitivity: BetaCellSensitivity,
    secretion_width: Glucose,
    basal_glucose: Glucose,
) -> Glucose:
    """The threshold at which a full beta-cell mass secretes the basal amount at basal glucose."""
    return basal_glucose - softplus_inverse(basal_insulin_secretion / beta_cell_sensitivity, secretion_width)


def glucagon_effect(
    glucagon: Glucagon,
    basal_glucagon: Glucagon,
    glucagon_potentiation: Ratio,
    glucagon_potentiation_half_saturation: Glucagon,
) -> Ratio:
    """Factor by which glucagon amplifies insulin secretion (Okuno 1977); 1 at basal glucagon."""

    def amplification(level):
        return 1 + glucagon_potentiation * level / (glucagon_potentiation_half_saturation + level)

    return amplification(glucagon) / amplification(basal_glucagon)


def hypoglycaemic_drive(
    glucose: Glucose, basal_glucose: Glucose, hypoglycaemic_response: Ratio, hypoglycaemic_threshold: Glucose
) -> Ratio:
    """Factor by which low glucose raises glucagon secretion, steep below about 68 mg/dL (Mitrakou 1991)."""

    def response(level):
        return 1 + hypoglycaemic_response / (1 + (level / hypoglycaemic_threshold) ** 8)

    return response(glucose) / response(basal_glucose)


def glucagon_secretion_left_by_insulin(
    hepatic_insulin: Insulin, basal_sinusoidal_insulin: Insulin, paracrine_inhibition: Ratio
) -> Ratio:
    """Factor of the secretion of glucagon that inhibition by insulin leaves (paracrine): 1 at basal insulin,
    less with more.

    Follows what the pancreas sends to the liver, as late as it acts there: glucagon stays low for a while
    after secretion has ceased.
    """
    return (1 + paracrine_inhibition) / (
        1 + paracrine_inhibition * hepatic_insulin / basal_sinusoidal_insulin
    )


def glucagon_rate(
    glucagon: Glucagon,
    hypoglycaemic_drive: Ratio,
    glucagon_secretion_left_by_insulin: Ratio,
    alpha_cell_mass: Ratio,
    basal_glucagon: Glucagon,
    glucagon_clearance_rate: Rate,
    glucagon_volume: GlucagonVolume,
    glucagon_input: GlucagonRate,
) -> GlucagonSlope:
    """Change of plasma glucagon: secreted, cleared, given."""
    target = alpha_cell_mass * basal_glucagon * hypoglycaemic_drive * glucagon_secretion_left_by_insulin
    return glucagon_clearance_rate * (target - glucagon) + glucagon_input / glucagon_volume
