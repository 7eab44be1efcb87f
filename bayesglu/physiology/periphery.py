"""Muscle, fat, brain and kidney; and how insulin and C-peptide spread through the body and leave it."""

from bayesglu.physiology.quantities import (
    Fraction,
    Glucose,
    GlucoseAmount,
    GlucoseClearance,
    GlucoseRate,
    GlucoseVolume,
    Insulin,
    InsulinRate,
    InsulinSensitivity,
    InsulinSlope,
    Minutes,
    PlasmaFlow,
    PlasmaVolume,
    Rate,
    Ratio,
)
from bayesglu.physiology.smooth import softplus


def glucose(glucose_mass: GlucoseAmount, glucose_volume: GlucoseVolume) -> Glucose:
    """Plasma glucose."""
    return glucose_mass / glucose_volume


def saturating_brain_uptake(
    glucose: Glucose, basal_glucose: Glucose, brain_uptake: GlucoseRate, brain_half_saturation: Glucose
) -> GlucoseRate:
    """Uptake by brain and red cells: nearly constant, less when glucose is low."""
    return (
        brain_uptake
        * glucose
        / (brain_half_saturation + glucose)
        * (1 + brain_half_saturation / basal_glucose)
    )


def constant_brain_uptake(brain_uptake: GlucoseRate) -> GlucoseRate:
    """Uptake by brain and red cells, the same at every glucose."""
    return brain_uptake


def insulin_independent_clearance(mass_action_uptake: GlucoseClearance) -> GlucoseClearance:
    """Clearance of glucose by muscle and fat that needs no insulin, where it is a parameter."""
    return mass_action_uptake


def insulin_independent_uptake(
    glucose: Glucose, insulin_independent_clearance: GlucoseClearance
) -> GlucoseRate:
    """Uptake by muscle and fat that needs no insulin."""
    return insulin_independent_clearance * glucose


def insulin_dependent_uptake(
    glucose: Glucose,
    remote_insulin: Insulin,
    insulin_sensitivity: InsulinSensitivity,
    glucose_volume: GlucoseVolume,
) -> GlucoseRate:
    """Uptake by muscle and fat that insulin brings about (Bergman 1979)."""
    return insulin_sensitivity * glucose_volume * remote_insulin * glucose


def saturating_insulin_dependent_uptake(
    glucose: Glucose,
    remote_insulin: Insulin,
    insulin_sensitivity: InsulinSensitivity,
    glucose_volume: GlucoseVolume,
    uptake_half_saturation: Glucose,
    euglycaemia: Glucose = 90.0,
) -> GlucoseRate:
    r"""Uptake by muscle and fat that insulin brings about, carried into cells by transporters that saturate.

    .. math:: U_X = S_I V_G X G\, \frac{K_U + G_e}{K_U + G}

    In type 1 diabetes, at three rates of insulin, uptake rose by 35 to 52 % from 95 to 175 mg/dL and no more
    to 225 (Shumak 1989, Diabetologia 32:28). `insulin_sensitivity` is that at euglycaemia,
    where clamps measure it.
    """
    affinity = (uptake_half_saturation + euglycaemia) / (uptake_half_saturation + glucose)
    return insulin_sensitivity * glucose_volume * remote_insulin * glucose * affinity


def tissue_uptake(
    brain_glucose_uptake: GlucoseRate,
    insulin_independent_uptake: GlucoseRate,
    insulin_dependent_uptake: GlucoseRate,
) -> GlucoseRate:
    """All glucose taken up outside the liver."""
    return brain_glucose_uptake + insulin_independent_uptake + insulin_dependent_uptake


def renal_glucose_excretion(
    glucose: Glucose, renal_clearance: GlucoseClearance, renal_threshold: Glucose, renal_width: Glucose
) -> GlucoseRate:
    """Glucose lost in urine above the renal threshold (Wolf 2009, Horm Metab Res 41:600)."""
    return renal_clearance * softplus(glucose - renal_threshold, renal_width)


def unclamped_glucose_rate(
    glucose_appearance: GlucoseRate,
    endogenous_glucose_production: GlucoseRate,
    hepatic_glucose_uptake: GlucoseRate,
    tissue_uptake: GlucoseRate,
    renal_glucose_excretion: GlucoseRate,
    glucose_input: GlucoseRate,
) -> GlucoseRate:
    """Change of the glucose in blood and fast-exchanging fluid, but for a clamp's infusion."""
    return (
        glucose_appearance
        + endogenous_glucose_production
        + glucose_input
        - hepatic_glucose_uptake
        - tissue_uptake
        - renal_glucose_excretion
    )


def clamp_infusion(
    unclamped_glucose_rate: GlucoseRate,
    glucose: Glucose,
    glucose_volume: GlucoseVolume,
    clamp_input: Ratio,
    clamp_target_input: Glucose,
    clamp_response_time: Minutes = 2.0,
    clamp_width: GlucoseRate = 0.02,
) -> GlucoseRate:
    """Glucose that the investigator of a clamp infuses to bring glucose to its target and keep it there.

    Never negative: a clamp below the present glucose waits until it has fallen (DeFronzo 1979, Am J Physiol
    237:E214).
    """
    shortfall = glucose_volume * (clamp_target_input - glucose) / clamp_response_time - unclamped_glucose_rate
    return clamp_input * softplus(shortfall, clamp_width)


def glucose_mass_rate(unclamped_glucose_rate: GlucoseRate, glucose_infusion: GlucoseRate) -> GlucoseRate:
    """Change of the glucose in blood and fast-exchanging fluid."""
    return unclamped_glucose_rate + glucose_infusion


def insulin_slope(
    insulin: Insulin,
    insulin_secretion: InsulinRate,
    insulin_extraction: Fraction,
    hepatic_plasma_flow: PlasmaFlow,
    systemic_insulin_clearance: PlasmaFlow,
    insulin_volume: PlasmaVolume,
    interstitial_insulin_volume: PlasmaVolume,
    remote_insulin_slope: InsulinSlope,
    insulin_input: InsulinRate,
) -> InsulinSlope:
    """Change of plasma insulin: what passes the liver, less what liver and body clear, what goes into the
    fluid around muscle and fat, and what is given (Berman 1980, Diabetes Care 3:266)."""
    passed = (1 - insulin_extraction) * insulin_secretion
    cleared = (insulin_extraction * hepatic_plasma_flow + systemic_insulin_clearance) * insulin
    spread = interstitial_insulin_volume * remote_insulin_slope
    return (passed - cleared - spread + insulin_input) / insulin_volume


def remote_insulin_slope(
    insulin: Insulin, remote_insulin: Insulin, insulin_action_rate: Rate
) -> InsulinSlope:
    """Change of the insulin that acts at muscle and fat, which follows plasma insulin with a delay."""
    return insulin_action_rate * (insulin - remote_insulin)


def c_peptide_slope(
    c_peptide: Insulin,
    c_peptide_slow: Insulin,
    insulin_secretion: InsulinRate,
    c_peptide_volume: PlasmaVolume,
    c_peptide_loss: Rate,
    c_peptide_return: Rate,
    c_peptide_exchange: Rate,
) -> InsulinSlope:
    """Change of plasma C-peptide, which the liver lets pass (Van Cauter 1992)."""
    return (
        insulin_secretion / c_peptide_volume
        - (c_peptide_loss + c_peptide_exchange) * c_peptide
        + c_peptide_return * c_peptide_slow
    )


def c_peptide_slow_slope(
    c_peptide: Insulin, c_peptide_slow: Insulin, c_peptide_return: Rate, c_peptide_exchange: Rate
) -> InsulinSlope:
    """Change of C-peptide in the slowly exchanging fluid."""
    return c_peptide_exchange * c_peptide - c_peptide_return * c_peptide_slow
