"""A density as a model of nutpie, which calls it from threads of its own; compiled, with no Python between.

Through Python two chains take turns, and a gradient of one person costs three times what it takes.
"""

from collections.abc import Callable
from functools import cache
from types import SimpleNamespace

import numpy as np
import nutpie
import xarray as xr
from numba import carray, typeof
from numba.core import types
from nutpie.compile_pymc import CompiledPyMCModel
from nutpie.compiled_pyfunc import from_pyfunc

from bayesglu.inference.density import Density, log_density
from bayesglu.parallel import cores
from bayesglu.solver.compiled import PLAIN, compiled
from bayesglu.solver.intrinsics import intrinsic
from bayesglu.solver.separate import Separate, c_address

NUMBERS, WORDS = types.CPointer(types.float64), types.CPointer(types.int64)
FINE, NOT_FINITE = 0, 4  # what nutpie is told; any positive number makes it turn back


def model_of(density: Density, failed: np.ndarray, start: np.ndarray):
    """A model of one chain that begins at `start` and counts its failed solves in `failed`: see
    `density.Known`."""
    if PLAIN:
        return _through_python(density, failed, start)
    density.compile()
    placed, n = density.placed(failed), density.size
    compiled_density = _density(typeof(placed))
    evaluate, expand = _addresses(compiled_density)
    return CompiledPyMCModel(
        dims={},
        compiled_logp_func=SimpleNamespace(address=evaluate),
        compiled_expand_func=SimpleNamespace(address=expand),
        initial_point_func=lambda seed: start,
        shared_data={"known": placed},  # which has to live as long as the model
        shared_var_keys={},
        user_data=np.array([compiled_density.address, placed.address]),
        n_expanded=n,
        shape_info=(["position"], [slice(0, n)], [(n,)]),
        logp_func=None,
        expand_func=None,
        _n_dim=n,
        _shapes={"position": (n,)},
        _coords={},
    )


def _through_python(density: Density, failed: np.ndarray, start: np.ndarray):
    known = density.placed(failed)
    return model_of_function(density.size, lambda x: log_density(x, known), start)


def model_of_function(n: int, function: Callable, start: np.ndarray):
    """A model of n numbers whose log density, with its gradient, a function gives; chains begin at
    `start`."""
    return from_pyfunc(
        n,
        lambda: function,
        lambda *seeds: lambda x: {"position": x},
        [np.dtype("float64")],
        [(n,)],
        ["position"],
        make_initial_point_fn=lambda seed: start,
    )


def sample_function(
    function: Callable, n: int, draws: int, tune: int, chains: int, seed: int
) -> tuple[np.ndarray, xr.Dataset]:
    """Draws (chain, draw, n) of n numbers whose log density, with its gradient, a function gives, from chains
    that begin at zero; and the sampler's statistics."""
    tree = nutpie.sample(
        model_of_function(n, function, np.zeros(n)),
        draws=draws,
        tune=tune,
        chains=chains,
        cores=min(chains, cores()),
        seed=seed % 2**31,
        progress_bar=False,
        save_warmup=False,
    )
    return tree["posterior"]["position"].transpose("chain", "draw", ...).values, tree[
        "sample_stats"
    ].to_dataset()


@cache
def _density(known: types.Type) -> Separate:
    """The log density that was compiled for such designs."""
    return Separate(log_density, log_density.overloads[types.float64[::1], known].signature)


@cache
def _addresses(compiled_density: Separate) -> tuple[int, int]:
    """Where nutpie finds this log density, and what writes down a position."""
    call, known = compiled_density.call, compiled_density.signature.args[1]

    @intrinsic
    def as_placed(context, address):
        return known(types.int64), lambda context, builder, signature, arguments: arguments[0]

    def evaluate(n, x, gradient, value, given):
        words, slope, found = carray(given, 2), carray(gradient, n), carray(value, 1)
        found[0], bar = call(words[0], (carray(x, n), as_placed(words[1])))
        finite = np.isfinite(found[0])
        for i in range(n):
            slope[i] = bar[i]
            finite &= np.isfinite(bar[i])
        return FINE if finite else NOT_FINITE

    # Its arguments do not say which density it calls, and the name of what is kept of it must.
    evaluate.__qualname__ += f" of {known}"
    evaluate = compiled(from_c=True)(evaluate)

    @compiled(from_c=True)
    def expand(n, m, x, position, given):
        old, new = carray(x, n), carray(position, m)
        for i in range(m):
            new[i] = old[i]
        return FINE

    sizes = types.uint64, types.uint64
    return (
        c_address(evaluate, (types.uint64, NUMBERS, NUMBERS, NUMBERS, WORDS)),
        c_address(expand, (*sizes, NUMBERS, NUMBERS, WORDS)),
    )
