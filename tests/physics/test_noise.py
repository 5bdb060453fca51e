"""The noise of a detector: its distribution, and the same bits in any batch, thread and engine."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from droulette.physics import instrument as module
from droulette.physics.batches import move
from droulette.physics.batches import take as rows_of
from droulette.physics.engines import programs
from droulette.physics.instrument import Instrument
from droulette.physics.noise import FEW, Noise, few, many

MEANS = [0.01, 0.3, 1.0, 4.7, 11.99, FEW, 12.5, 30.0, 300.0, 1e4, 1e6]


def camera(deviation, electrons, row=None, seed=None, background=0.0) -> Instrument:
    """An instrument that adds noise alone."""
    deviation, electrons = np.broadcast_arrays(np.asarray(deviation, float), np.asarray(electrons, float))
    count = len(deviation)
    row = np.arange(count) + 1.0 if row is None else np.asarray(row, float)
    seed = np.full(count, 7.0) if seed is None else np.asarray(seed, float)
    zero = np.zeros(count)
    return Instrument(zero, zero + background, zero, Noise(deviation.copy(), electrons.copy(), row, seed))


def exposed(pictures: np.ndarray, instrument: Instrument, rows: slice = slice(None)) -> np.ndarray:
    about = in_the_dark(instrument.rows(rows))
    return np.asarray(module._counted(pictures[rows].copy(), instrument, about, rows, noisy=True))


def in_the_dark(instrument: Instrument) -> Instrument:
    """Without the background, which says no more than how the noise of the pictures is to be drawn."""
    return replace(instrument, background=0.0 * instrument.background)


def exposed_by_array_operations(pictures: np.ndarray, instrument: Instrument, monkeypatch) -> np.ndarray:
    with monkeypatch.context() as patch:
        patch.setattr(programs, "of_noise", lambda noise, kinds: None)
        return exposed(pictures, instrument)


def flat(levels, size: int) -> np.ndarray:
    return np.asarray(levels, float)[:, None, None] * np.ones((size, size))


# ---------------------------------------------------------------- distributions


@pytest.mark.parametrize("mean", MEANS)
def test_poisson_numbers_have_the_distribution_of_their_mean(mean):
    """The probability of each number that is drawn, at uniform numbers spaced evenly: no chance is left in it."""
    u = (np.arange(1 << 20) + 0.5) / (1 << 20)
    drawn = few(np.full(len(u), mean), u) if mean < FEW else many(np.full(len(u), mean), stats.norm.ppf(u))
    np.testing.assert_array_equal(drawn, np.floor(drawn))
    at = np.unique(stats.poisson.ppf(np.linspace(0.001, 0.999, 200), mean))
    found = np.searchsorted(np.sort(drawn), at, side="right") / len(u)
    np.testing.assert_allclose(found, stats.poisson.cdf(at, mean), atol=2e-4)
    assert drawn.mean() == pytest.approx(mean, rel=5e-4)
    assert drawn.var() == pytest.approx(mean, rel=2e-3)


@pytest.mark.parametrize("mean", MEANS)
def test_photons_in_a_picture_have_mean_and_variance_of_their_number(mean):
    electrons, size, count = 20.0, 150, 4
    pictures = exposed(flat(np.full(count, mean / electrons), size), camera(np.zeros(count), np.full(count, electrons)))
    photons = pictures * electrons
    np.testing.assert_allclose(photons, np.rint(photons), atol=1e-9 * max(mean, 1))
    samples = photons.size
    assert abs(photons.mean() - mean) < 4.5 * np.sqrt(mean / samples)
    assert abs(photons.var() - mean) < 4.5 * np.sqrt((mean + 2 * mean**2) / samples)


def test_normal_part_has_the_deviation_that_is_said():
    deviation = np.array([0.5, 3.0, 1e-9, 1e9])
    noise = exposed(np.zeros((4, 200, 200)), camera(deviation, np.zeros(4)))
    for picture, wanted in zip(noise, deviation, strict=True):
        assert stats.kstest(picture.ravel() / wanted, "norm").pvalue > 1e-3


def test_both_parts_add_their_variances():
    noise = exposed(flat([50.0] * 4, 150), camera([3.0] * 4, [5.0] * 4)) - 50
    assert noise.var() == pytest.approx(3.0**2 + 50 / 5, rel=0.02)
    assert abs(noise.mean()) < 4 * noise.std() / np.sqrt(noise.size)


def test_photons_follow_the_light_of_each_pixel():
    slope = np.tile(np.linspace(1, 500, 100), (40, 100, 1))
    noise = exposed(slope, camera(np.zeros(40), np.full(40, 2.0))) - slope
    found = noise.var(axis=(0, 1))
    np.testing.assert_allclose(found, slope[0, 0] / 2, rtol=0.13)
    assert (found / (slope[0, 0] / 2)).mean() == pytest.approx(1, rel=0.01)


def test_light_below_0_is_no_light():
    noise = exposed(flat([-5.0], 20), camera([0.0], [3.0]))
    np.testing.assert_array_equal(noise, 0)


# ---------------------------------------------------------------- rows


def mixed(size: int = 33) -> tuple[np.ndarray, Instrument]:
    """Pictures of few and many photons, with and without each part."""
    rng = np.random.default_rng(1)
    pictures = rng.uniform(0, 60, (7, size, size))
    deviation = [3.0, 0.0, 2.0, 1.0, 0.0, 5.0, 1.0]
    electrons = [0.0, 2.0, 1.5, 0.1, 0.0, 9.0, 1e6]
    return pictures, camera(deviation, electrons, seed=[7, 7, 7, 8, 8, 2**32 - 1, 0])


def test_rows_without_noise_stay_as_they_are():
    pictures, instrument = mixed()
    np.testing.assert_array_equal(exposed(pictures, instrument)[4], pictures[4])


def test_rows_without_photons_have_the_normal_part_alone():
    pictures, instrument = mixed()
    only = replace(instrument.noise, electrons=np.zeros(7))
    found = exposed(pictures, instrument)
    np.testing.assert_array_equal(found[0], exposed(pictures, replace(instrument, noise=only))[0])


@pytest.mark.parametrize("size", [1, 2, 3, 32, 33])
def test_a_row_alone_has_the_bytes_that_it_has_among_others(size):
    pictures, instrument = mixed(size)
    together = exposed(pictures, instrument)
    for row in range(len(pictures)):
        one = slice(row, row + 1)
        alone = rows_of(instrument, one)
        np.testing.assert_array_equal(exposed(pictures[one], alone)[0], together[row])
        np.testing.assert_array_equal(exposed(pictures, instrument, one)[0], together[row])
    np.testing.assert_array_equal(exposed(pictures, instrument, slice(2, 5)), together[2:5])


def test_many_threads_give_the_bytes_of_one():
    pictures, instrument = mixed()
    together = exposed(pictures, instrument)
    parts = [slice(k, k + 1) for k in range(len(pictures))] * 4
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda part: exposed(pictures, instrument, part), parts))
    np.testing.assert_array_equal(np.concatenate(found), np.concatenate([together] * 4))


@pytest.mark.parametrize("size", [1, 2, 3, 32, 33])
def test_array_operations_and_tensors_give_the_bits_of_compiled_loops(size, monkeypatch):
    pictures, instrument = mixed(size)
    found = exposed(pictures, instrument)
    np.testing.assert_array_equal(exposed_by_array_operations(pictures, instrument, monkeypatch), found)
    on_device = move(instrument, "cpu")
    tensors = module._counted(torch.from_numpy(pictures.copy()), on_device, on_device, slice(None), noisy=True)
    np.testing.assert_array_equal(tensors.numpy(), found)


def test_the_quick_formula_of_many_photons_gives_the_bits_of_the_general_one():
    pictures = np.random.default_rng(2).uniform(12, 3000, (3, 40, 40))
    ones = np.ones(3)
    quick, general = camera(0 * ones, ones, background=12.0), camera(0 * ones, ones, background=11.0)
    assert quick.kinds_of_noise() != general.kinds_of_noise()
    np.testing.assert_array_equal(exposed(pictures, quick), exposed(pictures, general))


def test_another_row_or_seed_has_other_noise():
    picture = np.zeros((1, 64, 64))
    first = exposed(picture, camera([1.0], [0.0], row=[1], seed=[1]))
    for row, seed in ((2, 1), (1, 2), (0, 1), (1, 0), (2, 0)):
        other = exposed(picture, camera([1.0], [0.0], row=[row], seed=[seed]))
        assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.07


@pytest.mark.parametrize("background", [3.0, 50.0])
@pytest.mark.parametrize("size", [20, 21])
def test_a_kernel_gives_the_same_noise(kernels, size, background):
    instrument = camera([0.5, 2.0, 0.0], [0.0, 2.0, 5.0], background=background)
    pictures = flat([background, background + 9, 100.0], size)
    expected = exposed(pictures, instrument)
    device = kernels()
    there = move(instrument, device)
    found = module._counted(move(pictures.copy(), device), there, in_the_dark(there), slice(None), noisy=True)
    np.testing.assert_array_equal(found.cpu().numpy(), expected)
