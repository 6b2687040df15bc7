"""The head: its electrodes, and what dipoles put on them."""

from __future__ import annotations

import numpy as np
import pytest

from neural_foundation.datasets.simulated.head import (
    CH_NAMES,
    MONTAGES,
    leadfield,
    own_head,
    standard_head,
    standard_positions,
    unit,
)


@pytest.mark.parametrize("n", MONTAGES)
def test_montages_have_their_size_and_known_names(n: int) -> None:
    assert len(set(MONTAGES[n])) == n
    assert set(MONTAGES[n]) <= set(CH_NAMES)
    assert {"C3", "C4"} <= set(MONTAGES[n])
    assert standard_positions(MONTAGES[n]).shape == (n, 3)


def test_the_sphere_fits_the_electrodes() -> None:
    head = standard_head()
    distances = np.linalg.norm(head.electrodes - head.centre, axis=1)
    assert head.radius == pytest.approx(distances.mean(), rel=0.01)
    assert distances.std() < 0.007
    assert head.electrode("C3")[0] < 0 < head.electrode("C4")[0]


def test_no_two_heads_are_alike_but_all_are_heads() -> None:
    heads = [own_head(np.random.default_rng(k)) for k in range(20)]
    radii = np.array([h.radius for h in heads])
    assert radii.std() > 0.001
    assert radii.min() > 0.08
    assert radii.max() < 0.11
    standard = standard_head()
    scaled = [(h.electrodes - h.centre) / h.radius * standard.radius + h.centre for h in heads]
    moved = np.linalg.norm(np.array(scaled) - standard.electrodes, axis=2)
    assert 0.002 < moved.mean() < 0.012
    assert moved.max() < 0.04


def test_a_radial_dipole_is_seen_above_it_and_the_reference_is_the_average() -> None:
    head = standard_head()
    names = ("C3", "C4", "Oz")
    at = head.inside(np.array([head.electrode(n) for n in names]), 0.8)
    field = leadfield(head, at, unit(at - head.centre))
    assert field.shape == (64, 3)
    assert [CH_NAMES[i] for i in np.argmax(field, axis=0)] == list(names)
    np.testing.assert_allclose(field.mean(0), 0.0, atol=1e-9 * np.abs(field).max())
    # 10 nA m of cortex give on the order of a microvolt on the scalp
    assert 0.3e-6 < 10e-9 * field.max() < 10e-6


def test_the_leadfield_is_linear_in_the_moment() -> None:
    head = standard_head()
    at = np.repeat(head.inside(head.electrode("C3")[None], 0.75), 4, axis=0)
    along = np.concatenate([np.eye(3), unit(np.array([[1.0, -2.0, 0.5]]))])
    field = leadfield(head, at, along)
    np.testing.assert_allclose(field[:, :3] @ along[3], field[:, 3], atol=1e-6 * np.abs(field).max())


def test_a_deeper_dipole_is_seen_more_weakly_and_more_widely() -> None:
    head = standard_head()
    towards = np.repeat(head.electrode("C3")[None], 2, axis=0)
    at = np.concatenate([head.inside(towards[:1], 0.5), head.inside(towards[1:], 0.85)])
    deep, shallow = leadfield(head, at, unit(at - head.centre)).T
    assert np.abs(deep).max() < np.abs(shallow).max()
    assert np.abs(deep).mean() / np.abs(deep).max() > np.abs(shallow).mean() / np.abs(shallow).max()
