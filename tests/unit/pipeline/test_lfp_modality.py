"""LFP beside spikes and behaviour, from a simulated recording to predictions of either from the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import live_binned
import numpy as np
import pytest

from neural_foundation.core.errors import SignalMismatchError
from neural_foundation.core.lineage import Output
from neural_foundation.core.modalities import ModalitySpec
from neural_foundation.core.specs import identity
from neural_foundation.core.store import read_json, write_json
from neural_foundation.core.stream import Chunk
from neural_foundation.evaluation.trial_scores import HeldOut, score_session
from neural_foundation.models.binned_package import BinnedPackage
from neural_foundation.models.predicted import DECODING, ENCODING, hidden_for
from neural_foundation.models.table import MODELS
from neural_foundation.pipeline.stage import Job
from neural_foundation.pipeline.stages.bin import Bin
from neural_foundation.pipeline.stages.fit_trials import FitTrials
from neural_foundation.pipeline.stages.split_trials import sets
from neural_foundation.pipeline.table import STAGES
from neural_foundation.realtime.binned_decoder import BinnedDecoder
from neural_foundation.sampling.behaviours import Dynamic
from neural_foundation.sampling.binned import BinnedSession, BinnedSet, spec_of
from neural_foundation.sampling.roles import TrialFold

BANDS = {"kind": "lfp_bands", "bands": {"theta": [6, 9], "beta": [15, 30]}, "gives": "log_power", "every_s": 0.02}
DATASET = {"kind": "simulated_sessions", "sessions": 1, "trials": 20, "units": 8, "block_trials": 3, "lfp": 2}
FOLD = TrialFold(name="0", hold_out="trial")


@pytest.fixture(scope="module")
def binned(tmp_path_factory: pytest.TempPathFactory) -> Output:
    folder = tmp_path_factory.mktemp("lfp")
    stage: Any = STAGES.parse(
        {
            "kind": "bin",
            "dataset": DATASET,
            "lfp": {"signals": [BANDS]},
            "start_s": 0.0,
            "length_s": 0.8,
            "on_missing": "allow",
        }
    )
    assert isinstance(stage, Bin)
    (name,) = stage.own_values()
    stage.run(Job("bin", {"recording": name}, 0, folder, {}))
    return Output("bin", name, "key", folder)


@pytest.fixture(scope="module")
def windows(binned: Output) -> dict[Any, BinnedSet]:
    return sets(FOLD, [BinnedSession.read(binned.folder)], 40)


def test_its_bands_are_channels_of_a_neural_modality(binned: Output) -> None:
    session = BinnedSession.read(binned.folder)
    index = [m.name for m in session.modalities].index("lfp")
    assert session.modalities[index].kind == "continuous"
    assert session.modalities[index].role == "neural"
    assert {m.name: m.role for m in session.modalities if m.name != "lfp"} == {
        "spikes": "neural",
        **dict.fromkeys(("wheel_speed", "left_motion_energy", "right_motion_energy", "choice", "block"), "behaviour"),
    }
    written = {m["name"]: m for m in read_json(binned.folder / "binned.json")["modalities"]}
    assert written["lfp"]["neural"] is True
    assert all("neural" not in m for name, m in written.items() if name != "lfp"), "files without LFP are as before"
    assert session.modalities[index].unit == "dB"
    assert session.spec.channels[index] == ("lfp000:theta", "lfp000:beta", "lfp001:theta", "lfp001:beta")
    values = session.values["lfp"]
    assert values.shape == (len(session.values["spikes"]), 4)
    assert -150 < np.nanmean(values) < -50, "tens of microvolts"
    assert "lfp" not in read_json(binned.folder / "binned.json")["facts"]["absent"]


@pytest.mark.parametrize("inputs", ["stitch", "units"])
def test_a_network_learns_with_it_and_predicts_it(
    binned: Output, windows: dict[Any, BinnedSet], inputs: str, tmp_path: Path
) -> None:
    write_json(tmp_path / "split.json", [FOLD.model_dump(mode="json")])
    learner = {"kind": "gradient", "objective": "multimodal", "max_epochs": 2, "batch_size": 7, "lr": 0.01}
    model = {"kind": "neds", "size": "tiny", "width": 16, "heads": 2, "layers": 1, "inputs": inputs}
    stage: Any = STAGES.parse({"kind": "fit_trials", "model": model, "learner": learner})
    assert isinstance(stage, FitTrials)
    given = {"data": [binned], "split": [Output("split", "", "key", tmp_path)]}
    stage.run(Job("neds", {"fold": "0"}, 0, tmp_path / "out", given, key="k", device="cpu"))
    history = read_json(tmp_path / "out" / "history.json")
    assert history[0]["encoding_lfp"] > 0
    assert "decoding_lfp" not in history[0]
    package, test = BinnedPackage.open(tmp_path / "out"), windows["test"]
    # encoding: told from behaviour, in its unit, and the spikes do not see it
    (told,) = package.predict(test, hidden_for(ENCODING, test.spec)).sessions
    true = test.values(0, "lfp")
    assert set(told) == {"spikes", "lfp"}
    assert told["lfp"].shape == true.shape
    assert abs(told["lfp"].mean() - np.nanmean(true)) < 5, "in dB, not in standard deviations"
    (other,) = package.predict(_with_lfp(test, -80.0), hidden_for(ENCODING, test.spec)).sessions
    assert np.array_equal(told["spikes"], other["spikes"])
    # decoding: behaviour is told from it, too
    (decoded,) = package.predict(test, hidden_for(DECODING, test.spec)).sessions
    (moved,) = package.predict(_with_lfp(test, -80.0), hidden_for(DECODING, test.spec)).sessions
    assert "lfp" not in decoded
    assert not np.array_equal(decoded["wheel_speed"], moved["wheel_speed"])


def _with_lfp(windows: BinnedSet, value: float) -> BinnedSet:
    """Return the windows with another LFP, everything else as it is."""
    (session,) = windows.sessions
    values = {**session.values, "lfp": np.full_like(session.values["lfp"], value)}
    return replace(windows, sessions=(replace(session, values=values),))


DECODERS: dict[str, dict[str, Any]] = {
    "ridge": {},
    "wiener": {"degree": 2},
    "reduced_rank": {},
    "gru": {"hidden": 8, "max_epochs": 2},
}


@pytest.mark.parametrize("kind", DECODERS)
def test_a_decoder_sees_it_beside_the_spikes(windows: dict[Any, BinnedSet], kind: str) -> None:
    made, test = _fitted(windows, {"kind": kind, **DECODERS[kind]}), windows["test"]
    hidden = hidden_for(DECODING, test.spec)
    assert "lfp" not in hidden
    (said,), (other,) = (made.predict(w, hidden).sessions for w in (test, _with_lfp(test, -80.0)))
    assert said["wheel_speed"].shape[:2] == (len(test), 40)
    assert "lfp" not in said
    assert all(np.isfinite(v).all() for v in said.values())
    assert not np.array_equal(said["wheel_speed"], other["wheel_speed"])
    (blind,) = made.predict(test, ("lfp", *hidden)).sessions
    assert blind == {}, "what it learned from is not there"


def test_a_gap_of_it_counts_as_its_mean(windows: dict[Any, BinnedSet]) -> None:
    train = windows["train"]
    lfp = np.array(train.sessions[0].values["lfp"])
    lfp[::7] = np.nan
    session = replace(train.sessions[0], values={**train.sessions[0].values, "lfp": lfp})
    gaps: dict[Any, BinnedSet] = {role: replace(w, sessions=(session,)) for role, w in windows.items()}
    (said,) = _fitted(gaps, "ridge").predict(gaps["test"], hidden_for(DECODING, train.spec)).sessions
    assert {"wheel_speed", "choice", "block"} <= set(said)
    assert all(np.isfinite(v).all() for v in said.values())


@pytest.mark.parametrize("kind", ["poisson_glm", "reduced_rank"])
def test_an_encoder_does_not_see_it(windows: dict[Any, BinnedSet], kind: str) -> None:
    made, test = _fitted(windows, kind), windows["test"]
    hidden = hidden_for(ENCODING, test.spec)
    assert hidden == ("spikes", "lfp")
    (said,), (other,) = (made.predict(w, hidden).sessions for w in (test, _with_lfp(test, -80.0)))
    assert set(said) == {"spikes"}
    assert np.array_equal(said["spikes"], other["spikes"])


def _fitted(windows: dict[Any, BinnedSet], kind: Any) -> Any:
    model: Any = MODELS.parse(kind)
    return model.binned_estimator(windows["test"].spec).fit(windows["train"], windows["validation"])


def test_it_is_scored_as_encoding(windows: dict[Any, BinnedSet]) -> None:
    test = windows["test"]
    tested = HeldOut.of(test.sessions[0], FOLD, test)
    scores = score_session(tested, {"lfp": np.nan_to_num(tested.true("lfp"))}).scores
    assert scores["encoding.lfp.r2"] == pytest.approx(1)
    assert not [n for n in scores if n.startswith("decoding")]


@pytest.mark.parametrize("form", live_binned.FORMS)
def test_live_it_is_heard_beside_the_counts(windows: dict[Any, BinnedSet], form: str, tmp_path: Path) -> None:
    test = windows["test"]
    package = live_binned.package(tmp_path / "fitted", data=test, **live_binned.FORMS[form])
    decoder = BinnedDecoder.open(live_binned.export(package.folder, tmp_path / "live"), graph=True)
    units = decoder.input.n_chans - 4
    assert decoder.input.ch_names[units:] == tuple(f"lfp/{c}" for c in test.spec.channels(0, "lfp"))
    lfp = np.nan_to_num(test.values(0, "lfp")[0], nan=-60.0)
    bins = np.concatenate([test.values(0, "spikes")[0], lfp], 1).T.astype(np.float32)
    assert (bins[units:] < 0).any(), "LFP may be below 0, counts may not"

    def last(values: np.ndarray) -> np.ndarray:
        out, _ = decoder.step(Chunk(values, np.ones(values.shape[1], bool), 0), decoder.start())
        assert out.valid[-1]
        return out.values[decoder.parts["wheel_speed"], -1]

    session = replace(test.sessions[0], values={**test.sessions[0].values, "lfp": _filled(test)})
    said = package.predict(replace(test, sessions=(session,)), hidden_for(DECODING, test.spec)).sessions[0]
    np.testing.assert_allclose(last(bins), said["wheel_speed"][0, -1], rtol=1e-4, atol=1e-4)
    other = bins.copy()
    other[units:] += 5.0
    assert np.abs(last(other) - last(bins)).max() > 1e-3
    other[units:] = np.nan
    assert np.isfinite(last(other)).all()


def _filled(windows: BinnedSet) -> np.ndarray:
    return np.nan_to_num(windows.sessions[0].values["lfp"], nan=-60.0)


class TestItsRole:
    def test_it_is_in_the_key_of_what_is_binned_with_it_alone(self) -> None:
        def fields(**more: Any) -> Any:
            stage: Any = STAGES.parse({"kind": "bin", "dataset": DATASET, **more})
            return identity(stage)

        assert fields(lfp={})["lfp"] == {"role": "neural"}
        assert fields(lfp={"role": "behaviour"})["lfp"] == {}, "the key that it had before there were roles"
        assert "role" not in str(fields())

    def test_it_may_be_said_of_any_signal(self) -> None:
        stage: Any = STAGES.parse({"kind": "bin", "dataset": DATASET, "dynamic": {"ecog": {"role": "neural"}}})
        assert stage.dynamic[0][1].role == "neural"
        assert Bin(dataset=stage.dataset, lfp=Dynamic(source="field")).lfp.role == "neural"
        assert Bin(dataset=stage.dataset, lfp=Dynamic(role="behaviour")).lfp.role == "behaviour"

    def test_counts_and_classes_do_not_say_it(self) -> None:
        with pytest.raises(ValueError, match="modality 'choice' of kind 'classes' cannot say neural"):
            ModalitySpec(name="choice", kind="classes", classes=("a", "b"), neural=True)

    def test_sessions_of_other_roles_do_not_go_together(self, binned: Output) -> None:
        session = BinnedSession.read(binned.folder)
        plain = tuple(m.model_copy(update={"neural": False}) for m in session.modalities)
        with pytest.raises(SignalMismatchError, match=r"lfp \(continuous\).*lfp \(neural continuous\)"):
            spec_of([session, replace(session, modalities=plain)], 40)
