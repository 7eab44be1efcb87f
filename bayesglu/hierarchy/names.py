"""What everything in a posterior is called: the one table of names.

==============  ==========================  =============================  ===================================
role            name                        dims (after chain, draw)       content
==============  ==========================  =============================  ===================================
``individual``  the parameter's             ``subject`` or ``test``        everyone's own parameters
``typical``     ``PARAMETER_typical``                                      typical values
``between``     ``PARAMETER_between``                                      SDs of the deviations, omega
``population``  the parameter's                                            parameters that people share
``effect``      ``PARAMETER_effect_KEY``                                   factors of covariates
``correlation``  ``correlation``            ``pair``                       correlations of deviations
``error``       ``error_ANALYTE``                                          SDs of log residuals, sigma
``driving``     ``OUTPUT_at_readings``      ``reading``                    true curve that drives the model
==============  ==========================  =============================  ===================================
"""

CORRELATION = "correlation"
OF_EVERYONE = ("typical", "population", "effect", "correlation", "error")
"""Roles of what is said of people in common."""


def typical(parameter: str) -> str:
    """Name of the typical value of a parameter that varies."""
    return f"{parameter}_typical"


def omega(parameter: str) -> str:
    """Name of the SD of a parameter's deviations."""
    return f"{parameter}_between"


def effect(parameter: str, key: str) -> str:
    """Name of the factor by which a covariate multiplies a parameter."""
    return f"{parameter}_effect_{key.replace(':', '_')}"


def sigma(analyte: str) -> str:
    """Name of the SD of an analyte's log residuals."""
    return f"error_{analyte}"


def at_readings(output: str) -> str:
    """Name of the true curve behind measured readings."""
    return f"{output}_at_readings"
