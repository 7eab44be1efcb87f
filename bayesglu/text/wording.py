"""Small words: lists of names, sentences."""

from collections.abc import Sequence


def some(names: Sequence[str]) -> str:
    """All names, or the first and how many more.

    >>> some(["A", "B"])
    'A, B'
    """
    names = list(names)
    return ", ".join(names) if len(names) <= 12 else f"{', '.join(names[:10])} and {len(names) - 10} more"
