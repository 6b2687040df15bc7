"""A prepared recording finds its raw one again, as its dataset gives it, whatever file that lies in."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from miniatures import MINIATURES

from neural_foundation.core.errors import RecordingError
from neural_foundation.core.lineage import Output
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.store import read_json
from neural_foundation.pipeline.plan import make_plan
from neural_foundation.pipeline.recipe import apply, check
from neural_foundation.pipeline.runner import run
from neural_foundation.pipeline.stages.prepare import Prepare, raw_session

LABELLED = ("eegmat", "eegmmidb", "ssvep_exo", "bci_iv_2a", "bci_iv_2b", "sleep_edf", "chb_mit", "hms", "bonn", "delhi")
GENERATED: dict[str, dict[str, Any]] = {
    "simulated_motor_imagery": {"subjects": 1, "trials": 4, "channels": 8},
    "simulated_hms": {"patients": 1, "eegs": 1, "rows": 1, "spectrogram": False},
}


def prepared(dataset: dict[str, Any], root: Path) -> tuple[Prepare, Output, dict[str, Any]]:
    recipe: dict[str, Any] = {"name": "r", "stages": {"prepare": {"kind": "prepare", "dataset": dataset}}}
    plan = make_plan(check(apply(recipe, {})), root)
    run(plan)
    output, stage = plan.tasks[0].output(), plan.tasks[0].spec
    assert output is not None
    assert isinstance(stage, Prepare)
    return stage, output, read_json(output.path("prepared.json"))


@pytest.mark.parametrize("kind", [*LABELLED, *GENERATED])
def test_the_raw_recording_is_found_again(kind: str, tmp_path: Path) -> None:
    if "hms" in kind:
        pytest.importorskip("pyarrow")
    fields = GENERATED.get(kind) or {"path": str(MINIATURES[kind][1](tmp_path / "data"))}
    stage, output, facts = prepared({"kind": kind, **fields}, tmp_path / "run")
    item = stage.dataset.items()[0]
    before = sorted(p.name for p in output.folder.rglob("*"))
    with raw_session(output, facts) as again, stage.dataset.open(item, tmp_path / "anew") as first:
        assert (again.session_id, again.subject) == (first.session_id, first.subject)
        assert again.signal.spec == SignalSpec.model_validate(facts["raw"])
        assert np.array_equal(again.signal.read(), first.signal.read(), equal_nan=True)
        assert again.trials == first.trials
    assert sorted(p.name for p in output.folder.rglob("*")) == before


def test_a_raw_recording_that_is_gone_is_named(tmp_path: Path) -> None:
    folder = MINIATURES["eegmat"][1](tmp_path / "data")
    _, output, facts = prepared({"kind": "eegmat", "path": str(folder)}, tmp_path / "run")
    shutil.rmtree(folder)
    with pytest.raises(RecordingError, match="there is no such file"):
        raw_session(output, facts)
