"""Errors about what was given and cannot be used, and warnings about what is probably not meant."""

import contextlib
import functools
import os
import warnings

_BETWEEN = tuple(
    file.removesuffix(".py")  # a prefix as long as the name is none to Python
    for file in (os.path.dirname(__file__) + os.sep, contextlib.__file__, functools.__file__)
)
"""Files of this package, and those through which its functions call each other."""


class BayesgluError(Exception):
    """Something that was given cannot be used; the message says where, what was found and what is allowed.

    Every error of this package that is about its input is one. Any other exception is a fault of the program.

    Attributes
    ----------
    problems : tuple of str
        Every fault that was found, one sentence each, where there can be several.

    Examples
    --------
    >>> import bayesglu as bg
    >>> try:
    ...     bg.ogtt(-75)
    ... except bg.BayesgluError as error:
    ...     print(error)
    ogtt(-75): amount is -75; it must be a finite number of at least 0.
    """

    problems: tuple[str, ...] = ()


class InputError(BayesgluError, ValueError):
    """An argument that cannot be used."""


class UnknownNameError(BayesgluError, LookupError):
    """A name that is none of those there are."""


class MissingFileError(BayesgluError, FileNotFoundError):
    """A file or folder that is not there."""


class BayesgluWarning(UserWarning):
    """Something that can be right and probably is not."""


class RenamedWarning(BayesgluWarning, FutureWarning):
    """A name that will be given up; the message says the one that took its place."""


class FitWarning(BayesgluWarning):
    """A fit whose draws should not be believed as they stand; the message says why and what may help.

    Examples
    --------
    >>> import warnings
    >>> import bayesglu as bg
    >>> fit = bg.fit("minimal", "bergman1986", method="laplace", random_seed=1, progressbar=False)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", bg.FitWarning)  # a program stops where a fit is not to be trusted
    ...     verdict = bg.check(fit)
    """


class ModelWarning(BayesgluWarning):
    """A question that a model has no means to answer well; the message says why, and which model has them.

    Examples
    --------
    >>> import warnings
    >>> import bayesglu as bg
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     flat = bg.simulate("oral", bg.fast(24), outputs=["glucose"])
    >>> "glycogen" in str(caught[0].message)
    True
    """


class RunWarning(BayesgluWarning):
    """A run on disk that was stopped or damaged; the message says where, and what was made of it."""


def warn_caller(message: str, category: type[BayesgluWarning]) -> None:
    """Warn at the line that called this package, however many of its functions lie between."""
    warnings.warn(message, category, skip_file_prefixes=_BETWEEN)
