"""Random numbers by counter: the published ones, and the same bits in NumPy, PyTorch and compiled loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from droulette.physics import noise as module
from droulette.physics.engines import compiled, programs
from droulette.physics.noise import Noise
from droulette.physics.random_numbers import normals, pair, philox, uniform

# Random123's kat_vectors, philox2x32 with 10 rounds: counter, key, result.
KNOWN = [
    ((0x00000000, 0x00000000), 0x00000000, (0xFF1DAE59, 0x6CD10DF2)),
    ((0xFFFFFFFF, 0xFFFFFFFF), 0xFFFFFFFF, (0x2C3F628B, 0xAB4FD7AD)),
    ((0x243F6A88, 0x85A308D3), 0x13198A2E, (0xDD7CE038, 0xF62A4C12)),
]
COUNT = 1 << 16


def whole(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def some_normals(stream: int = 0, row: int = 3, seed: int = 5, count: int = COUNT) -> tuple[np.ndarray, np.ndarray]:
    return normals(*pair(stream, np.arange(count), whole(row), whole(seed)))


@pytest.mark.parametrize("counter, key, expected", KNOWN)
def test_philox_gives_the_published_numbers(counter, key, expected):
    low, high = philox(whole(counter[0]), whole(counter[1]), whole(key))
    assert (low.item(), high.item()) == expected


def test_philox_of_tensors_gives_the_published_numbers():
    counters = torch.tensor([counter for counter, _, _ in KNOWN])
    low, high = philox(counters[:, 0], counters[:, 1], torch.tensor([key for _, key, _ in KNOWN]))
    assert torch.stack([low, high], 1).tolist() == [list(expected) for _, _, expected in KNOWN]


def test_uniform_is_never_0_or_1_and_even():
    ends = uniform(whole(0, 1, 2**31, 2**32 - 1))
    np.testing.assert_array_equal(ends, [2.0**-33, 3 * 2.0**-33, 0.5 + 2.0**-33, 1 - 2.0**-33])


def test_uniform_numbers_are_evenly_distributed():
    for numbers in pair(0, np.arange(COUNT), whole(1), whole(2)):
        assert stats.kstest(numbers, "uniform").pvalue > 1e-3


def test_normals_of_the_most_extreme_uniform_numbers_are_finite():
    ends = np.array([2.0**-33, 0.5, 1 - 2.0**-33])
    for z in normals(ends[:, None], ends):
        assert np.abs(z).max() < 6.8


@pytest.mark.parametrize("stream, row, seed", [(0, 0, 0), (0, 1, 0), (1, 0, 2**32 - 1), (1, 2**32 - 1, 7)])
def test_normals_have_the_normal_distribution(stream, row, seed):
    for z in some_normals(stream, row, seed):
        assert stats.kstest(z, "norm").pvalue > 1e-3
        assert abs(z.mean()) < 4 / np.sqrt(COUNT)
        assert abs(z.var() - 1) < 4 * np.sqrt(2 / COUNT)
        assert abs(stats.skew(z)) < 4 * np.sqrt(6 / COUNT)
        assert abs(stats.kurtosis(z)) < 4 * np.sqrt(24 / COUNT)


def test_neighbours_partners_rows_seeds_and_streams_are_independent():
    first, second = some_normals()
    others = [
        second,
        np.roll(first, 1),
        np.roll(second, 1),
        np.roll(first, 256),
        some_normals(row=4)[0],
        some_normals(seed=6)[0],
        some_normals(row=5, seed=3)[0],
        some_normals(stream=1)[0],
    ]
    for other in others:
        for transform in (np.asarray, np.square):
            correlation = np.corrcoef(transform(first), transform(other))[0, 1]
            assert abs(correlation) < 4.5 / np.sqrt(COUNT)


def test_streams_of_the_largest_picture_share_no_counter():
    """16,384² pixels, in pairs."""
    last = 16_384**2 // 2 - 1
    numbers = whole(0, 1, 2**24 - 1, 2**24, 2**24 + 1, 2**25, 2**26 + 5, last)
    drawn = np.concatenate([pair(stream, numbers, whole(3), whole(5)) for stream in (0, 1)])
    assert len(np.unique(drawn)) == drawn.size


def test_same_bits_in_numpy_torch_and_compiled_loops():
    size, rows, seeds = 37, np.array([0.0, 1.0, 2.0**32 - 1]), np.array([9.0, 2.0**32 - 1, 0.0])
    noise = Noise(np.ones(3), np.zeros(3), rows, seeds)
    program = programs.of_noise(noise, (module.add_noise,))
    pictures = np.zeros((3, size, size))
    compiled.expose(program, pictures, np.zeros(len(pictures)), np.zeros(len(pictures)))
    half = (size * size + 1) // 2
    for kind in (np.asarray, torch.as_tensor):
        numbers, wide_rows, wide_seeds = (
            kind(values.astype(np.int64)) for values in (np.arange(half), rows[:, None], seeds[:, None])
        )
        z1, z2 = normals(*pair(module.NORMAL, numbers, wide_rows, wide_seeds))
        found = np.concatenate([np.asarray(z1), np.asarray(z2)], axis=1)[:, : size * size]
        np.testing.assert_array_equal(found, pictures.reshape(3, -1))
