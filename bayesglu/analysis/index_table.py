"""The indices that clinics and physiologists use: formula, unit, source, and where each means nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bayesglu.analysis import index_formulas as formulas
from bayesglu.analysis.sampled_test import NotKnown, SampledTest
from bayesglu.physiology.choices import DEFAULTS

FASTING, ORAL, INTRAVENOUS, CLAMP = "fasting", "oral test", "intravenous test", "clamp"
PARAMETERS = "parameters"


@dataclass(frozen=True)
class Case:
    """What is known of one person: tests by kind, or why there is none; and with a model the parameters that
    it estimates (...), and its structure."""

    tests: Mapping[str, SampledTest | str]
    parameters: Mapping[str, np.ndarray] = field(default_factory=dict)
    structure: Mapping[str, str] = field(default_factory=dict)

    def test(self, kind: str) -> SampledTest:
        """The test of a kind."""
        found = self.tests.get(kind, f"no {kind}")
        if isinstance(found, str):
            raise NotKnown(found)
        return found

    def parameter(self, name: str) -> np.ndarray:
        """Draws of a parameter."""
        if name not in self.parameters:
            raise NotKnown(f"the model does not estimate {name}")
        return self.parameters[name]

    def fasting(self, analyte: str) -> np.ndarray:
        """The basal value, or what was measured before any test."""
        if self.structure:
            return self.parameter(f"basal_{analyte}")
        for test in self.tests.values():
            if not isinstance(test, str) and analyte in test.times:
                return test.fasting(analyte)
        raise NotKnown(f"no {analyte} before a dose")

    def at_rest(self, flux: str) -> np.ndarray:
        """A flux at rest, of any test that was simulated."""
        for test in self.tests.values():
            if not isinstance(test, str) and flux in test.times:
                return test.values[flux][..., 0]
        raise NotKnown(f"no {flux.replace('_', ' ')} was simulated")

    def part(self, slot: str) -> str:
        """What the model has chosen for a slot."""
        return self.structure.get(slot, DEFAULTS.get(slot, "none"))


@dataclass(frozen=True)
class Index:
    """One index. ``of`` says from what it is computed; with ``raw`` samples alone are enough. ``nothing``
    says where it means nothing."""

    title: str
    unit: str
    formula: str
    source: str
    nothing: str
    of: str
    value: Callable[[Case], Any]
    raw: bool = True


def _fasting(formula: Callable) -> Callable[[Case], Any]:
    return lambda case: formula(case.fasting("glucose"), case.fasting("insulin"))


def _of(kind: str, formula: Callable) -> Callable[[Case], Any]:
    return lambda case: formula(case.test(kind))


def _minimal_sensitivity(case: Case):
    if case.part("tissue") != "linear" or case.part("liver") != "constant":
        raise NotKnown(
            "in this model the liver answers by itself or tissues saturate: see the simulated clamp"
        )
    return case.parameter("insulin_sensitivity") / formulas.units(1.0)


def _minimal_effectiveness(case: Case):
    sensitivity = formulas.units(_minimal_sensitivity(case))
    alone = case.parameter("mass_action_uptake") / case.parameter("glucose_volume")
    return alone + sensitivity * case.parameter("basal_insulin")


def _disposition(case: Case):
    return _minimal_sensitivity(case) * formulas.acute_insulin_response(case.test(INTRAVENOUS))


def _phi_static(case: Case):
    return case.parameters.get("beta_cell_mass", 1.0) * case.parameter("beta_cell_sensitivity")


def _phi_dynamic(case: Case):
    gain = case.parameter("first_phase_gain") * case.parameter("glucose_adaptation_time")
    return _phi_static(case) * gain


def _clearance(case: Case):
    return 1000 * formulas.ratio(case.at_rest("insulin_secretion"), case.fasting("insulin"))


def _hepatic_resistance(case: Case):
    return case.at_rest("endogenous_glucose_production") * formulas.units(case.fasting("insulin"))


def _production_suppression(case: Case):
    if case.part("liver") == "constant":
        raise NotKnown("in this model the liver's production is constant")
    return formulas.suppression(case.test(ORAL), "endogenous_glucose_production")


DEFICIENT = "in people who take insulin, or whose beta cells fail: little insulin then looks like sensitivity"
RISEN = "where glucose has not risen at 30 min"
SIMULATED = "a simulated test is as right as the model is in it"
MATTHEWS, BERGMAN = "Matthews 1985, Diabetologia 28:412", "Bergman 1979, Am J Physiol 236:E667"
BREDA, DEFRONZO = "Breda 2001, Diabetes 50:150", "DeFronzo 1979, Am J Physiol 237:E214"

INDICES: Mapping[str, Index] = {
    "homa_ir": Index(
        title="HOMA-IR",
        unit="1",
        formula="G_0 I_0 / 22.5, in mmol/L and uU/mL",
        source=MATTHEWS,
        nothing=DEFICIENT,
        of=FASTING,
        value=_fasting(formulas.homa_ir),
    ),
    "homa_b": Index(
        title="HOMA-B",
        unit="%",
        formula="20 I_0 / (G_0 - 3.5), in mmol/L and uU/mL",
        source=MATTHEWS,
        nothing="where fasting glucose is 3.5 mmol/L or less; in people who take insulin",
        of=FASTING,
        value=_fasting(formulas.homa_b),
    ),
    "quicki": Index(
        title="QUICKI",
        unit="1",
        formula="1 / (log10 I_0 + log10 G_0), in mg/dL and uU/mL",
        source="Katz 2000, J Clin Endocrinol Metab 85:2402",
        nothing=DEFICIENT,
        of=FASTING,
        value=_fasting(formulas.quicki),
    ),
    "matsuda": Index(
        title="Matsuda index",
        unit="1",
        formula="10000 / sqrt(G_0 I_0 G_m I_m), in mg/dL and uU/mL; m: means by time, 0 to 120 min",
        source="Matsuda and DeFronzo 1999, Diabetes Care 22:1462",
        nothing=DEFICIENT,
        of=ORAL,
        value=_of(ORAL, formulas.matsuda),
    ),
    "stumvoll": Index(
        title="Stumvoll index",
        unit="umol/kg/min per pmol/L",
        formula="0.156 - 0.0000459 I_120 - 0.000321 I_0 - 0.00541 G_120, in mmol/L and pmol/L",
        source="Stumvoll 2001, Diabetes Care 24:796",
        nothing="where it is not positive: a regression on people without diabetes, beyond its range",
        of=ORAL,
        value=_of(ORAL, formulas.stumvoll),
    ),
    "ogis": Index(
        title="OGIS",
        unit="mL/min/m2",
        formula="(x_2 + sqrt(x_2^2 + 4 p_5 p_6 (G_90 - 90) x_1)) / 2, x_2 = x_1 (1 + p_5 (G_90 - 90)), "
        "x_1 = p_4 ((p_1 D - 10^4 (G_120 - G_90) / 30) / G_90 + p_3 / G_0) / (I_90 - I_0 + p_2), in mg/dL "
        "and uU/mL; D in g/m2; p = 650, 325, 81300, 132, 0.000652, 173",
        source="Mari 2001, Diabetes Care 24:539",
        nothing="after any dose but 75 g; without weight and height",
        of=ORAL,
        value=_of(ORAL, formulas.ogis),
    ),
    "insulinogenic": Index(
        title="Insulinogenic index",
        unit="uU/mL per mg/dL",
        formula="(I_30 - I_0) / (G_30 - G_0), in mg/dL and uU/mL",
        source="Seltzer 1967, J Clin Invest 46:323",
        nothing=RISEN,
        of=ORAL,
        value=_of(ORAL, formulas.insulinogenic),
    ),
    "oral_disposition": Index(
        title="Oral disposition index",
        unit="uU/mL per mg/dL",
        formula="insulinogenic index x Matsuda index",
        source="Retnakaran 2009, Diabet Med 26:1198",
        nothing=RISEN,
        of=ORAL,
        value=_of(ORAL, formulas.oral_disposition),
    ),
    "glucagon_suppression": Index(
        title="Suppression of glucagon",
        unit="%",
        formula="100 (1 - lowest / fasting), 0 to 120 min after the drink",
        source="Faerch 2016, Diabetes 65:3473, as a share of fasting",
        nothing="without glucagon; of samples too large, for the lowest is so by the assay's noise too",
        of=ORAL,
        value=_of(ORAL, lambda test: formulas.suppression(test, "glucagon")),
    ),
    "airg": Index(
        title="AIRg, acute insulin response",
        unit="uU/mL min",
        formula="area of insulin above fasting, 0 to 10 min after intravenous glucose",
        source="Boston 2003, Diabetes Technol Ther 5:1003",
        nothing=f"of samples, without some in the first ten minutes; {SIMULATED}",
        of=INTRAVENOUS,
        value=_of(INTRAVENOUS, formulas.acute_insulin_response),
    ),
    "insulin_sensitivity": Index(
        title="S_I of the minimal model",
        unit="1/min per uU/mL",
        formula="p_3 / p_2",
        source=BERGMAN,
        nothing="in models whose liver answers by itself or whose tissues saturate",
        of=PARAMETERS,
        value=_minimal_sensitivity,
        raw=False,
    ),
    "glucose_effectiveness": Index(
        title="S_G of the minimal model",
        unit="1/min",
        formula="k_g / V_G + S_I I_b",
        source=BERGMAN,
        nothing="in models whose liver answers by itself or whose tissues saturate",
        of=PARAMETERS,
        value=_minimal_effectiveness,
        raw=False,
    ),
    "disposition": Index(
        title="Disposition index",
        unit="1",
        formula="S_I x AIRg",
        source="Bergman 1981, J Clin Invest 68:1456",
        nothing="where S_I or AIRg does",
        of=INTRAVENOUS,
        value=_disposition,
        raw=False,
    ),
    "phi_static": Index(
        title="Phi, static",
        unit="pmol/kg/min per mg/dL",
        formula="beta-cell mass x beta-cell sensitivity",
        source=f"{BREDA}, per kg and without incretins",
        nothing="without C-peptide it cannot be told from extraction, after a drink not from incretins",
        of=PARAMETERS,
        value=_phi_static,
        raw=False,
    ),
    "phi_dynamic": Index(
        title="Phi, dynamic",
        unit="pmol/kg per mg/dL",
        formula="static Phi x first-phase gain x adaptation time: what a step of glucose releases at once",
        source=f"{BREDA}, per kg and without incretins",
        nothing="as the static one; it is the prior's where the first half hour was not sampled",
        of=PARAMETERS,
        value=_phi_dynamic,
        raw=False,
    ),
    "phi_total": Index(
        title="Phi, total",
        unit="pmol/kg/min per mg/dL",
        formula="area of secretion above basal / area of glucose above basal, 0 to 180 min after the drink",
        source=f"{BREDA}, per kg",
        nothing=f"where glucose does not rise; {SIMULATED}",
        of=ORAL,
        value=_of(ORAL, formulas.phi_total),
        raw=False,
    ),
    "hepatic_extraction": Index(
        title="Hepatic extraction of insulin",
        unit="1",
        formula="share that is taken up in one passage, fasting",
        source="Campioni 2009, Am J Physiol 297:E941",
        nothing="without C-peptide it is the prior's",
        of=PARAMETERS,
        value=lambda case: case.parameter("hepatic_extraction"),
        raw=False,
    ),
    "insulin_clearance": Index(
        title="Insulin clearance",
        unit="mL/kg/min",
        formula="secretion / insulin, fasting",
        source="Polonsky 1984, J Clin Invest 74:1821",
        nothing="without C-peptide it is mostly the prior's",
        of=PARAMETERS,
        value=_clearance,
        raw=False,
    ),
    "basal_production": Index(
        title="Basal glucose production",
        unit="mg/kg/min",
        formula="endogenous glucose production, fasting",
        source=DEFRONZO,
        nothing="without a tracer it is mostly the prior's",
        of=PARAMETERS,
        value=lambda case: case.at_rest("endogenous_glucose_production"),
        raw=False,
    ),
    "production_suppression": Index(
        title="Suppression of glucose production",
        unit="%",
        formula="100 (1 - lowest / fasting), 0 to 120 min after the drink",
        source="Taylor 1996, J Clin Invest 97:126",
        nothing=f"where the liver's production is constant; {SIMULATED}",
        of=ORAL,
        value=_production_suppression,
        raw=False,
    ),
    "hepatic_resistance": Index(
        title="Hepatic insulin resistance",
        unit="mg/kg/min uU/mL",
        formula="basal glucose production x I_0",
        source="Gastaldelli 2007, Gastroenterology 133:496",
        nothing=DEFICIENT,
        of=PARAMETERS,
        value=_hepatic_resistance,
        raw=False,
    ),
    "clamp_m": Index(
        title="M-value of a clamp",
        unit="mg/kg/min",
        formula="mean glucose infusion, 80 to 120 min",
        source=DEFRONZO,
        nothing=f"where glucose is not steady by then; {SIMULATED}",
        of=CLAMP,
        value=_of(CLAMP, formulas.m_value),
        raw=False,
    ),
    "clamp_isi": Index(
        title="ISI of a clamp",
        unit="mg/kg/min per 100 uU/mL",
        formula="100 M / insulin, 80 to 120 min",
        source=DEFRONZO,
        nothing=f"where glucose is not steady by then; {SIMULATED}",
        of=CLAMP,
        value=_of(CLAMP, formulas.clamp_isi),
        raw=False,
    ),
}
"""The indices by name, in the order in which they are shown."""
