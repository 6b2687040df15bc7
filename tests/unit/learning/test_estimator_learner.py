"""The estimator learner: loads labelled windows, calls fit once, says what it cannot do."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
from learning_fakes import SIGNAL, SUBJECTS, TARGET, MemoryWindows, SmallModel, windows

from neural_foundation.core.errors import DataError, SpecError
from neural_foundation.learning.fit import fit
from neural_foundation.learning.table import LEARNERS
from neural_foundation.models.base import ModelSpec


class _Recorder:
    takes_votes, seed = False, 0

    def fit_from(self, load: Any, target: Any, subject: Any, votes: Any = None) -> _Recorder:
        self.seen, self.votes = (load(np.arange(len(target))), target, subject), votes
        return self


@dataclass(frozen=True)
class _Voted(MemoryWindows):
    votes: Any = None


class _RecorderSpec(ModelSpec):
    kind: Literal["recorder"] = "recorder"
    family: ClassVar[Literal["network", "estimator"]] = "estimator"

    def estimator(self, signal: Any, target: Any) -> Any:
        return _Recorder()


def _fit(folder: Path, train: Any, model: Any = None, learner: str = "estimator", **given: Any) -> Any:
    asked = {"signal": SIGNAL, "target": TARGET, "subjects": SUBJECTS, "folder": folder, "seed": 1} | given
    return fit(model or _RecorderSpec(), LEARNERS.parse(learner), train, **asked)


def test_it_is_given_the_labelled_windows_once(tmp_path: Path) -> None:
    some = windows(12)
    some.target[:2] = -1
    fitted = _fit(tmp_path, some)
    signal, target, subject = fitted.model.seen
    assert np.array_equal(signal, some.signal[2:])
    assert target.tolist() == some.target[2:].tolist()
    assert subject.tolist() == some.subject[2:].tolist()
    assert fitted.history == []
    assert list(tmp_path.iterdir()) == []


def test_votes_and_seed_go_to_those_who_take_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = windows(12)
    some = _Voted(*(getattr(plain, f.name) for f in fields(plain)), votes=np.eye(2)[plain.target] * 3)
    assert _fit(tmp_path, some).model.votes is None
    monkeypatch.setattr(_Recorder, "takes_votes", True)
    fitted = _fit(tmp_path, some).model
    np.testing.assert_array_equal(fitted.votes, some.votes)
    assert fitted.seed not in (0, _fit(tmp_path, some, seed=2).model.seed)
    assert _fit(tmp_path, windows(12)).model.votes is None


def test_progress_is_told(tmp_path: Path) -> None:
    seen: list[Any] = []
    _fit(tmp_path, windows(12), progress=lambda *a: seen.append(a))
    assert seen == [(0, 1, "fitting 12 windows"), (1, 1, "fitted 12 windows")]


def test_no_target_and_one_class_are_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="An estimator needs a target to learn"):
        _fit(tmp_path, windows(12), target=None)
    some = windows(12)
    some.target[:] = 0
    with pytest.raises(DataError, match="are of one class, 'left'"):
        _fit(tmp_path, some)
    some.target[:] = 5
    with pytest.raises(DataError, match=r"class index 5\. Allowed: 0 to 1"):
        _fit(tmp_path, some)


def test_a_learner_of_the_other_family_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="'small' is fitted as network, the learner fits estimators.*kind: gradient"):
        _fit(tmp_path, windows(12), SmallModel())
