"""Boosted trees as ONNX: the same probabilities, the same bytes again, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from neural_foundation.core.errors import MissingExtraError, PackageError
from neural_foundation.core.specs import SignalSpec, TargetSpec
from neural_foundation.export.tree_graph import NAMES, export_trees
from neural_foundation.models.boosted_trees import BoostedTrees
from neural_foundation.models.majority import Majority
from neural_foundation.models.package import Facts, Package, save
from neural_foundation.sampling.windows import Windows

SIGNAL = SignalSpec(sfreq=100.0, ch_names=("C3", "C4"))
MODEL = BoostedTrees(max_iter=25, min_samples_leaf=4, learning_rate=0.3)


def windows(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = np.arange(n) % 4
    wave = np.sin(2 * np.pi * np.array([2.0, 6.0, 11.0, 20.0])[target][:, None] * np.arange(300) / 100)
    return (1e-5 * (rng.normal(size=(n, 2, 300)) + 0.5 * wave[:, None])).astype(np.float32), target


def package(folder: Path, classes: int = 4, absent: tuple[int, ...] = ()) -> Package:
    target = TargetSpec(classes=tuple("abcd"[:classes]))
    signal, label = windows(100, 0)
    label = np.where(np.isin(label, absent) | (label >= classes), 0, label)
    estimator = MODEL.estimator(SIGNAL, target).fit(signal, label, np.repeat("s", 100))
    facts = Facts(model=MODEL, raw=SIGNAL, signal=SIGNAL, target=target, windows=Windows(length_s=3.0))
    folder.mkdir(parents=True, exist_ok=True)
    return save(folder, facts, estimator.state())


@pytest.mark.parametrize(("classes", "absent"), [(4, ()), (4, (1, 3)), (4, (2,)), (2, ())])
def test_the_graph_says_what_the_package_says(tmp_path: Path, classes: int, absent: tuple[int, ...]) -> None:
    import onnx
    import onnxruntime as ort

    made = package(tmp_path / "trees", classes, absent)
    graph = export_trees(made, tmp_path / "trees.onnx")
    onnx.checker.check_model(onnx.load(graph.path), full_check=True)
    session = ort.InferenceSession(graph.path, providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["features"]
    assert [o.name for o in session.get_outputs()] == ["probabilities"]
    estimator = made.estimator()
    for n in (1, 7, 400):
        signal = windows(n, 5)[0]
        features = estimator.features(signal).astype(np.float32)  # type: ignore[attr-defined]
        (said,) = session.run(None, {"features": features})
        assert said.shape == (n, classes)
        np.testing.assert_allclose(said, made.predict_proba(signal), atol=1e-5, rtol=0)
    assert np.ptp(said[:, 0]) > 0.1


def test_what_was_written(tmp_path: Path) -> None:
    import onnx

    made = package(tmp_path / "trees")
    graph = export_trees(made, tmp_path / "a.onnx")
    again = export_trees(Package.open(made.folder), tmp_path / "b.onnx")
    assert graph.path.read_bytes() == again.path.read_bytes()
    loaded = onnx.load(graph.path)
    names = made.estimator().names  # type: ignore[attr-defined]
    assert {p.key: json.loads(p.value) for p in loaded.metadata_props} == {NAMES: list(names)}
    assert (graph.n_features, graph.n_classes, graph.n_trees) == (len(names), 4, 100)
    assert graph.n_nodes == len(made.arrays()["value"])
    assert [n.op_type for n in loaded.graph.node] == ["TreeEnsembleClassifier", "Gemm"]
    assert not [o for o in loaded.opset_import if o.domain not in ("", "ai.onnx.ml")]


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = package(tmp_path / "one", absent=(1, 2, 3))
    with pytest.raises(PackageError, match="learned from a single class"):
        export_trees(one, tmp_path / "x.onnx")
    target = TargetSpec(classes=("a", "b"))
    facts = Facts(model=Majority(), raw=SIGNAL, signal=SIGNAL, target=target, windows=Windows(length_s=3.0))
    other = save(tmp_path / "one", facts, {"prior": np.array([0.5, 0.5])})
    with pytest.raises(PackageError, match="is a package of 'majority'"):
        export_trees(other, tmp_path / "x.onnx")
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(MissingExtraError, match=r"neural-foundation\[hms\]"):
        export_trees(package(tmp_path / "trees"), tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()
