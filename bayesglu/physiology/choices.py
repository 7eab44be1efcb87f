"""Choices: the slots of the loop and what bayesglu has for each.

A model file chooses one part for each slot.
"""

from collections.abc import Mapping

from bayesglu.physiology import adrenal, basal, discrepancy, gut, liver, pancreas, periphery
from bayesglu.physiology.parts import Part, State
from bayesglu.physiology.quantities import GlucoseAmount, GlucoseRate, Insulin, Ratio


def _no_flux() -> GlucoseRate:
    """A flux that this model leaves out."""
    return 0.0


def _no_effect() -> Ratio:
    """A regulator that this model leaves out: always at its basal value."""
    return 1.0


def _forced_insulin(insulin_level_input: Insulin) -> Insulin:
    """Plasma insulin as it was measured."""
    return insulin_level_input


def _constant_production(basal_glucose_production: GlucoseRate) -> GlucoseRate:
    """Glucose production at its basal value."""
    return basal_glucose_production


def _held_glycogen(initial_glycogen: GlucoseAmount) -> GlucoseAmount:
    """Glycogen at its initial value."""
    return initial_glycogen


def _clamped(clamp_infusion: GlucoseRate) -> GlucoseRate:
    """What a clamp infuses."""
    return clamp_infusion


def _given_glucose(glucose_input: GlucoseRate, glucose_infusion: GlucoseRate) -> GlucoseRate:
    """Intravenous glucose entering the blood."""
    return glucose_input + glucose_infusion


_TISSUE_STATES = {"remote_insulin": State("remote_insulin_slope", "basal_insulin", "pmol/L", 100.0)}
_GUT = {
    "gastric_emptying": gut.gastric_emptying,
    "absorption": gut.absorption,
    "glucose_appearance": gut.glucose_appearance,
    "unabsorbed_glucose": gut.unabsorbed_glucose,
    "incretin_effect": gut.incretin_effect,
}
_BETA_CELL = {
    "glucose_stimulus": pancreas.glucose_stimulus,
    "adapted_glucose_rate": pancreas.adapted_glucose_rate,
    "provision_glucose_rate": pancreas.provision_glucose_rate,
    "secretion_threshold": pancreas.secretion_threshold,
    "secretory_drive": pancreas.secretory_drive,
    "glucose_driven_secretion": pancreas.glucose_driven_secretion,
    "basal_insulin_secretion": basal.basal_insulin_secretion,
}
_BETA_CELL_STATES = {
    "adapted_glucose": State("adapted_glucose_rate", "basal_glucose", "mg/dL", 100.0),
    "provision_glucose": State("provision_glucose_rate", "basal_glucose", "mg/dL", 100.0),
}
_LIVER = {
    "basal_storage_signal": basal.basal_storage_signal,
    "basal_hepatic_uptake": basal.basal_hepatic_uptake,
    "basal_glycogenolysis": basal.basal_glycogenolysis,
    "basal_gluconeogenesis": basal.basal_gluconeogenesis,
    "hepatic_insulin_slope": liver.hepatic_insulin_slope,
    "production_left_by_insulin": liver.production_left_by_insulin,
    "glycogenolysis_left_by_glucose": liver.glycogenolysis_left_by_glucose,
    "glycogenolysis_drive": liver.glycogenolysis_drive,
    "gluconeogenesis_drive": liver.gluconeogenesis_drive,
    "glycogenolysis": liver.glycogenolysis,
    "gluconeogenesis": liver.gluconeogenesis,
    "storage_signal": liver.storage_signal,
    "portal_glucose": liver.portal_glucose,
    "hepatic_glucose_uptake": liver.hepatic_glucose_uptake,
    "indirect_storage": liver.indirect_storage,
    "endogenous_glucose_production": liver.endogenous_glucose_production,
    "gluconeogenesis_share": liver.gluconeogenesis_share,
    "glycogen_rate": liver.glycogen_rate,
    "liver_glycogen": liver.liver_glycogen,
}
_LIVER_STATES = {
    "hepatic_insulin": State("hepatic_insulin_slope", "basal_sinusoidal_insulin", "pmol/L", 100.0)
}
_COUNTERREGULATED_LIVER = {
    **_LIVER,
    "glycogenolysis_drive": liver.counterregulated_glycogenolysis_drive,
    "gluconeogenesis_drive": liver.counterregulated_gluconeogenesis_drive,
}

BUILT_IN: Mapping[str, Mapping[str, Part]] = {
    "tissue": {
        "linear": Part(
            {
                "insulin_dependent_uptake": periphery.insulin_dependent_uptake,
                "basal_insulin_dependent_uptake": basal.basal_insulin_dependent_uptake,
                "remote_insulin_slope": periphery.remote_insulin_slope,
            },
            _TISSUE_STATES,
        ),
        "saturating": Part(
            {
                "insulin_dependent_uptake": periphery.saturating_insulin_dependent_uptake,
                "basal_insulin_dependent_uptake": basal.basal_saturating_uptake,
                "remote_insulin_slope": periphery.remote_insulin_slope,
            },
            _TISSUE_STATES,
        ),
    },
    "gut": {
        "two_stage": Part(
            {**_GUT, "stomach_rate": gut.stomach_rate, "gut_rate": gut.gut_rate},
            {
                "stomach": State("stomach_rate", None, "mg/kg", 100.0, channel="stomach"),
                "gut": State("gut_rate", None, "mg/kg", 100.0),
            },
        ),
        "two_phase": Part(
            {
                **_GUT,
                "stomach_dilution": gut.stomach_dilution,
                "duodenal_dilution": gut.duodenal_dilution,
                "stomach_rate": gut.late_stomach_rate,
                "gut_rate": gut.early_gut_rate,
            },
            {
                "stomach": State(
                    "stomach_rate", None, "mg/kg", 100.0, channel="stomach", volume="stomach_dilution"
                ),
                "gut": State("gut_rate", None, "mg/kg", 100.0, channel="stomach", volume="duodenal_dilution"),
            },
        ),
        "none": Part(
            {"glucose_appearance": _no_flux, "unabsorbed_glucose": _no_flux, "incretin_effect": _no_effect}
        ),
    },
    "beta_cell": {
        "proportional_plus_rate": Part(
            {**_BETA_CELL, "insulin_secretion": pancreas.insulin_secretion}, _BETA_CELL_STATES
        ),
        "stimulated_potentiation": Part(
            {**_BETA_CELL, "insulin_secretion": pancreas.stimulated_insulin_secretion}, _BETA_CELL_STATES
        ),
        "none": Part({}),
    },
    "insulin": {
        "kinetic": Part(
            {
                "sinusoidal_insulin": liver.sinusoidal_insulin,
                "basal_sinusoidal_insulin": basal.basal_sinusoidal_insulin,
                "insulin_extraction": liver.insulin_extraction,
                "insulin_slope": periphery.insulin_slope,
            },
            {
                "insulin": State(
                    "insulin_slope",
                    "basal_insulin",
                    "pmol/L",
                    100.0,
                    channel="insulin",
                    volume="insulin_volume",
                )
            },
        ),
        "forced": Part({"insulin": _forced_insulin}),
    },
    "c_peptide": {
        "two_pool": Part(
            {
                "basal_c_peptide": basal.basal_c_peptide,
                "basal_c_peptide_slow": basal.basal_c_peptide_slow,
                "c_peptide_slope": periphery.c_peptide_slope,
                "c_peptide_slow_slope": periphery.c_peptide_slow_slope,
            },
            {
                "c_peptide": State("c_peptide_slope", "basal_c_peptide", "pmol/L", 1000.0),
                "c_peptide_slow": State("c_peptide_slow_slope", "basal_c_peptide_slow", "pmol/L", 1000.0),
            },
        ),
        "none": Part({}),
    },
    "alpha_cell": {
        "responsive": Part(
            {
                "hypoglycaemic_drive": pancreas.hypoglycaemic_drive,
                "glucagon_secretion_left_by_insulin": pancreas.glucagon_secretion_left_by_insulin,
                "glucagon_rate": pancreas.glucagon_rate,
                "glucagon_effect": pancreas.glucagon_effect,
                "adapted_glucagon_rate": liver.adapted_glucagon_rate,
                "glucagon_drive": liver.glucagon_drive,
            },
            {
                "glucagon": State(
                    "glucagon_rate",
                    "basal_glucagon",
                    "pg/mL",
                    100.0,
                    channel="glucagon",
                    volume="glucagon_volume",
                ),
                "adapted_glucagon": State("adapted_glucagon_rate", "basal_glucagon", "pg/mL", 100.0),
            },
        ),
        "constant": Part({"glucagon_effect": _no_effect, "glucagon_drive": _no_effect}),
    },
    "adrenal_medulla": {
        "none": Part({}),
        "responsive": Part(
            {
                "adrenergic_response": adrenal.adrenergic_response,
                "basal_adrenergic_response": adrenal.basal_adrenergic_response,
                "adrenergic_restraint": adrenal.adrenergic_restraint,
            },
            modulates={"adrenergic_restraint": ("insulin_dependent_uptake",)},
        ),
    },
    "liver": {
        "regulated": Part(_LIVER, _LIVER_STATES),
        "counterregulated": Part(_COUNTERREGULATED_LIVER, _LIVER_STATES),
        "reference_uptake": Part(
            {
                **_COUNTERREGULATED_LIVER,
                "greatest_hepatic_uptake": liver.greatest_hepatic_uptake,
                "hepatic_glucose_uptake": liver.hepatic_glucose_uptake_from_reference,
                "basal_hepatic_uptake": basal.basal_hepatic_uptake_from_reference,
            },
            _LIVER_STATES,
        ),
        "constant": Part(
            {
                "gluconeogenesis": _constant_production,
                "endogenous_glucose_production": _constant_production,
                "hepatic_glucose_uptake": _no_flux,
                "glycogen_rate": _no_flux,
                "basal_hepatic_uptake": _no_flux,
            }
        ),
    },
    "glycogen": {
        "free": Part({}, {"glycogen": State("glycogen_rate", "initial_glycogen", "mg/kg", 1000.0)}),
        "held": Part({"glycogen": _held_glycogen}),
        "none": Part({}),
    },
    "kidney": {
        "threshold": Part(
            {
                "renal_glucose_excretion": periphery.renal_glucose_excretion,
                "basal_renal_glucose_excretion": basal.basal_renal_glucose_excretion,
            }
        ),
        "none": Part({"renal_glucose_excretion": _no_flux, "basal_renal_glucose_excretion": _no_flux}),
    },
    "basal_balance": {
        "from_uptake": Part({"insulin_independent_clearance": periphery.insulin_independent_clearance}),
        "from_production": Part({"insulin_independent_clearance": basal.remaining_clearance}),
    },
    "brain": {
        "saturating": Part({"brain_glucose_uptake": periphery.saturating_brain_uptake}),
        "constant": Part({"brain_glucose_uptake": periphery.constant_brain_uptake}),
    },
    "discrepancy": {
        "none": Part({}),
        "smooth": Part(
            {
                "early_wave": discrepancy.early_wave,
                "middle_wave": discrepancy.middle_wave,
                "late_wave": discrepancy.late_wave,
                "emptying_discrepancy": discrepancy.emptying_discrepancy,
                "secretion_discrepancy": discrepancy.secretion_discrepancy,
                "production_discrepancy": discrepancy.production_discrepancy,
                "uptake_discrepancy": discrepancy.uptake_discrepancy,
            },
            modulates={
                "emptying_discrepancy": ("gastric_emptying",),
                "secretion_discrepancy": ("insulin_secretion",),
                "production_discrepancy": ("glycogenolysis", "gluconeogenesis"),
                "uptake_discrepancy": ("insulin_dependent_uptake",),
            },
        ),
    },
    "glucose_clamp": {
        "none": Part({"glucose_infusion": _no_flux}),
        "infusion": Part({"clamp_infusion": periphery.clamp_infusion, "glucose_infusion": _clamped}),
    },
    "mass_balance": {
        "none": Part({}),
        "tracked": Part(
            {"given_glucose": _given_glucose},
            {
                "total_given": State("given_glucose", None, "mg/kg", 1000.0, channel="glucose"),
                "total_tissue_uptake": State("tissue_uptake", None, "mg/kg", 1000.0),
                "total_renal_glucose_excretion": State("renal_glucose_excretion", None, "mg/kg", 1000.0),
                "total_unabsorbed": State("unabsorbed_glucose", None, "mg/kg", 1000.0),
                "total_gluconeogenesis": State("gluconeogenesis", None, "mg/kg", 1000.0),
                "total_stored": State("glycogen_rate", None, "mg/kg", 1000.0),
            },
        ),
    },
}
"""The slots of the loop with the choices that bayesglu has for each."""

SIMULATORS = frozenset({"glucose_clamp", "mass_balance"})
"""Slots that the simulator fills, never a model file."""

DEFAULTS: Mapping[str, str] = {
    "tissue": "linear",
    "adrenal_medulla": "none",
    "basal_balance": "from_uptake",
    "discrepancy": "none",
    "glucose_clamp": "none",
    "mass_balance": "none",
}
"""What is chosen for a slot that is not named. Each slot that came after files and fits were written has one,
which leaves them what they were."""

ALWAYS = Part(
    {
        "glucose": periphery.glucose,
        "basal_glucose_mass": basal.basal_glucose_mass,
        "basal_glucose_production": basal.basal_glucose_production,
        "insulin_independent_uptake": periphery.insulin_independent_uptake,
        "tissue_uptake": periphery.tissue_uptake,
        "unclamped_glucose_rate": periphery.unclamped_glucose_rate,
        "glucose_mass_rate": periphery.glucose_mass_rate,
    },
    {
        "glucose_mass": State(
            "glucose_mass_rate",
            "basal_glucose_mass",
            "mg/kg",
            100.0,
            channel="glucose",
            receives=("unclamped_glucose_rate", "given_glucose"),
            balance="basal_glucose_production",
        ),
    },
)
"""What every model has: glucose in blood, and its uptake."""

INPUTS: Mapping[str, float] = {
    "stomach": 0.0,
    "glucose": 0.0,
    "insulin": 0.0,
    "glucagon": 0.0,
    "emptying": 1.0,
    "elapsed": 0.0,
    "clamp": 0.0,
    "clamp_target": 0.0,
    "insulin_level": 0.0,
}
"""The channels through which a protocol acts, with the value of one that is not used."""

MEASURED: Mapping[str, str] = {"insulin_level": "insulin"}
"""The channels of them that carry a measured curve, and what is measured."""
