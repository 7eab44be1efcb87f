"""The fasting basal state in closed form: chosen by a few parameters, everything else follows without root
finding.

All results are positive for any positive parameters (fractions below one), so no sampler can leave the
domain.
"""

from bayesglu.physiology.liver import hepatic_glucose_uptake as hepatic_uptake_at
from bayesglu.physiology.liver import storage_signal as storage_signal_at
from bayesglu.physiology.periphery import insulin_dependent_uptake as insulin_dependent_uptake_at
from bayesglu.physiology.periphery import renal_glucose_excretion as renal_glucose_excretion_at
from bayesglu.physiology.periphery import saturating_insulin_dependent_uptake as saturating_uptake_at
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
    PlasmaFlow,
    PlasmaVolume,
    Rate,
    Ratio,
)
from bayesglu.physiology.smooth import softplus


def basal_insulin_secretion(
    basal_insulin: Insulin,
    hepatic_extraction: Fraction,
    hepatic_plasma_flow: PlasmaFlow,
    systemic_insulin_clearance: PlasmaFlow,
) -> InsulinRate:
    """Secretion that keeps basal insulin against its clearance."""
    clearance = hepatic_extraction * hepatic_plasma_flow + systemic_insulin_clearance
    return clearance * basal_insulin / (1 - hepatic_extraction)


def basal_sinusoidal_insulin(
    basal_insulin: Insulin, basal_insulin_secretion: InsulinRate, hepatic_plasma_flow: PlasmaFlow
) -> Insulin:
    """Insulin at the liver in the basal state."""
    return basal_insulin + basal_insulin_secretion / hepatic_plasma_flow


def basal_c_peptide(
    basal_insulin_secretion: InsulinRate, c_peptide_volume: PlasmaVolume, c_peptide_loss: Rate
) -> Insulin:
    """Plasma C-peptide in the basal state."""
    return basal_insulin_secretion / (c_peptide_volume * c_peptide_loss)


def basal_c_peptide_slow(
    basal_c_peptide: Insulin, c_peptide_exchange: Rate, c_peptide_return: Rate
) -> Insulin:
    """C-peptide in the slowly exchanging fluid in the basal state."""
    return basal_c_peptide * c_peptide_exchange / c_peptide_return


def basal_glucose_mass(basal_glucose: Glucose, glucose_volume: GlucoseVolume) -> GlucoseAmount:
    """Glucose in blood and fast-exchanging fluid in the basal state."""
    return basal_glucose * glucose_volume


def basal_renal_glucose_excretion(
    basal_glucose: Glucose, renal_clearance: GlucoseClearance, renal_threshold: Glucose, renal_width: Glucose
) -> GlucoseRate:
    """Glucose lost in urine in the basal state."""
    return renal_glucose_excretion_at(basal_glucose, renal_clearance, renal_threshold, renal_width)


def basal_storage_signal(
    basal_sinusoidal_insulin: Insulin,
    initial_glycogen: GlucoseAmount,
    hepatic_storage_insulin: Ratio,
    glycogen_capacity: GlucoseAmount,
) -> Ratio:
    """The liver's storage signal in the basal state."""
    return storage_signal_at(
        basal_sinusoidal_insulin,
        basal_sinusoidal_insulin,
        initial_glycogen,
        hepatic_storage_insulin,
        glycogen_capacity,
    )


def basal_hepatic_uptake(
    basal_glucose: Glucose,
    basal_storage_signal: Ratio,
    hepatic_uptake_maximum: GlucoseRate,
    hepatic_uptake_glucose: Glucose,
) -> GlucoseRate:
    """Glucose taken up by the liver in the basal state."""
    return hepatic_uptake_at(
        basal_glucose, basal_storage_signal, hepatic_uptake_maximum, hepatic_uptake_glucose
    )


def basal_hepatic_uptake_from_reference(
    basal_glucose: Glucose,
    basal_storage_signal: Ratio,
    greatest_hepatic_uptake: GlucoseRate,
    hepatic_uptake_glucose: Glucose,
) -> GlucoseRate:
    """Glucose taken up by the liver in the basal state, where it is stated as `reference_hepatic_uptake`."""
    return hepatic_uptake_at(
        basal_glucose, basal_storage_signal, greatest_hepatic_uptake, hepatic_uptake_glucose
    )


def basal_insulin_dependent_uptake(
    basal_glucose: Glucose,
    basal_insulin: Insulin,
    insulin_sensitivity: InsulinSensitivity,
    glucose_volume: GlucoseVolume,
) -> GlucoseRate:
    """Uptake by muscle and fat that basal insulin brings about."""
    return insulin_dependent_uptake_at(basal_glucose, basal_insulin, insulin_sensitivity, glucose_volume)


def basal_saturating_uptake(
    basal_glucose: Glucose,
    basal_insulin: Insulin,
    insulin_sensitivity: InsulinSensitivity,
    glucose_volume: GlucoseVolume,
    uptake_half_saturation: Glucose,
    euglycaemia: Glucose = 90.0,
) -> GlucoseRate:
    """Uptake by muscle and fat that basal insulin brings about, by transporters that saturate."""
    sensitivity = insulin_sensitivity, glucose_volume, uptake_half_saturation, euglycaemia
    return saturating_uptake_at(basal_glucose, basal_insulin, *sensitivity)


def basal_glucose_production(
    brain_uptake: GlucoseRate,
    insulin_independent_clearance: GlucoseClearance,
    basal_glucose: Glucose,
    basal_insulin_dependent_uptake: GlucoseRate,
    basal_hepatic_uptake: GlucoseRate,
    basal_renal_glucose_excretion: GlucoseRate,
) -> GlucoseRate:
    """The liver's output that balances all uptake in the basal state (measured by tracers: about 2
    mg/kg/min)."""
    insulin_independent = brain_uptake + insulin_independent_clearance * basal_glucose
    outside_liver = insulin_independent + basal_insulin_dependent_uptake
    return outside_liver + basal_hepatic_uptake + basal_renal_glucose_excretion


def remaining_clearance(
    fasting_production: GlucoseRate,
    brain_uptake: GlucoseRate,
    basal_glucose: Glucose,
    basal_insulin_dependent_uptake: GlucoseRate,
    basal_hepatic_uptake: GlucoseRate,
    basal_renal_glucose_excretion: GlucoseRate,
    remainder_width: GlucoseRate = 0.1,
) -> GlucoseClearance:
    """Clearance of glucose by muscle and fat that needs no insulin: what all other uptake leaves of the
    glucose production of a fast, which tracers measure.

    Never negative: where the other uptake is more than `fasting_production`, basal production is as much.
    """
    other = brain_uptake + basal_insulin_dependent_uptake + basal_hepatic_uptake
    left = fasting_production - other - basal_renal_glucose_excretion
    return softplus(left, remainder_width) / basal_glucose


def basal_glycogenolysis(basal_glucose_production: GlucoseRate, gluconeogenic_share: Fraction) -> GlucoseRate:
    """Breakdown of glycogen in the basal state."""
    return (1 - gluconeogenic_share) * basal_glucose_production


def basal_gluconeogenesis(
    basal_glucose_production: GlucoseRate,
    gluconeogenic_share: Fraction,
    gluconeogenic_storage: Fraction,
    basal_storage_signal: Ratio,
) -> GlucoseRate:
    """New glucose made in the basal state, the part that goes into glycogen included."""
    return gluconeogenic_share * basal_glucose_production / (1 - gluconeogenic_storage * basal_storage_signal)
