"""Everything that a posterior is about, as arrays."""

from typing import NamedTuple

import numpy as np


class Values(NamedTuple):
    """Values of all that is estimated, or draws of them: leading axes run over draws.

    K parameters have typical values, V of them vary between people or between one person's occasions, E
    covariate effects act, A analytes have an error. Typical values and individual parameters are on the
    scales on which their priors are Normal (log or logit), effects are logarithms of factors.

    ================  =============  ======================================================================
    field             shape          content
    ================  =============  ======================================================================
    ``typical``       (..., K)       typical values (theta of pharmacometrics)
    ``effect``        (..., E)       covariate effects
    ``omega``         (..., V)       SDs of the deviations between people or occasions
    ``sigma``         (..., A)       SDs of the log residuals
    ``correlation``   (..., pair)    correlations of deviations, below the diagonal
    ``individual``    (..., S, D)    everyone's own parameters: see `Layout`
    ``forcing_error``  (..., L)      errors of the samples of the forcing function, in units of sigma
    ``missing``       (..., M)       what covariates that some people lack may be: see `missing`
    ================  =============  ======================================================================
    """

    typical: np.ndarray
    effect: np.ndarray
    omega: np.ndarray
    sigma: np.ndarray
    correlation: np.ndarray
    individual: np.ndarray
    forcing_error: np.ndarray
    missing: np.ndarray

    def at(self, draw) -> "Values":
        """The values at an index (or a slice) of the first axis."""
        return Values(*(field[draw] for field in self))
