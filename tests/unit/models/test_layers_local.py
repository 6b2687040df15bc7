"""What a token is told of the bins about it."""

from __future__ import annotations

import pytest
import torch

from neural_foundation.models.layers.local import Local


def made(bins: int, *, causal: bool) -> Local:
    torch.manual_seed(0)
    local = Local(3, bins, causal=causal)
    with torch.no_grad():
        local.taps += torch.randn(local.taps.shape)
    return local


@pytest.mark.parametrize(("causal", "first"), [(False, -2), (True, -4)])
def test_it_is_a_filter_and_a_linear_map(causal: bool, first: int) -> None:
    local, seen = made(5, causal=causal), torch.randn(2, 11, 3)
    expected = torch.zeros(2, 11, 3)
    for t in range(11):
        for i in range(5):
            if 0 <= t + first + i < 11:
                expected[:, t] += local.taps[i] * seen[:, t + first + i]
    torch.testing.assert_close(local(seen, None)[0], expected @ local.weight.T)


@pytest.mark.parametrize("bins", [1, 4])
def test_a_stream_in_pieces_is_the_whole(bins: int) -> None:
    local, seen = made(bins, causal=True), torch.randn(2, 11, 3)
    before, parts = torch.zeros(2, bins - 1, 3), []
    for piece in seen.split([1, 6, 2, 2], 1):
        out, before = local(piece, before)
        parts.append(out)
    torch.testing.assert_close(torch.cat(parts, 1), local(seen, None)[0])


@pytest.mark.parametrize("causal", [False, True])
def test_it_starts_with_its_own_bin_most_and_keeps_the_mean(causal: bool) -> None:
    local = Local(3, 5, causal=causal)
    torch.testing.assert_close(local.taps.sum(0), torch.ones(3))
    assert local.taps.argmax(0).tolist() == [local.past] * 3
    assert (local.taps > 0).all()
