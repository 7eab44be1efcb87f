"""The physics for every peer: the straight-line programs of our own solver, as functions of another library's
numbers.

So all solve the same equations, with the same work moved out of the steps, and what is compared is the
solvers.
"""

from collections.abc import Callable

from bayesglu.solver.program import Program
from bayesglu.solver.symbolic import System

BINARY = {"add": "+", "sub": "-", "mul": "*"}


def as_function(program: Program, library, collect: Callable = list) -> Callable:
    """A function of the program's groups of inputs, each a sequence of numbers.

    Returns each group of outputs, collected, or the only one. `library` has ``exp``, ``log``, ``abs``,
    ``sqrt`` and ``sign`` for the numbers in use.
    """
    lines = [f"def function({', '.join(program.inputs)}):"]
    for i, (operation, *a) in enumerate(program.instructions):
        if operation == "input":
            value = f"{a[0]}[{a[1]}]"
        elif operation == "constant":
            value = repr(a[0])
        elif operation in BINARY:
            value = f"v{a[0]} {BINARY[operation]} v{a[1]}"
        elif operation == "neg":
            value = f"-v{a[0]}"
        elif operation == "reciprocal":
            value = f"1.0 / v{a[0]}"
        else:
            value = f"{operation}(v{a[0]})"
        lines.append(f"    v{i} = {value}")
    groups = [f"collect([{', '.join(f'v{i}' for i in indices)}])" for indices in program.outputs.values()]
    lines.append(f"    return {', '.join(groups)}")
    scope = {name: getattr(library, name, None) for name in ("exp", "log", "sqrt", "sign")}
    scope |= {"abs": getattr(library, "fabs", None) or library.abs, "collect": collect}
    exec("\n".join(lines), scope)
    return scope["function"]


def given(system: System, coefficients, dose) -> list:
    """What the bolus adds to each state."""
    added = [0.0] * len(system.states)
    for bolus, state, volume in system.doses:
        added[state] = added[state] + float(dose[bolus]) * (coefficients[volume] if volume >= 0 else 1.0)
    return added
