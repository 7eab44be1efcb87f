"""What everything in a posterior is called: the one table of names.

==============  ==========================  =============================  ===================================
role            name                        dims (after chain, draw)       content
==============  ==========================  =============================  ===================================
``individual``  the parameter's             ``subject`` or ``occasion``    everyone's own parameters
``typical``     ``PARAMETER_typical``                                      typical values (theta)
``individual``  ``PARAMETER_occasion``      ``occasion``                   those of each occasion, where these
                                                                           are separate
``omega``       ``PARAMETER_omega``                                        between-subject SDs
``kappa``       ``PARAMETER_kappa``                                        between-occasion SDs, likewise
``shared``      the parameter's                                            parameters with one value for all
``effect``      ``covariate_effect``        ``effect``                     factors of covariates
``correlation``  ``correlation``            ``pair``                       correlations of random effects
``sigma``       ``sigma_ANALYTE``                                          SDs of log residuals
``forcing``     ``OUTPUT_forcing``          ``forcing_obs``                true values of a forcing function
``missing``     ``COVARIATE_missing``       ``COVARIATE_missing_subject``  a covariate of those who lack it
``covariate``   ``COVARIATE_mean``, ``_sd``                                of those covariates, between people
``covariate``   ``COVARIATE_share``         ``COVARIATE_level``            shares of levels that some lack
``level``       ``COVARIATE_probability``   both of these                  of each level, of those who lack it
==============  ==========================  =============================  ===================================

Samples of an analyte have a dimension of their own, ``ANALYTE_obs``.
"""

from collections.abc import Iterable

CORRELATION = "correlation"
EFFECT = "covariate_effect"
OF_EVERYONE = ("typical", "shared", "effect", "correlation", "sigma")
"""Roles of what is said of people in common."""


def typical(parameter: str) -> str:
    """Name of the typical value of a parameter that varies."""
    return f"{parameter}_typical"


def omega(parameter: str) -> str:
    """Name of the SD of a parameter's deviations."""
    return f"{parameter}_omega"


def kappa(parameter: str) -> str:
    """Name of the SD of what differs from one occasion of a person to another, beside their own deviation."""
    return f"{parameter}_kappa"


def by_occasion(parameter: str) -> str:
    """Name of a parameter of each occasion, beside that of the person."""
    return f"{parameter}_occasion"


def effect(parameter: str, key: str) -> str:
    """Label, in the dim ``effect``, of a covariate's effect on a parameter.

    >>> effect("insulin_sensitivity", "group:T2D")
    'insulin_sensitivity by group:T2D'
    """
    return f"{parameter} by {key}"


def covariate_mean(covariate: str) -> str:
    """Name of the mean of a covariate that some people lack."""
    return f"{covariate}_mean"


def covariate_sd(covariate: str) -> str:
    """Name of the SD of a covariate that some people lack."""
    return f"{covariate}_sd"


def missing(covariate: str) -> str:
    """Name of a covariate of those who lack it."""
    return f"{covariate}_missing"


def missing_subject(covariate: str) -> str:
    """Dimension of the people who lack a covariate."""
    return f"{covariate}_missing_subject"


def missing_of(covariate: str, subject: str) -> str:
    """Label of a covariate that a person lacks."""
    return f"{covariate} of {subject}"


def level(covariate: str, name: str) -> str:
    """Label of a covariate's level."""
    return f"{covariate}:{name}"


def level_share(covariate: str) -> str:
    """Name of the shares of the levels that some people lack."""
    return f"{covariate}_share"


def level_probability(covariate: str) -> str:
    """Name of the probabilities of the levels of those who lack one."""
    return f"{covariate}_probability"


def levels(covariate: str) -> str:
    """Dimension of the levels of a covariate."""
    return f"{covariate}_level"


def sigma(analyte: str) -> str:
    """Name of the SD of an analyte's log residuals."""
    return f"sigma_{analyte}"


def forcing(output: str) -> str:
    """Name of the true forcing function at its samples."""
    return f"{output}_forcing"


def observations(analyte: str) -> str:
    """Dimension of the samples of an analyte."""
    return f"{analyte}_obs"


def occasion(subject: str, name: str) -> str:
    """Label, in the dim ``occasion``, of one person's occasion."""
    return f"{subject}/{name}"


def of_occasion(label: str, subjects: Iterable[str]) -> tuple[str, str]:
    """Subject and name of the occasion with this label, of one of these people.

    >>> of_occasion("P1/visit 2/morning", ["P1", "P2"])
    ('P1', 'visit 2/morning')
    """
    subject = max((s for s in subjects if label.startswith(f"{s}/")), key=len)
    return subject, label[len(subject) + 1 :]
