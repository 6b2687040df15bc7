"""Spatial filters: a function of positions alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neural_foundation.core.errors import SignalMismatchError
from neural_foundation.models.layers.spatial import SpatialFilter, canonical_sites, interpolation

SITES = canonical_sites(64)
POSITIONS = [tuple(map(float, 0.09 * p)) for p in canonical_sites(20)]
NAMES = [f"E{i}" for i in range(20)]


def filters(names=NAMES, positions=POSITIONS, n_filters=8):
    return SpatialFilter(names, positions, n_filters=n_filters, n_sites=64, rng=np.random.default_rng(0))


def test_sites_are_unit_directions_over_the_upper_head() -> None:
    assert np.allclose(np.linalg.norm(SITES, axis=1), 1)
    assert SITES[:, 2].min() > -0.31
    angles = np.arccos(np.clip(SITES @ SITES.T, -1, 1)) + 9 * np.eye(64)
    assert angles.min() > 0.2


def test_interpolation_keeps_a_constant_and_follows_a_smooth_field() -> None:
    phi = interpolation(POSITIONS, SITES)
    assert np.allclose(phi.sum(1), 1)
    field = np.asarray(POSITIONS)[:, 0] / 0.09
    assert np.corrcoef(phi @ field, SITES[:, 0])[0, 1] > 0.97


def test_an_electrode_at_a_site_gives_most_of_that_site() -> None:
    phi = interpolation([tuple(p) for p in SITES], SITES)
    assert (phi.argmax(1) == np.arange(64)).all()
    assert np.diag(phi).min() > 0.8


def test_the_starting_filters_are_laplacians_that_ignore_what_all_channels_share() -> None:
    weight = filters().weight().detach()
    assert weight.sum(1).abs().max() < 1e-3
    assert torch.linalg.matrix_rank(weight) == 8


def test_more_filters_than_channels_stay_diverse() -> None:
    weight = filters(NAMES[:5], POSITIONS[:5], n_filters=12).weight().detach()
    cosine = torch.nn.functional.normalize(weight, dim=1)
    assert (cosine @ cosine.T - torch.eye(12)).abs().max() < 0.999


def test_permuting_channels_with_their_positions_changes_nothing() -> None:
    net, order = filters(), np.random.default_rng(1).permutation(20)
    signal = torch.randn(2, 20, 50, generator=torch.Generator().manual_seed(0))
    before = net(signal)
    net.bind_montage([POSITIONS[i] for i in order])
    assert torch.allclose(net(signal[:, order.copy()]), before, atol=1e-5)


def test_a_masked_channel_is_filled_in_from_its_neighbours() -> None:
    net = filters()
    field = torch.tensor(np.asarray(POSITIONS)[:, :1] / 0.09, dtype=torch.float32)[None]
    whole = net.interpolate @ field
    mask = [True] * 20
    mask[7] = False
    net.bind_montage(POSITIONS, mask)
    assert net.weight()[:, 7].abs().max() == 0
    assert (net.interpolate @ field - whole).abs().max() < 0.3 * whole.abs().max()


def test_a_channel_of_unknown_position_has_a_column_by_name() -> None:
    net = filters(["A", *NAMES], [None, *POSITIONS])
    assert net.free_names == ("A",)
    assert net.weight().shape == (8, 21)
    assert net.weight()[:, 0].abs().max() > 0
    own = net.weight()[:, 0].clone()
    net.bind_montage([POSITIONS[0], None, None], names=["E0", "A", "unknown"])
    assert torch.equal(net.weight()[:, 1], own)
    assert net.weight()[:, 2].abs().max() == 0


def test_no_positions_at_all_means_free_columns() -> None:
    net = filters(["a", "b", "c"], [])
    assert torch.linalg.matrix_rank(net.weight().detach()) == 3


def test_a_montage_without_a_usable_channel_is_refused() -> None:
    with pytest.raises(SignalMismatchError, match=r"None of the 2 channels.*Set a montage"):
        filters().bind_montage([None, None])


@pytest.mark.parametrize("bad", [(0.0, 0.0, 0.0), (float("nan"), 0.0, 0.1)])
def test_an_impossible_position_is_refused(bad) -> None:
    with pytest.raises(SignalMismatchError, match="Electrode position 1"):
        interpolation([POSITIONS[0], bad], SITES)
