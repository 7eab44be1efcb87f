"""Packages that bring parts, analytes and the like of their own: found by their entry points, loaded when
first needed.

A package declares what is to be loaded, a module that registers when it is imported or a function that does:

.. code-block:: toml

    [project.entry-points."bayesglu.parts"]
    kidney = "bayesglu_kidney"
"""

from importlib.metadata import entry_points
from threading import RLock

from bayesglu.errors import BayesgluWarning, warn_caller

GROUP = "bayesglu.parts"

_loading = RLock()  # the same thread comes here again while a plugin registers its parts
_begun = _done = False


def load() -> None:
    """Load every plugin, once; one that fails is left out, with a warning that names it."""
    global _begun, _done
    if _done:
        return
    with _loading:
        if _begun:
            return
        _begun = True
        try:
            for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
                _load(point)
        finally:
            _done = True


def _load(point) -> None:
    try:
        found = point.load()
        if callable(found):
            found()
    except Exception as error:
        package = f" of the package {point.dist.name}" if point.dist else ""
        warn_caller(
            f"The plugin '{point.name}' ({point.value}){package} is left out, since it cannot be loaded: "
            f"{type(error).__name__}: {error}",
            BayesgluWarning,
        )
