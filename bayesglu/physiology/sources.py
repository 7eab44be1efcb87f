"""The source of a part as text: the same text, the same numbers; another text after an edit."""

import inspect
import os
from collections.abc import Callable
from types import CodeType

from bayesglu.physiology.parts import Part
from bayesglu.physiology.quantities import units

PLAIN = (bool, int, float, complex, str, tuple, type(None))


def part_text(part: Part) -> str:
    """Everything of a part that decides what it does, but for what is bayesglu's own and stands for its
    version."""
    lines = [repr(dict(each)) for each in (part.states, part.gives, part.takes)]
    lines += [repr(dict(part.modulates))] if part.modulates else []
    for name, function in sorted(part.quantities.items()):
        lines.append(f"{name}: {sorted(units(function).items())} {_function_text(function, set())}")
    return "\n".join(lines)


def home(part: Part) -> str:
    """The module that a part's functions are from: the first that is not bayesglu's."""
    own = (function for function in part.quantities.values() if not _is_ours(function))
    return next((function.__module__ or "__main__" for function in own), "bayesglu")


def _is_ours(function: Callable) -> bool:
    return (function.__module__ or "").partition(".")[0] == "bayesglu"


def _function_text(function: Callable, seen: set[Callable]) -> str:
    """The source of a function, of the functions that it names, and the plain values that it names."""
    if _is_ours(function):
        return f"{function.__module__}.{function.__qualname__}"
    seen.add(function)
    if os.path.isfile(function.__code__.co_filename):
        lines = [inspect.getsource(function)]
    else:  # typed in, or its file is gone
        lines = [_code_text(function.__code__)]
    lines += map(repr, (function.__defaults__, function.__kwdefaults__))
    named = inspect.getclosurevars(function)
    for name, value in sorted({**named.globals, **named.nonlocals}.items()):
        if inspect.isfunction(value) and value not in seen:
            lines.append(f"{name}: {_function_text(value, seen)}")
        elif isinstance(value, PLAIN):
            lines.append(f"{name} = {value!r}")
    return "\n".join(lines)


def _code_text(code: CodeType) -> str:
    constants = [_code_text(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return " ".join([code.co_code.hex(), *code.co_names, *code.co_varnames, *constants])
