"""The stage that fits models to binned sessions: what it writes, from what, and how it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from binned import made_session, made_set
from binned_model import SmallBinned

from neural_foundation.core.errors import DataError, SignalMismatchError, SpecError
from neural_foundation.core.kinds import Row
from neural_foundation.core.lineage import Output
from neural_foundation.core.store import read_json, write_json
from neural_foundation.models.binned_package import BinnedPackage
from neural_foundation.models.table import MODELS
from neural_foundation.pipeline.stage import Job
from neural_foundation.pipeline.stages.fit_trials import FitTrials, share_of, trial_bins
from neural_foundation.pipeline.table import STAGES
from neural_foundation.sampling.binned import BinnedSession
from neural_foundation.sampling.roles import TrialFold

LEARNER = {"kind": "gradient", "objective": "multimodal", "max_epochs": 2, "batch_size": 8, "lr": 0.01}
STAGE = {"kind": "fit_trials", "model": "small_binned", "learner": LEARNER}
FACTS = {"dataset": {"title": "Made sessions", "licence": "none"}}


@pytest.fixture(autouse=True)
def known_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS.rows, "small_binned", Row(SmallBinned, "a small one"))


def job(root: Path, sessions: list[BinnedSession], *, start: Path | None = None, split: bool = True, **f: Any) -> Job:
    """Return a job on sessions that were written below `root`, with a split by trials."""
    outputs = []
    for session in sessions:
        folder = root / "bin" / session.spec.name
        session.write(folder, FACTS)
        outputs.append(Output("bin", "", "k", folder))
    inputs = {"data": outputs}
    if split:
        folds = [TrialFold(name="0", hold_out="trial", seed=1).model_dump(mode="json")]
        write_json(root / "split" / "split.json", folds)
        inputs["split"] = [Output("split", "", "k", root / "split")]
    if start is not None:
        inputs["start"] = [Output("pretrain", "", "k", start)]
    fields = {"item": {"fold": "0"} if split else {}, "folder": root / "out", "device": "cpu", **f}
    fields["folder"].mkdir(parents=True, exist_ok=True)
    return Job(stage="neds", seed=3, inputs=inputs, key="abc", **fields)


def stage(**fields: Any) -> FitTrials:
    made = STAGES.parse({**STAGE, **fields})
    assert isinstance(made, FitTrials)
    return made


def two() -> list[BinnedSession]:
    return [made_session("b", 1, 5, 20), made_session("a", 0, 4, 20)]


def test_it_writes_a_package_of_the_training_part(tmp_path: Path) -> None:
    made = job(tmp_path, two())
    stage().run(made)
    package = BinnedPackage.open(tmp_path / "out")
    facts = package.facts
    assert [s.name for s in facts.binned.sessions] == ["a", "b"]
    assert (facts.name, facts.binned.n_bins) == ("neds", 20)
    assert facts.fold == TrialFold(name="0", hold_out="trial", seed=1)
    assert facts.trained["windows"] == 2 * 14
    assert facts.trained["dataset"] == "Made sessions"
    assert made.subjects == {"animal-a", "animal-b"}
    rows = read_json(tmp_path / "out" / "history.json")
    assert [row["epoch"] for row in rows] == [0, 1]
    assert rows[0]["encoding_spikes"] > 0
    assert read_json(tmp_path / "out" / "fold.json")["seed"] == 1
    assert not (tmp_path / "out" / "checkpoints").exists()
    assert package.predict(made_set([two()[0]]), ["spikes"]).sessions[0]["spikes"].shape == (20, 20, 5)


def test_it_goes_on_after_a_cut_to_the_same_bytes(tmp_path: Path) -> None:
    class CutError(Exception):
        pass

    def cut(done: int, total: int, text: str) -> None:
        if done == 3:
            raise CutError

    learner = {**LEARNER, "checkpoint_every_steps": 1}
    stage(learner=learner).run(job(tmp_path, two(), folder=tmp_path / "whole"))
    with pytest.raises(CutError):
        stage(learner=learner).run(job(tmp_path, two(), progress=cut))
    assert (tmp_path / "out" / "checkpoints").exists()
    stage(learner=learner).run(job(tmp_path, two()))
    for name in ("model.safetensors", "package.json", "card.md", "history.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_without_a_split_all_is_for_training(tmp_path: Path) -> None:
    stage().run(job(tmp_path, two(), split=False))
    package = BinnedPackage.open(tmp_path / "out")
    assert package.facts.fold is None
    assert package.facts.trained["windows"] == 40
    assert "validation_loss" not in read_json(tmp_path / "out" / "history.json")[0]


class TestStart:
    def test_a_package_of_other_sessions_brings_model_and_core(self, tmp_path: Path) -> None:
        wide = {"kind": "small_binned", "width": 12}
        stage(model=wide).run(job(tmp_path, two(), folder=tmp_path / "first"))
        before = BinnedPackage.open(tmp_path / "first")
        still = {**LEARNER, "lr": 1e-9}
        start = job(tmp_path / "new", [made_session("c", 5, 7, 20)], start=tmp_path / "first")
        stage(model=None, learner=still).run(start)
        after = BinnedPackage.open(tmp_path / "new" / "out")
        assert after.facts.model == SmallBinned(width=12)
        assert [s.name for s in after.facts.binned.sessions] == ["c"]
        assert after.arrays()["body.0.weight"] == pytest.approx(before.arrays()["body.0.weight"], abs=1e-6)
        assert after.facts.trained["started_from"] == "neds, 2 sessions"

    def test_what_does_not_fit_is_said(self, tmp_path: Path) -> None:
        stage().run(job(tmp_path, two(), folder=tmp_path / "first"))
        other = [made_session("a", 0, 6, 20)]
        with pytest.raises(SignalMismatchError, match="'a' has 6 channels of 'spikes', the package knows it with 4"):
            stage().run(job(tmp_path / "units", other, start=tmp_path / "first"))

    def test_it_has_not_learned_from_what_is_tested(self, tmp_path: Path) -> None:
        stage().run(job(tmp_path, two(), folder=tmp_path / "same"))
        stage().run(job(tmp_path, two(), folder=tmp_path / "all", split=False))
        stage().run(job(tmp_path / "on", two(), start=tmp_path / "same"))
        with pytest.raises(DataError, match="'neds' has learned from what is tested of session 'a'.*the same fold"):
            stage().run(job(tmp_path / "on", two(), start=tmp_path / "all"))
        other = job(tmp_path / "on", two(), start=tmp_path / "same")
        folds = [TrialFold(name="0", hold_out="trial", seed=2).model_dump(mode="json")]
        write_json(tmp_path / "on" / "split" / "split.json", folds)
        with pytest.raises(DataError, match="has learned from what is tested"):
            stage().run(other)

    def test_no_model_at_all(self, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match="has no model.*inputs.start"):
            stage(model=None).run(job(tmp_path, two()))


class TestWindows:
    def test_trials_give_their_length(self) -> None:
        assert trial_bins(two()) == 20
        with pytest.raises(DataError, match=r"Trials have 15 to 20 bins.*'n_bins', up to 15"):
            trial_bins([*two(), made_session("c", bins=15)])
        with pytest.raises(DataError, match=r"'long' has no trials: it is one stretch of 500 bins.*'n_bins'"):
            trial_bins([made_session("long", lengths=[500])])

    def test_a_long_recording_is_cut(self, tmp_path: Path) -> None:
        recording = [made_session("long", lengths=[400])]
        stage(n_bins=25, hop=10, jitter=True).run(job(tmp_path, recording, split=False))
        facts = BinnedPackage.open(tmp_path / "out").facts
        assert facts.binned.n_bins == 25
        assert facts.trained["windows"] == 39

    def test_a_share_of_the_trials_of_each_session(self) -> None:
        windows = made_set([made_session("a", trials=40), made_session("b", trials=10)], n_bins=10)
        small, large = (share_of(windows, share, 0) for share in (0.1, 0.5))
        for session, trials in ((0, 40), (1, 10)):
            mine = windows.session == session
            for kept, share in ((small, 0.1), (large, 0.5)):
                assert len(np.unique(windows.trial[mine & kept])) == share * trials
                assert kept[mine].sum() == 2 * share * trials  # all windows of a trial, or none
        assert not (small & ~large).any()
        assert not (share_of(windows, 0.5, 1) == large).all()

    def test_a_share_of_one_long_recording_is_of_its_windows(self) -> None:
        windows = made_set([made_session("long", lengths=[1000])])
        assert share_of(windows, 0.3, 0).sum() == 15

    def test_the_share_is_used(self, tmp_path: Path) -> None:
        stage(train_fraction=0.5).run(job(tmp_path, two()))
        assert BinnedPackage.open(tmp_path / "out").facts.trained["windows"] == 14


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "majority"}, "model 'majority' learns from windows of a signal, in stage 'fit'"),
        ({"learner": {**LEARNER, "objective": "masked"}}, "objective 'masked' learns from windows of a signal"),
        ({"train_fraction": 0}, "train_fraction"),
    ],
)
def test_what_cannot_be_fitted_is_refused_before_anything_runs(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        STAGES.parse({**STAGE, **fields})
