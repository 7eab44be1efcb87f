"""Things that cannot be changed once they are made."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np


def frozen(arrays):
    """A named tuple whose arrays can only be read, each in a row in memory; other fields are as they are."""
    return arrays._replace(
        **{name: _read_only(a) for name, a in arrays._asdict().items() if isinstance(a, np.ndarray)}
    )


def _read_only(array: np.ndarray) -> np.ndarray:
    array = np.ascontiguousarray(array).view()
    array.flags.writeable = False
    return array


class Frozen(Mapping):
    """A mapping that keeps its order and cannot be changed; unlike a mapping proxy it can be pickled."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping | None = None):
        self._items = dict(items or {})

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return repr(self._items)
