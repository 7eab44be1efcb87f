"""What is compared with the model: the samples of a study, and what is known of everyone's basal state.

The prediction of a row is

    by_output * outputs[sample, output] + by_parameter * theta[occasion, parameter] + offset

a concentration, perhaps with a non-specific signal of the assay, or a basal concentration itself; and its
residual is ``z = (log_value - log prediction) / sd``.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from bayesglu.frozen import frozen
from bayesglu.hierarchy.forcing import rest_of
from bayesglu.residuals import Normal, Residual, censored, numbered
from bayesglu.spec.model import ModelSpec

TINY = 1e-12
"""Predictions are kept above this before their logarithm is taken."""

SIDES = {"left": -1, "none": 0, "right": 1}
"""Where a sample lies of the value that is given: below it, there, or above it."""


class Rows(NamedTuple):
    """Samples first, in the order of the study, then pseudo-observations; compiled code reads these arrays.

    ``offset`` is that of the analyte's error, ``log_value`` the logarithm of sample + offset. ``analyte``
    says whose sigma is the SD, or is -1 where the SD is known (``known_sigma``). ``residual`` is the number
    of its kind, ``nu`` its shape. ``censoring`` is -1 (below the value), 0, or 1 (above it).
    """

    sample: np.ndarray
    output: np.ndarray
    by_output: np.ndarray
    occasion: np.ndarray
    parameter: np.ndarray
    by_parameter: np.ndarray
    offset: np.ndarray
    log_value: np.ndarray
    analyte: np.ndarray
    known_sigma: np.ndarray
    residual: np.ndarray
    nu: np.ndarray
    censoring: np.ndarray

    def part(self, which) -> "Rows":
        """Some of the rows: a slice, a mask or numbers."""
        return Rows(*(field[which] for field in self))

    def predict(self, outputs: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """Predictions ``(..., row)`` from outputs ``(..., sample, output)`` and theta ``(..., occasion,
        parameter)``."""
        return (
            self.by_output * outputs[..., self.sample, self.output]
            + self.by_parameter * theta[..., self.occasion, self.parameter]
            + self.offset
        )

    def sd(self, sigma: np.ndarray) -> np.ndarray:
        """SD of the log residual of each row ``(..., row)`` from those of the analytes ``(..., A)``."""
        return np.where(self.analyte >= 0, sigma[..., np.maximum(self.analyte, 0)], self.known_sigma)

    def kinds(self) -> Iterator[tuple[Residual, np.ndarray]]:
        """Each residual that there is, and whose it is."""
        for number, nu in dict.fromkeys(zip(self.residual.tolist(), self.nu.tolist(), strict=True)):
            yield numbered(number, nu), (self.residual == number) & (self.nu == nu)

    def log_density(self, log_predicted: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        """Log density of the logarithm of each sample ``(..., row)``, or the log probability of lying where
        it does."""
        sd = self.sd(sigma)
        z = (self.log_value - log_predicted) / sd
        found = np.empty(z.shape)
        for residual, own in self.kinds():
            found[..., own] = residual.log_density(z[..., own]) - np.log(sd[..., own])
        beyond = self.censoring != 0
        found[..., beyond] = censored.log_probability(z[..., beyond], self.censoring[beyond])
        return found

    def draw(self, log_predicted: np.ndarray, sigma: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """New measurements ``(..., row)``. They are not negative, though the noise of an assay with an offset
        reaches below zero."""
        noise = rng.normal(size=log_predicted.shape)
        for residual, own in self.kinds():
            if not isinstance(residual, Normal):
                noise[..., own] = residual.draw(rng, noise[..., own].shape)
        return np.maximum(np.exp(log_predicted + self.sd(sigma) * noise) - self.offset, 0.0)

    def below_zero(self, drawn: np.ndarray) -> np.ndarray:
        """Which of new measurements ``(row,)`` say no more than zero or less: the noise reached below it."""
        return (drawn <= 0) & (self.offset > 0)

    def working(self, log_predicted: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Precision and residual of Normal rows that would pull their predictions as these do: outliers of
        Student's t less, samples beyond a limit as their probability rises."""
        sd = self.sd(sigma)
        z = (self.log_value - log_predicted) / sd
        weight = np.empty(z.shape)
        for residual, own in self.kinds():
            weight[..., own] = residual.weight(z[..., own])
        beyond = self.censoring != 0
        weight[..., beyond], z[..., beyond] = censored.working(z[..., beyond], self.censoring[beyond])
        return weight / sd**2, z * sd

    def expected_information(self, sigma: np.ndarray) -> np.ndarray:
        """Expected information ``(..., row)`` on the logarithm of each prediction, within limits."""
        found = np.empty(len(self.analyte))
        for residual, own in self.kinds():
            found[own] = residual.information
        return found / self.sd(sigma) ** 2


def rows_of(spec: ModelSpec, samples, occasion, sample, first_sample, columns, outputs, analytes) -> Rows:
    """The rows of a study.

    samples : the observations that are compared, of `occasion` (their numbers) and at these places among the
    solver's samples (`sample`). first_sample : where those of each occasion begin. columns, outputs,
    analytes : names.
    """
    names = samples.analyte.values
    entries = {}
    for a in analytes:
        analyte = spec.analytes[a]
        if analyte.forcing:  # it is the forcing function; at rest, where it has one, it shows a basal value
            rest = rest_of(spec, a)
            entries[a] = (0, 0.0, columns.index(rest) if rest else 0, 1.0)
        else:
            floor = columns.index(analyte.background) if analyte.background else 0
            entries[a] = (outputs.index(analyte.output), 1.0, floor, float(analyte.background is not None))
    picked = np.array([entries[a] for a in names], float).reshape(-1, 4)
    residuals = [spec.analytes[a].distribution for a in names]
    offset = np.array([spec.analytes[a].error_offset for a in names], float)
    measured = Rows(
        sample=np.asarray(sample, int),
        output=picked[:, 0].astype(int),
        by_output=picked[:, 1],
        occasion=np.asarray(occasion, int),
        parameter=picked[:, 2].astype(int),
        by_parameter=picked[:, 3],
        offset=offset,
        log_value=np.log(samples.value.values + offset),
        analyte=np.array([analytes.index(a) for a in names], int),
        known_sigma=np.ones(len(names)),
        residual=np.array([r.number for r in residuals], int),
        nu=np.array([r.nu for r in residuals], float),
        censoring=np.array([SIDES[c] for c in samples.censoring.values], int),
    )
    known = _pseudo_observations(spec, first_sample, outputs)
    return frozen(Rows(*(np.concatenate(pair) for pair in zip(measured, known, strict=True))))


def _pseudo_observations(spec: ModelSpec, first_sample: np.ndarray, outputs) -> Rows:
    """What is known of the basal state of everyone, once an occasion."""
    occasions, known = len(first_sample), list(spec.pseudo_observations.values())
    n = occasions * len(known)
    return Rows(
        sample=np.tile(first_sample, len(known)).astype(int),
        output=np.repeat([outputs.index(s.output) for s in known], occasions).astype(int),
        by_output=np.ones(n),
        occasion=np.tile(np.arange(occasions), len(known)),
        parameter=np.zeros(n, int),
        by_parameter=np.zeros(n),
        offset=np.zeros(n),
        log_value=np.repeat([np.log(s.median) for s in known], occasions),
        analyte=np.full(n, -1),
        known_sigma=np.repeat([s.sd for s in known], occasions),
        residual=np.full(n, Normal.number),
        nu=np.zeros(n),
        censoring=np.zeros(n, int),
    )
