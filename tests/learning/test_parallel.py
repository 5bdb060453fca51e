"""Functions of tables in threads."""

import numpy as np

from droulette.learning import parallel


def test_rows_come_back_in_order_whatever_the_threads_do(monkeypatch):
    monkeypatch.setattr(parallel, "ROWS_AT_ONCE", 7)
    first, second = np.arange(60.0).reshape(30, 2), np.arange(30.0)[:, None]
    chunks = []

    def both(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        chunks.append(len(a))
        return a + b, a * b

    total, product = parallel.by_rows(both, first, second)
    np.testing.assert_array_equal(total, first + second)
    np.testing.assert_array_equal(product, first * second)
    np.testing.assert_array_equal(parallel.by_rows(np.sqrt, first), np.sqrt(first))
    assert sorted(chunks) == [2, 7, 7, 7, 7]
