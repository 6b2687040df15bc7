"""An ensemble as a package: its decisions are the blend's of its members' own; what is not whole is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import ensembles
import numpy as np
import pytest
from ensembles import BLEND, NAMES

from neural_foundation.core.errors import DataError, PackageError
from neural_foundation.core.store import read_json, write_json
from neural_foundation.evaluation.ensembling import uncertainty
from neural_foundation.evaluation.ensembling_solvers import tempered
from neural_foundation.export.ensemble_package import (
    ENSEMBLE,
    EnsemblePackage,
    JoinedPredict,
    check_shared,
    covering,
    open_package,
)
from neural_foundation.models.package import WINDOW_GRAPH, Package, save
from neural_foundation.models.packed import CARD, FACTS, WEIGHTS
from neural_foundation.signals.table import SIGNALS

WINDOWS = ensembles.windows(6)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> EnsemblePackage:
    return ensembles.shared(tmp_path_factory)


def said(package: EnsemblePackage) -> np.ndarray:
    """Return what the members say, by their packages, opened one by one."""
    folder = package.folder / "members"
    bands = [Package.open(folder / "bands" / f).predict_proba(WINDOWS) for f in ("fold-0", "fold-1")]
    others = [Package.open(folder / n / "fold-0").predict_proba(WINDOWS) for n in ("trees", "net")]
    return np.stack([np.mean(bands, 0), *others], 1)


@pytest.mark.parametrize("method", ["mean", "weighted", "geometric", "stacked"])
def test_its_decisions_are_the_blends_of_its_members(package: EnsemblePackage, method: str, tmp_path: Path) -> None:
    folder = ensembles.copied(package, tmp_path / method)
    write_json(folder / ENSEMBLE, read_json(folder / ENSEMBLE) | {"method": method})
    each = said(package)
    assert np.ptp(each, axis=1).max() > 0.02, "members that say the same would prove nothing"
    opened = EnsemblePackage.open(folder)
    np.testing.assert_allclose(opened.predict_proba(WINDOWS), BLEND.apply(each)[method], rtol=0, atol=1e-12)


def test_its_uncertainty_is_that_of_its_tempered_members(package: EnsemblePackage) -> None:
    found = package.uncertainty(WINDOWS)
    wanted = uncertainty(tempered(said(package), BLEND.temperatures), BLEND.weights)
    np.testing.assert_allclose(found.entropy, wanted.entropy, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.disagreement, wanted.mutual_information, rtol=0, atol=1e-12)
    assert (found.disagreement > 0).all()
    assert (found.entropy <= np.log(2) + 1e-12).all()


def test_it_is_a_package_to_who_asks_for_decisions(package: EnsemblePackage) -> None:
    opened = open_package(package.folder)
    assert isinstance(opened, EnsemblePackage)
    assert opened.facts.ensemble == NAMES
    assert (opened.whole_windows, opened.facts.model.family, opened.facts.model.context) == (True, "estimator", "trial")
    assert type(open_package(package.folder / "members" / "trees" / "fold-0")) is Package
    for asked in (opened.network, opened.estimator, opened.arrays):
        with pytest.raises(PackageError, match="is an ensemble and has no .* of its own. Take those of its 'members'"):
            asked()


class Half:
    """Stands for windows of recordings."""

    def load(self) -> np.ndarray:
        return WINDOWS


def test_members_decide_each_in_its_way(package: EnsemblePackage, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def decide(self: Package, windows: Half, *, batch: int = 64) -> np.ndarray:
        asked.append(self.facts.model.kind)
        return self.predict_proba(windows.load())

    monkeypatch.setattr(Package, "decide", decide)
    np.testing.assert_allclose(package.decide(Half()), package.predict_proba(WINDOWS), atol=1e-12)  # type: ignore[arg-type]
    assert asked == ["band_power", "band_power", "boosted_trees", "resnet_gru"]


def test_windows_that_end_apart_are_those_of_the_whole_ensemble(package: EnsemblePackage, tmp_path: Path) -> None:
    (first, _), _, _ = package.members
    made = []
    for name, start, end in (("early", 0.0, 1.0), ("late", 0.5, 2.5)):
        windows = first.facts.windows.model_copy(update={"start_s": start, "length_s": end - start})
        made.append(save(tmp_path / name, first.facts.model_copy(update={"windows": windows}), {"x": np.zeros(1)}))
    whole = covering(made)
    assert (whole.start_s, whole.end_s) == (0.0, 2.5)
    check_shared(made)
    check_shared(made, first.facts.model_copy(update={"windows": whole}))
    with pytest.raises(PackageError, match="late has another windows than"):
        check_shared(made, made[0].facts)


def test_weights_are_read_once_for_many_windows(package: EnsemblePackage) -> None:
    made = []
    joined = JoinedPredict(package, lambda p: made.append(p) or p.predict_proba)  # type: ignore[func-returns-value]
    np.testing.assert_array_equal(joined(WINDOWS), package.predict_proba(WINDOWS))
    joined(WINDOWS[:1])
    assert len(made) == 4


def test_a_member_without_a_number_is_an_error(package: EnsemblePackage) -> None:
    joined = JoinedPredict(package, lambda p: lambda x: np.full((len(x), 2), np.nan))
    with pytest.raises(DataError, match="Member 1 of 3 gives no number"):
        joined(WINDOWS)


MISSING: dict[str, tuple[Callable[[Path], None], str]] = {
    "a member's folder": (lambda f: shutil.rmtree(f / "members" / "trees"), "trees/fold-0/.* is missing.*not whole"),
    "weights": (lambda f: (f / "members/bands/fold-1" / WEIGHTS).unlink(), "bands/fold-1/model.safetensors is missing"),
    "graph": (lambda f: (f / "members/net/fold-0" / WINDOW_GRAPH).write_bytes(b"x"), "window.onnx is not as"),
    "one bit": (lambda f: _flip(f / "members/trees/fold-0" / WEIGHTS), "trees.*is not as the ensemble was written"),
    "another graph": (lambda f: (f / "members/trees/fold-0" / WINDOW_GRAPH).touch(), "window.onnx is no part of"),
    "no blend": (lambda f: (f / ENSEMBLE).unlink(), "is no ensemble: it has no ensemble.json"),
    "no facts": (lambda f: (f / FACTS).unlink(), "it has no package.json.*'export_ensemble'"),
    "later facts": (lambda f: _set(f / FACTS, format_version=99), "format_version 99.*newer"),
    "a later version": (lambda f: _set(f / ENSEMBLE, format_version=99), "format_version 99.*newer"),
    "no version": (lambda f: _set(f / ENSEMBLE, format_version=None), "format_version None"),
    "other names": (lambda f: _set(f / FACTS, ensemble=["a", "b", "c"]), "names 'a', 'b' or 'c'|names a, b"),
    "another blend": (lambda f: _set(f / ENSEMBLE, blend=BLEND.value() | {"weights": [0.5, 0.5]}), "no blend of 3"),
    "half a blend": (lambda f: _set(f / ENSEMBLE, blend={"weights": [1.0]}), "no blend of 3 members and 2 classes"),
    "cold": (lambda f: _set(f / ENSEMBLE, blend=BLEND.value() | {"after": [0.0, 1.0]}), "no blend of 3"),
    "out of its folder": (lambda f: _lead_out(f / ENSEMBLE), "leads out of the ensemble's folder"),
    "an unknown method": (lambda f: _set(f / ENSEMBLE, method="best"), "method"),
}


def _set(path: Path, **fields: object) -> None:
    write_json(path, read_json(path) | fields)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def _lead_out(path: Path) -> None:
    value = read_json(path)
    value["members"][0]["packages"][0]["folder"] = "../elsewhere"
    write_json(path, value)


@pytest.mark.parametrize("what", MISSING)
def test_what_is_not_whole_is_refused(package: EnsemblePackage, tmp_path: Path, what: str) -> None:
    folder = ensembles.copied(package, tmp_path / "copy")
    harm, words = MISSING[what]
    harm(folder)
    with pytest.raises(PackageError, match=f"(?s){words}"):
        EnsemblePackage.open(folder)


def test_a_card_that_was_edited_is_seen_too(package: EnsemblePackage, tmp_path: Path) -> None:
    folder = ensembles.copied(package, tmp_path / "copy")
    (folder / "members/bands/fold-0" / CARD).write_text("Never wrong.")
    with pytest.raises(PackageError, match="card.md is not as"):
        open_package(folder)


def test_a_plain_package_is_told_from_an_ensemble(package: EnsemblePackage) -> None:
    with pytest.raises(PackageError, match="several models, an ensemble.*EnsemblePackage"):
        Package.open(package.folder)
    with pytest.raises(PackageError, match="is no ensemble"):
        EnsemblePackage.open(package.folder / "members/bands/fold-0")


def test_members_share_one_chain_and_signal(package: EnsemblePackage, tmp_path: Path) -> None:
    (first, _), (trees,), _ = package.members
    facts = first.facts
    narrow = SIGNALS.parse({"kind": "bandpass", "low_hz": 5, "high_hz": 40})
    changes = {
        "chain": ({"chain": (narrow, *facts.chain[1:])}, "another chain than 'bands': .*low_hz.*5.*low_hz.*2"),
        "shorter": ({"chain": facts.chain[:1]}, "another chain .*: nothing against"),
        "raw": ({"raw": facts.raw.model_copy(update={"sfreq": 200.0})}, "another raw .*200"),
        "windows": ({"windows": facts.windows.model_copy(update={"hop_s": 0.7})}, "another windows .*0.7"),
        "stream": ({"model": facts.model.model_copy(update={"context": "stream"})}, "carries its state"),
    }
    for fields, words in changes.values():
        other = save(tmp_path, facts.model_copy(update={**fields, "name": "other"}), {"x": np.zeros(1)})
        with pytest.raises(PackageError, match=words):
            check_shared([first, trees, other])
    with pytest.raises(PackageError, match="does not decide between classes"):
        check_shared([Package(tmp_path, facts.model_copy(update={"target": None}))])
