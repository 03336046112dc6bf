"""Rarefaction curves: where they are taken, and what they cover at every size."""

import numpy as np
import pytest

from pilotlm.errors import InputError
from pilotlm.measures.heterogeneity import expected_unique, unique_under_uniform
from pilotlm.measures.rarefaction import curve_sizes, rarefaction_curve

LAW = 1 / np.arange(1, 1001)
LAW = LAW / LAW.sum()


def test_sizes_end_at_n_and_are_shared():
    assert curve_sizes(100) == [5, 10, 15, 20, 30, 50, 75, 100]
    assert curve_sizes(929)[-5:] == [200, 300, 500, 750, 929]
    assert set(curve_sizes(265)[:-1]) < set(curve_sizes(929))
    assert (curve_sizes(1), curve_sizes(7)) == ([1], [5, 7])
    with pytest.raises(InputError):
        curve_sizes(0)


def test_the_curve_is_rarefaction_and_rises():
    codes = np.random.default_rng(1).choice(1000, 300, p=LAW)
    sizes = curve_sizes(300)
    curve = rarefaction_curve(codes, sizes)
    assert [point.n for point in curve] == sizes
    values = [point.value for point in curve]
    assert values == pytest.approx([expected_unique(codes, n) for n in sizes])
    assert (np.diff(values) > 0).all()
    assert all(point.low <= point.value <= point.high for point in curve)


def test_the_curve_covers_at_every_size():
    rng = np.random.default_rng(3)
    sizes = [3, 10, 50, 100, 150, 250]
    truth = np.array([np.sum(1 - (1 - LAW) ** n) for n in sizes])
    inside = []
    for _ in range(400):
        curve = rarefaction_curve(rng.choice(1000, 250, p=LAW), sizes)
        inside.append([point.low <= value <= point.high for point, value in zip(curve, truth, strict=True)])
    # 400 samples: standard error .011; three of them about .95.
    covered = np.mean(inside, axis=0)
    assert (covered >= 0.917).all() and (covered <= 0.983).all()


def test_noise_is_above_people_at_every_size():
    codes = np.random.default_rng(4).choice(1000, 300, p=LAW)
    for n in curve_sizes(300):
        assert unique_under_uniform([1000], n) > expected_unique(codes, n)
