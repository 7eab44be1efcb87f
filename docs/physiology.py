"""Write the equations of the loop into docs/physiology.md again: python docs/physiology.py

Each quantity of the model `feedback` is run on SymPy symbols, so that the page says what the code does.
Everything between the two markers of the page is made here; the rest of it is written by hand.
"""

from contextlib import ExitStack
from inspect import Parameter, getdoc, signature
from pathlib import Path
from unittest.mock import patch

import sympy

from bayesglu.physiology import adrenal, basal, discrepancy, gut, liver, pancreas, periphery
from bayesglu.physiology.loop import Loop, assemble
from bayesglu.spec.model import load_model

PAGE = Path(__file__).with_name("physiology.md")
BEGIN, END = "<!-- begin: written by physiology.py -->", "<!-- end -->"

ORGANS = {
    gut: "Gut",
    pancreas: "Pancreas",
    liver: "Liver",
    adrenal: "Adrenal medulla",
    periphery: "Brain, muscle, fat, kidney; spread and loss of hormones",
    basal: "The basal state",
    discrepancy: "What the forms of the fluxes miss",
}
SYMBOLS = {
    # states
    **{"stomach": "q_1", "gut": "q_2", "glucose_mass": "Q", "glycogen": "L", "insulin": "I"},
    **{"remote_insulin": "X", "hepatic_insulin": "Z", "adapted_glucose": "B", "provision_glucose": "Y"},
    **{"glucagon": "N", "adapted_glucagon": "A", "c_peptide": "C_1", "c_peptide_slow": "C_2"},
    # gut
    **{"gastric_emptying": "J_q", "absorption": "J_a", "glucose_appearance": "R_a"},
    **{"unabsorbed_glucose": "J_u", "incretin_effect": "rho_inc"},
    **{"stomach_dilution": "n_1", "duodenal_dilution": "n_2"},
    # pancreas
    **{"glucose_stimulus": "G_s", "secretion_threshold": "h", "insulin_secretion": "S"},
    **{"secretory_drive": "d", "glucose_driven_secretion": "S_G"},
    **{
        "glucagon_effect": "rho_N",
        "hypoglycaemic_drive": "rho_G",
        "glucagon_secretion_left_by_insulin": "rho_Z",
    },
    # liver
    **{"sinusoidal_insulin": "I_s", "insulin_extraction": "E", "glucagon_drive": "psi"},
    **{
        "production_left_by_insulin": "zeta",
        "glycogenolysis_left_by_glucose": "xi",
        "glycogenolysis_drive": "R_P",
        "gluconeogenesis_drive": "R_W",
        "glycogenolysis": "P",
        "gluconeogenesis": "W",
    },
    **{
        "storage_signal": "sigma",
        "portal_glucose": "G_p",
        "greatest_hepatic_uptake": "v_S",
        "hepatic_glucose_uptake": "H",
    },
    **{"indirect_storage": "D", "endogenous_glucose_production": "EGP", "gluconeogenesis_share": "w"},
    **{"liver_glycogen": "Lambda", "molar_mass": "M_G"},
    # adrenal medulla
    **{"adrenergic_response": "eta", "basal_adrenergic_response": "eta_b", "adrenergic_restraint": "rho_U"},
    # periphery
    **{"glucose": "G", "brain_glucose_uptake": "U_n", "insulin_independent_uptake": "U_g"},
    **{"insulin_independent_clearance": "c_g"},
    **{
        "insulin_dependent_uptake": "U_X",
        "tissue_uptake": "U",
        "renal_glucose_excretion": "U_r",
        "glucose_infusion": "u_clamp",
    },
    **{"unclamped_glucose_rate": "F_G"},
    # what the forms of the fluxes miss
    **{"early_wave": "w_20", "middle_wave": "w_60", "late_wave": "w_180"},
    **{
        "emptying_discrepancy": "delta_q",
        "secretion_discrepancy": "delta_S",
        "production_discrepancy": "delta_P",
        "uptake_discrepancy": "delta_U",
    },
    # the basal state
    **{"basal_glucose_mass": "Q_b", "basal_insulin_secretion": "S_b", "basal_sinusoidal_insulin": "Z_b"},
    **{"basal_c_peptide": "C_1b", "basal_c_peptide_slow": "C_2b", "basal_storage_signal": "sigma_b"},
    **{
        "basal_hepatic_uptake": "H_b",
        "basal_glucose_production": "EGP_b",
        "basal_renal_glucose_excretion": "U_rb",
    },
    **{"basal_glycogenolysis": "P_b", "basal_gluconeogenesis": "W_b"},
    **{"basal_insulin_dependent_uptake": "U_Xb"},
}
SHORT = {"softplus": "sp", "softplus_inverse": "sp^{-1}"}


def shown(expression: sympy.Expr) -> sympy.Expr:
    """The same with numbers such as 0.0166667 and 90.0 as 1/60 and 90."""
    near = {x: sympy.Rational(str(x)).limit_denominator(1000) for x in expression.atoms(sympy.Float)}
    return expression.xreplace({x: r for x, r in near.items() if 1 in (abs(r.p), r.q) and abs(r - x) < 1e-12})


def symbols(loop: Loop, model) -> dict[str, sympy.Symbol]:
    """A symbol for every name in the equations."""
    rates = {state.rate for state in loop.states.values()}
    named = {*loop.states, *loop.quantities} - rates
    found = {n: SYMBOLS[n] for n in (*sorted(named), "unclamped_glucose_rate", "molar_mass")}
    found |= {n: model.parameters[n].symbol for n in loop.parameters}
    inputs = {a for f in loop.quantities.values() for a in signature(f).parameters if a.endswith("_input")}
    found |= {n: f"u_{n.removesuffix('_input')}" for n in sorted(inputs)}
    if len(set(found.values())) < len(found):
        twice = sorted(n for n, s in found.items() if [*found.values()].count(s) > 1)
        raise ValueError(f"Two names have one symbol: {twice}.")
    return {n: sympy.Symbol(s, positive=True) for n, s in found.items()}


def equations(model: str = "feedback") -> str:
    """All equations of a model as text: states first, then each organ's quantities."""
    spec = load_model(model)
    loop = assemble(spec.structure)
    symbol = symbols(loop, spec)
    rate_of = {state.rate: name for name, state in loop.states.items()}

    def left(name: str) -> str:
        if name in rate_of:
            return rf"\frac{{d{sympy.latex(symbol[rate_of[name]])}}}{{dt}}"
        return sympy.latex(symbol[name])

    def right(function) -> str:
        known = {}
        for name, argument in signature(function).parameters.items():
            if name in symbol:
                known[name] = symbol[name]
            elif name in rate_of:
                known[name] = sympy.Symbol(left(name))
            elif argument.default is Parameter.empty:
                raise KeyError(name)
        return sympy.latex(shown(sympy.sympify(function(**known))), mul_symbol=r"\,")

    lines = ["| state | | unit | at rest |", "|---|---|---|---|"]
    for name, state in loop.states.items():
        rest = f"${sympy.latex(symbol[state.initial])}$" if state.initial else "0"
        lines.append(f"| ${sympy.latex(symbol[name])}$ | `{name}` | {state.unit} | {rest} |")
    with ExitStack() as stack:
        for module in ORGANS:
            for name, short in SHORT.items():
                if hasattr(module, name):
                    stack.enter_context(patch.object(module, name, sympy.Function(short)))
        for module, title in ORGANS.items():
            lines += ["", f"### {title}"]
            for name, function in loop.quantities.items():
                if function.__module__ == module.__name__:
                    says = " ".join(getdoc(function).partition("\n\n")[0].split())
                    lines += ["", f"`{name}`, {loop.unit(name)}. {says}", "", "```math"]
                    lines += [f"{left(name)} = {right(function)}", "```"]
    return "\n".join(lines)


def page() -> str:
    """The page with its equations made anew."""
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    return f"{before}{BEGIN}\n\n{equations()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
