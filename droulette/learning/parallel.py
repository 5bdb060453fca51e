"""Functions of tables, row by row, on all processor cores."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from droulette.devices import cores

ROWS_AT_ONCE = 4096


def by_rows(function: Callable, *tables: np.ndarray):
    """What `function` makes of these tables, computed in threads from ROWS_AT_ONCE rows at a time.

    function: takes arrays of n rows each and gives an array, or a tuple of arrays, of n rows, each of which depends on
    the same row of the input alone.
    """
    count = len(tables[0])
    if count <= ROWS_AT_ONCE:
        return function(*tables)

    def some(start: int):
        return function(*(table[start : start + ROWS_AT_ONCE] for table in tables))

    with ThreadPoolExecutor(cores()) as pool:
        results = list(pool.map(some, range(0, count, ROWS_AT_ONCE)))
    if isinstance(results[0], tuple):
        return tuple(np.concatenate(parts) for parts in zip(*results, strict=True))
    return np.concatenate(results)
