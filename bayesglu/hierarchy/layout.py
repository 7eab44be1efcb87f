"""Which numbers of a person each occasion reads: arrays, worked out once, that compiled code shares."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bayesglu.frozen import frozen
from bayesglu.hierarchy.covariates import Acting
from bayesglu.hierarchy.missing import MissingCovariates, MissingLayout
from bayesglu.hierarchy.variation import Components, Deviation
from bayesglu.spec.model import ModelSpec
from bayesglu.spec.priors import Parameter


class Layout(NamedTuple):
    """Who reads which number: arrays that compiled code reads as they are.

    Each of S subjects has a vector of D individual parameters: first those that are the same on all of a
    person's occasions, then those of each occasion in turn. A component is a place in that vector.

    ======================  ==========  ===================================================================
    ``fixed``               (P,)        every parameter that the model reads, where it is not estimated
    ``columns``             (K,)        which of them each estimated parameter is
    ``is_logit``            (K,)        whose scale is the log odds
    ``varying``             (V,)        which estimated parameter a deviation is of
    ``nested``              (V,)        which deviations are added to another one of that parameter
    ``component_parameter``  (D,)       which estimated parameter a component is of
    ``component_typical``   (D,)        how often its typical value is in it: once, or never in a nested one
    ``component_varying``   (D,)        which deviation that is
    ``component_covariates``    (S, D, E)   standardized covariate of an effect on a component
    ``covariates``          (T, E)      that of an effect on an occasion, but for what a component has of it
    ``acts``                (D, E)      whether an effect acts on a component
    ``effect_parameter``    (E,)        which estimated parameter it acts on
    ``subject``             (T,)        whose occasion it is
    ``component``           (T, V)      where an occasion reads its deviations
    ``correlated``          (m,)        components whose deviations are correlated
    ``missing``                         who lacks which covariate: in their places stand expected ones;
                                        None where nobody lacks any
    ======================  ==========  ===================================================================
    """

    fixed: np.ndarray
    columns: np.ndarray
    is_logit: np.ndarray
    varying: np.ndarray
    nested: np.ndarray
    component_parameter: np.ndarray
    component_typical: np.ndarray
    component_varying: np.ndarray
    component_covariates: np.ndarray
    covariates: np.ndarray
    acts: np.ndarray
    effect_parameter: np.ndarray
    subject: np.ndarray
    component: np.ndarray
    correlated: np.ndarray
    missing: MissingLayout | None


def layout_of(
    spec: ModelSpec,
    columns: Sequence[str],
    parameters: Sequence[Parameter],
    deviations: Sequence[Deviation],
    components: Components,
    effects: Sequence[Acting],
    of_each: np.ndarray,
    missing: MissingCovariates,
) -> Layout:
    """The layout of deviations with their components.

    of_each : standardized covariates (T, E) of each occasion, as expected where they are missing.
    """
    names, subject = [p.name for p in parameters], components.subject
    varying = np.array([names.index(each.parameter.name) for each in deviations], int)
    nested = np.array([each.nested for each in deviations], bool)
    component_parameter = varying[components.deviation]
    # Covariates act on what holds a typical value, as on the occasion that it is of; if it is of all of a
    # person, as on the first, and whatever another one has more or less acts on that itself.
    whole = ~nested[components.deviation]
    effect_parameter = np.array([names.index(a.parameter) for a in effects], int)
    acts = (component_parameter[:, None] == effect_parameter) & whole[:, None]
    component_covariates = of_each[components.occasion] * acts
    read = [component_covariates[subject, components.read[:, v]] for v in range(len(deviations))]
    together = [names.index(n) for n in spec.correlations if n in names and names.index(n) in varying]
    correlated = [int(np.flatnonzero(component_parameter == k)[0]) for k in together]
    layout = Layout(
        fixed=np.array([spec.parameters[n].typical.median for n in columns]),
        columns=np.array([list(columns).index(n) for n in names], int),
        is_logit=np.array([p.scale == "logit" for p in parameters], bool),
        varying=varying,
        nested=nested,
        component_parameter=component_parameter,
        component_typical=whole.astype(float),
        component_varying=components.deviation,
        component_covariates=component_covariates,
        covariates=of_each - sum(read),
        acts=acts,
        effect_parameter=effect_parameter,
        subject=subject,
        component=components.read,
        correlated=np.array(correlated if len(correlated) > 1 else [], int),
        missing=missing.layout if missing.numbers or missing.levels else None,
    )
    return frozen(layout)
