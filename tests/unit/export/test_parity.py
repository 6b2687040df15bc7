"""Graphs beside what they were made of: how far they are is told, and a graph of another model is found out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import window_package

from neural_foundation.core.errors import PackageError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.export.parity import TOLERANCE, step_parity, tree_parity, within
from neural_foundation.export.step_graph import export_step
from neural_foundation.export.tree_graph import export_trees
from neural_foundation.models.multiscale import Multiscale
from neural_foundation.models.package import Package, save

SIGNAL = SignalSpec(sfreq=100.0, ch_names=("C3", "C4"), ch_types=("eeg", "eeg"))


def test_a_step_graph_is_told_by_the_tokens_it_went(exported_package: Package) -> None:
    network = exported_package.network()
    found = step_parity(network, exported_package.graph, tokens=(1, 5, 40))
    assert list(found) == ["1", "5", "40"]
    assert all(0 <= d <= TOLERANCE for d in found.values())
    with torch.no_grad():
        network.readout.weight.mul_(3)
    with pytest.raises(PackageError, match="differs from its model by .* at 1 tokens. Allowed: 0.0001"):
        step_parity(network, exported_package.graph)


@pytest.mark.slow
def test_a_network_without_a_target_is_compared_by_its_features(tmp_path: Path) -> None:
    model = Multiscale(d_model=16, n_layers=1, n_heads=2, virtual_channels=4, scales_s=(0.1, 1.0), resonators=(4, 5))
    places = ((-0.05, 0.0, 0.08), (0.05, 0.0, 0.08))
    network = model.build(SIGNAL.model_copy(update={"positions": places}), None).eval()
    graph = export_step(network, tmp_path / "step.onnx", tokens="one")
    assert max(step_parity(network, graph.path, tokens=(1, 8)).values()) <= TOLERANCE


def test_trees_are_told_on_their_own_thresholds(tmp_path: Path) -> None:
    package = window_package.make(tmp_path / "trees", "boosted_trees")
    graph = export_trees(package, tmp_path / "trees.onnx")
    found = tree_parity(package, graph.path)
    assert list(found) == ["1", "16", "256"]
    assert max(found.values()) < 1e-5
    arrays = package.arrays()
    moved = np.nextafter(arrays["threshold"], np.float32(np.inf))  # by one float32 number
    other = save(tmp_path / "other", package.facts, arrays | {"threshold": moved})
    with pytest.raises(PackageError, match="differs from its model"):
        tree_parity(other, graph.path)
    with pytest.raises(PackageError, match="a package of 'band_power'. Allowed: 'boosted_trees'"):
        tree_parity(window_package.make(tmp_path / "bands"), graph.path)


def test_what_is_no_number_is_no_parity() -> None:
    assert within(TOLERANCE, "here") == TOLERANCE
    with pytest.raises(PackageError, match="by nan at here"):
        within(float("nan"), "here")
