"""split_trials: folds known before anything runs, the same for a session whatever others there are."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from binned import made_session, written

from neural_foundation.core.errors import DataError, SpecError
from neural_foundation.core.lineage import Output
from neural_foundation.core.store import read_json, write_json
from neural_foundation.pipeline.stage import Job
from neural_foundation.pipeline.stages.bin import Binned
from neural_foundation.pipeline.stages.split_trials import SplitTrials, read_trial_fold, sets
from neural_foundation.pipeline.table import STAGES
from neural_foundation.sampling.binned import FACTS, BinnedSession
from neural_foundation.sampling.roles import TrialFold


def split(**fields: Any) -> SplitTrials:
    made = STAGES.parse({"kind": "split_trials", **fields})
    assert isinstance(made, SplitTrials)
    return made


def outputs(folder: Path, *sessions: BinnedSession, **facts: Any) -> list[Output]:
    made = []
    for session in sessions:
        path = written(session, folder / "bin")
        write_json(path / FACTS, read_json(path / FACTS) | {"facts": {"subject": session.spec.subject, **facts}})
        made.append(Output("bin", session.spec.name, "key", path))
    return made


def ran(stage: SplitTrials, folder: Path, data: list[Output], seed: int = 3) -> Output:
    job = Job("split", {}, seed, folder / "split", {"data": data})
    job.folder.mkdir(exist_ok=True)
    stage.run(job)
    assert job.subjects == {f"animal-{o.item}" for o in data}
    return Output("split", "", "key", job.folder)


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({}, ["0", "1", "2", "3", "4"]),
        ({"folds": 3, "only": 1}, ["0"]),
        ({"hold_out": "trial"}, ["0"]),
        ({"hold_out": "trial", "draws": 3, "only": 1}, ["0", "1", "2"]),
    ],
)
def test_the_folds_are_those_that_were_announced(fields: dict[str, Any], names: list[str], tmp_path: Path) -> None:
    stage = split(**fields)
    assert stage.fold_names() == names
    made = ran(stage, tmp_path, outputs(tmp_path, made_session("a"), made_session("b")))
    assert [f["name"] for f in read_json(made.path("split.json"))] == names
    folds = [read_trial_fold(made, name) for name in names]
    assert [f.block for f in folds] == ([int(n) for n in names] if stage.hold_out == "block" else [0] * len(names))
    with pytest.raises(DataError, match="has no fold 'x'. Allowed: '0'"):
        read_trial_fold(made, "x")


def test_draws_differ_and_follow_the_seed(tmp_path: Path) -> None:
    session = made_session("a")
    data = outputs(tmp_path, session)
    made = ran(split(hold_out="trial", draws=2), tmp_path, data)
    first, second = (read_trial_fold(made, n).spans(session, 0, "test").trial.tolist() for n in "01")
    assert first != second
    made = ran(split(hold_out="trial"), tmp_path, [*data, *outputs(tmp_path, made_session("b"))])
    assert read_trial_fold(made, "0").spans(session, 0, "test").trial.tolist() == first
    made = ran(split(hold_out="trial"), tmp_path, data, seed=4)
    assert read_trial_fold(made, "0").spans(session, 0, "test").trial.tolist() != first


def test_the_windows_of_each_role(tmp_path: Path) -> None:
    sessions = (made_session("a"), made_session("b", trials=30))
    data = Binned.of(outputs(tmp_path, *sessions)[::-1])
    assert [s.spec.name for s in data.sessions] == ["a", "b"]
    fold = read_trial_fold(ran(split(), tmp_path, list(data.outputs)), "2")
    made = sets(fold, data.sessions, 8, 6, jitter=True)
    assert made["train"].slack.any()
    assert not made["validation"].slack.any()
    assert not made["test"].slack.any()
    assert np.unique(made["test"].trial[made["test"].session == 0]).tolist() == [8, 9, 10, 11]
    assert np.unique(made["validation"].trial[made["validation"].session == 1]).tolist() == list(range(18, 24))
    assert len(sets(fold, data.sessions, 20)["test"]) == 4 + 6


def test_windows_that_fit_no_role_are_named() -> None:
    whole = made_session("a", lengths=[100], without=("choice", "block"))  # fifths of 20 bins; three to learn from
    with pytest.raises(DataError, match=r"the longest stretch of role 'validation', in session 'a', has 20 \(0.4 s\)"):
        sets(TrialFold(name="0", hold_out="block"), [whole], 30)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"test": 0.7, "validation": 0.3}, "leave nothing to learn from"),
        ({"folds": 3, "only": 4}, "only: 4 is more than there are folds .3."),
        ({"folds": 2}, "folds"),
    ],
)
def test_settings_that_leave_nothing(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        split(**fields)


def test_too_few_trials(tmp_path: Path) -> None:
    data = outputs(tmp_path, made_session("a", trials=4))
    with pytest.raises(DataError, match="Session 'a' has 4 trials for 5 blocks of time"):
        ran(split(), tmp_path, data)
    with pytest.raises(DataError, match="Fold '0' leaves session 'a' nothing for 'train'"):
        ran(split(folds=3, gap_s=100), tmp_path, data)


@pytest.mark.parametrize(("fields", "allowed"), [({"hold_out": "trial"}, "hold_out: block"), ({}, "gap_s of 1.4 or")])
def test_rows_that_share_spikes_are_kept_apart(fields: dict[str, Any], allowed: str, tmp_path: Path) -> None:
    data = outputs(tmp_path, made_session("a", lengths=[800], without=("choice", "block")), window_s=1.4)
    with pytest.raises(DataError, match=f"overlap, of 1.4 s, .* Allowed: {allowed}.*Neighbours share spikes"):
        ran(split(**fields), tmp_path, data)
    ran(split(gap_s=1.4), tmp_path, data)


def test_a_class_that_training_never_saw_is_written_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    early, even = made_session("a"), made_session("b")  # the blocks of 'a': low in the first 7 trials of 20
    even = replace(even, values={**even.values, "block": np.arange(20, dtype=np.int16) % 3})
    with caplog.at_level(logging.WARNING):
        made = ran(split(folds=5), tmp_path, outputs(tmp_path, early, even))
    rows = {r["name"]: r for r in read_json(made.path("split.json"))}
    assert rows["0"]["not_in_training"] == {"a": {"block": {"test": ["low"], "validation": ["low"]}}}
    assert "not_in_training" not in rows["2"]
    assert "Fold '0', session 'a': Class 'low' of 'block' is tested, but training never saw it" in caplog.text
    assert "session 'b'" not in caplog.text
    assert read_trial_fold(made, "0").block == 0


def test_what_cannot_be_learned_is_refused_before_anything_learns(tmp_path: Path) -> None:
    session = made_session("a")
    first = np.repeat(np.array([0, 1], np.int16), [8, 12])
    data = outputs(tmp_path, replace(session, values={**session.values, "choice": first}))
    with pytest.raises(DataError, match="'choice' has 'right' alone in the training part of fold '0' of 'a'"):
        ran(split(), tmp_path, data)
    ran(split(hold_out="trial"), tmp_path, data)
