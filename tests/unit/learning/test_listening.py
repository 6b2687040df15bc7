"""A listener hears each epoch of a fit, also of one that goes on, and does not change it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from learning_fakes import SIGNAL, SUBJECTS, SmallModel, windows

from neural_foundation.learning.fit import fit
from neural_foundation.learning.listening import listening, tell
from neural_foundation.learning.table import LEARNERS

LEARNER = {"kind": "gradient", "objective": {"kind": "masked", "span_s": 0.4}, "max_epochs": 3, "batch_size": 8}


def run(folder: Path) -> Any:
    asked: dict[str, Any] = {"signal": SIGNAL, "target": None, "subjects": SUBJECTS, "folder": folder, "seed": 1}
    return fit(SmallModel(), LEARNERS.parse(LEARNER), windows(16), windows(6, seed=4), **asked)


class Enough(Exception):
    pass


def test_each_epoch_is_told_and_a_fit_that_was_ended_goes_on_to_the_same(tmp_path: Path) -> None:
    heard: list[list[dict[str, Any]]] = []
    with listening(lambda history: heard.append(list(history))):
        whole = run(tmp_path / "whole")
    assert [len(h) for h in heard] == [1, 2, 3]
    assert heard[-1] == whole.history
    assert run(tmp_path / "unheard").history == whole.history

    def stop(history: Any) -> None:
        if len(history) == 2:
            raise Enough

    with listening(stop), pytest.raises(Enough):
        run(tmp_path / "ended")
    again: list[int] = []
    with listening(lambda history: again.append(len(history))):
        assert run(tmp_path / "ended").history == whole.history
    assert again[-1] == 3


def test_only_the_inner_listener_hears_and_nobody_after() -> None:
    outer: list[int] = []
    inner: list[int] = []
    with listening(lambda history: outer.append(len(history))):
        with listening(lambda history: inner.append(len(history))):
            tell([{}])
        tell([{}, {}])
    tell([{}])
    assert (outer, inner) == ([2], [1])
