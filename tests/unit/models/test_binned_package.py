"""A model of binned sessions on disk: it predicts as before, by name, and says what does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from binned import BIN_S, made_session, made_set
from binned_model import SmallBinned

from neural_foundation.core.errors import PackageError, SignalMismatchError, SpecError
from neural_foundation.core.kinds import Row
from neural_foundation.core.specs import SignalSpec, TargetSpec
from neural_foundation.models.binned_package import BinnedFacts, BinnedPackage, fitting, save_binned
from neural_foundation.models.package import Facts, Package, save
from neural_foundation.models.packed import tensors
from neural_foundation.models.predicted import DECODING, ENCODING, hidden_for
from neural_foundation.models.table import MODELS
from neural_foundation.sampling.roles import TrialFold
from neural_foundation.sampling.windows import Windows

SESSIONS = [made_session("a", 0, 4, 6), made_session("b", 1, 5, 5, gaps=0.2), made_session("c", 2, 3, 4)]


@pytest.fixture(autouse=True)
def known_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS.rows, "small_binned", Row(SmallBinned, "a small one"))


@pytest.fixture
def package(tmp_path: Path) -> BinnedPackage:
    windows = made_set(SESSIONS)
    network: Any = SmallBinned().build(windows.spec, None, seed=3)
    network.calibrate_sets(windows)
    facts = BinnedFacts(
        model=SmallBinned(),
        binned=windows.spec,
        subjects=("animal-a", "animal-b", "animal-c"),
        name="small",
        fold=TrialFold(name="0", hold_out="trial"),
        trained={"seed": 3},
    )
    save_binned(tmp_path / "package", facts, tensors(network.state_dict()))
    return BinnedPackage.open(tmp_path / "package")


def test_it_is_read_back_as_it_was(package: BinnedPackage) -> None:
    again = BinnedPackage.open(package.folder)
    assert again.facts == package.facts
    save_binned(package.folder / "one", package.facts, {"one": np.float32(2), "turned": np.ones((3, 2)).T})
    assert {n: a.shape for n, a in BinnedPackage(package.folder / "one", again.facts).arrays().items()} == {
        "one": (),
        "turned": (2, 3),
    }
    assert again.facts.binned.sessions[1].channels[0] == tuple(f"b-{i}" for i in range(5))
    assert sorted(p.name for p in package.folder.iterdir() if p.is_file()) == [
        "card.md",
        "model.safetensors",
        "package.json",
    ]
    card = (package.folder / "card.md").read_text()
    for told in (
        "small_binned",
        "12 in all",
        "3 sessions of 3 subjects",
        "20 bins of 0.02 s",
        "20% of trials at random",
    ):
        assert told in card
    assert "Not a medical device" in card


class TestPredict:
    def test_what_it_is_aligned_with(self, package: BinnedPackage) -> None:
        windows = made_set(SESSIONS)
        made = package.predict(windows, hidden_for(DECODING, windows.spec))
        assert len(made.sessions) == 3
        assert {n: v.shape for n, v in made.sessions[1].items()} == {
            "wheel_speed": (5, 20, 1),
            "motion_energy": (5, 20, 2),
            "choice": (5, 2),
            "block": (5, 3),
        }
        for values in made.sessions[0].values():
            assert values.dtype == np.float32
            assert np.isfinite(values).all()
        assert made.sessions[0]["choice"].sum(1) == pytest.approx(np.ones(6), abs=1e-6)
        assert abs(made.sessions[0]["wheel_speed"].mean() - 10) < 5  # in its units, not standardised

    def test_rates_are_events_a_bin_of_what_the_network_says(self, package: BinnedPackage) -> None:
        windows = made_set(SESSIONS)
        made = package.predict(windows, ["spikes"])
        batch = windows.source((), 0).batch(np.arange(6), seed=0)
        hidden = {"spikes": torch.ones(6, 20, dtype=torch.bool)}
        with torch.no_grad():
            expected = package.network()(batch, hidden)[0]["spikes"].exp().numpy()
        assert made.sessions[0]["spikes"] == pytest.approx(expected, rel=1e-5)

    def test_what_is_hidden_has_no_say(self, package: BinnedPackage) -> None:
        changed = [made_session("a", 0, 4, 6)]
        changed[0].values["spikes"][:] = 7  # type: ignore[index]
        first, second = (package.predict(made_set(s), ["spikes"]) for s in ([SESSIONS[0]], changed))
        assert first.sessions[0]["spikes"].tobytes() == second.sessions[0]["spikes"].tobytes()

    def test_sessions_are_found_by_name_in_batches_of_any_size(self, package: BinnedPackage) -> None:
        hidden = hidden_for(ENCODING, package.facts.binned)
        whole = package.predict(made_set(SESSIONS), hidden)
        turned = package.predict(made_set([SESSIONS[2], SESSIONS[0]]), hidden, batch=3)
        assert turned.sessions[0]["spikes"] == pytest.approx(whole.sessions[2]["spikes"], rel=1e-5)
        assert turned.sessions[1]["spikes"] == pytest.approx(whole.sessions[0]["spikes"], rel=1e-5)

    def test_rows_keep_the_order_of_the_set(self, package: BinnedPackage) -> None:
        windows = made_set(SESSIONS)
        order = np.random.default_rng(0).permutation(len(windows))
        whole, mixed = (package.predict(w, ["spikes"]).sessions for w in (windows, windows.select(order)))
        for session in range(3):
            first = np.flatnonzero(windows.session == session)[0]
            mine = order[windows.session[order] == session] - first
            assert mixed[session]["spikes"] == pytest.approx(whole[session]["spikes"][mine], rel=1e-5)


class TestWhatDoesNotFit:
    def test_an_unknown_session(self, package: BinnedPackage) -> None:
        with pytest.raises(SignalMismatchError, match=r"does not know session 'bb'. Did you mean 'b'.*Fine-tune on it"):
            package.predict(made_set([made_session("bb")]), ["spikes"])

    def test_other_units(self, package: BinnedPackage) -> None:
        with pytest.raises(SignalMismatchError, match=r"'b' has 6 channels of 'spikes', the package knows it with 5"):
            package.predict(made_set([made_session("b", 1, 6)]), ["spikes"])
        units = SESSIONS[0].spec.channels[0]
        turned = SESSIONS[0].spec.model_copy(update={"channels": (units[::-1], *SESSIONS[0].spec.channels[1:])})
        windows = made_set([SESSIONS[0]])
        other = windows.spec.model_copy(update={"sessions": (turned,)})
        from dataclasses import replace

        with pytest.raises(SignalMismatchError, match="number 1 is 'a-3', not 'a-0'"):
            package.predict(replace(windows, spec=other), ["spikes"])

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"bin_s": 2 * BIN_S}, r"bins of 0.04 s, the package of 0.02 s"),
            ({"classes": ("left", "middle")}, r"'choice' is classes left, middle, the package's classes left, right"),
        ],
    )
    def test_other_bins_or_classes(self, package: BinnedPackage, change: dict[str, Any], message: str) -> None:
        from dataclasses import replace

        windows = made_set([SESSIONS[0]])
        if "bin_s" in change:
            spec = windows.spec.model_copy(update=change)
        else:
            modalities = [m.model_copy(update=change) if m.name == "choice" else m for m in windows.spec.modalities]
            spec = windows.spec.model_copy(update={"modalities": tuple(modalities)})
        with pytest.raises(SignalMismatchError, match=message):
            package.predict(replace(windows, spec=spec), ["spikes"])

    def test_what_a_session_lacks_has_no_unit_to_fit(self, package: BinnedPackage) -> None:
        """A recording without a behaviour does not know its unit; alone it is still one of the package's."""
        known = made_set([SESSIONS[0], made_session("b", 1, 5, without=("wheel_speed",))]).spec
        alone = known.only(["b"])
        none, other = (
            tuple(m.model_copy(update={"unit": u}) if m.name == "wheel_speed" else m for m in known.modalities)
            for u in ("", "rad/s")
        )
        fitting(known, alone.model_copy(update={"modalities": none}))
        with pytest.raises(SignalMismatchError, match="'wheel_speed' is continuous in 'rad/s'"):
            fitting(known, known.only(["a"]).model_copy(update={"modalities": other}))

    def test_an_unknown_modality(self, package: BinnedPackage) -> None:
        with pytest.raises(SpecError, match="no modality 'spike'. Did you mean 'spikes'"):
            package.predict(made_set(SESSIONS), ["spike"])

    def test_a_network_is_no_estimator(self, package: BinnedPackage) -> None:
        with pytest.raises(PackageError, match="holds a network, 'small_binned'"):
            package.estimator()


class TestOpening:
    def test_what_is_no_package(self, tmp_path: Path) -> None:
        with pytest.raises(PackageError, match=r"no package: it has no package.json.*'fit_trials'"):
            BinnedPackage.open(tmp_path)

    def test_a_package_of_a_signal_and_the_reverse(self, package: BinnedPackage, tmp_path: Path) -> None:
        signal, model = SignalSpec(sfreq=100, ch_names=("Cz",)), MODELS.parse("majority")
        target = TargetSpec(classes=("left", "right"))
        facts = Facts(model=model, raw=signal, signal=signal, target=target, windows=Windows())
        save(tmp_path / "signal", facts, {"share": np.ones(2)})
        with pytest.raises(PackageError, match="is a package of a signal, not of binned sessions"):
            BinnedPackage.open(tmp_path / "signal")
        with pytest.raises(PackageError, match="is a package of binned sessions, not of a signal"):
            Package.open(package.folder)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"format_version": 9}, "format_version 9"),
            ({"format_version": None}, "format_version None"),
            ({"extra": 1}, "unknown field 'extra'"),
            ({"model": {"kind": "small_binnd"}}, "Unknown kind 'small_binnd'"),
        ],
    )
    def test_damaged_facts(self, package: BinnedPackage, change: dict[str, Any], message: str) -> None:
        path = package.folder / "package.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        with pytest.raises(PackageError, match=message):
            BinnedPackage.open(package.folder)

    def test_damaged_weights(self, package: BinnedPackage) -> None:
        from safetensors.numpy import save_file

        path = package.folder / "model.safetensors"
        arrays = package.arrays()
        save_file({n: a for n, a in arrays.items() if n != "body.0.bias"}, path)
        with pytest.raises(PackageError, match=r"do not fit the model.*body.0.bias"):
            package.network()
        path.write_bytes(b"\x80\x04pickle")
        with pytest.raises(PackageError, match="cannot be read"):
            package.network()


def test_directions_hide_what_they_say() -> None:
    spec = made_set(1).spec
    assert hidden_for(ENCODING, spec) == ("spikes",)
    assert hidden_for(DECODING, spec) == ("wheel_speed", "motion_energy", "choice", "block")
    with pytest.raises(SpecError, match="no direction 'encode'. Did you mean 'encoding'"):
        hidden_for("encode", spec)
    with pytest.raises(SpecError, match="needs neural activity and behaviour"):
        hidden_for(ENCODING, spec.model_copy(update={"modalities": spec.modalities[:1]}))
