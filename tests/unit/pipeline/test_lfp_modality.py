"""LFP beside spikes and behaviour, from a simulated recording to predictions of either from the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neural_foundation.core.lineage import Output
from neural_foundation.core.store import read_json, write_json
from neural_foundation.models.binned_package import BinnedPackage
from neural_foundation.models.predicted import DECODING, ENCODING, hidden_for
from neural_foundation.pipeline.stage import Job
from neural_foundation.pipeline.stages.bin import Bin
from neural_foundation.pipeline.stages.fit_trials import FitTrials
from neural_foundation.pipeline.stages.split_trials import sets
from neural_foundation.pipeline.table import STAGES
from neural_foundation.sampling.binned import BinnedSession, BinnedSet
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


def test_its_bands_are_channels_of_a_continuous_modality(binned: Output) -> None:
    session = BinnedSession.read(binned.folder)
    index = [m.name for m in session.modalities].index("lfp")
    assert session.modalities[index].kind == "continuous"
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
    assert history[0]["decoding_lfp"] > 0
    package, test = BinnedPackage.open(tmp_path / "out"), windows["test"]
    (decoded,) = package.predict(test, hidden_for(DECODING, test.spec)).sessions
    true = test.values(0, "lfp")
    assert decoded["lfp"].shape == true.shape
    assert abs(decoded["lfp"].mean() - np.nanmean(true)) < 5, "in dB, not in standard deviations"
    # spikes are told from it, and it is told from all else where it alone is hidden
    (rates,) = package.predict(test, hidden_for(ENCODING, test.spec)).sessions
    (blind,) = package.predict(test, ("spikes", "lfp")).sessions
    assert np.isfinite(rates["spikes"]).all()
    assert not np.array_equal(rates["spikes"], blind["spikes"])
    (alone,) = package.predict(test, ("lfp",)).sessions
    assert not np.array_equal(alone["lfp"], decoded["lfp"])


@pytest.mark.parametrize("kind", ["ridge", "poisson_glm"])
def test_baselines_take_it_for_a_behaviour(windows: dict[Any, BinnedSet], kind: str) -> None:
    from neural_foundation.models.table import MODELS

    train, apart, test = windows["train"], windows["validation"], windows["test"]
    model: Any = MODELS.parse(kind)
    hidden = hidden_for(DECODING if kind == "ridge" else ENCODING, test.spec)
    (made,) = model.binned_estimator(test.spec).fit(train, apart).predict(test, hidden).sessions
    assert made["lfp" if kind == "ridge" else "spikes"].shape[:2] == (len(test), 40)
    assert all(np.isfinite(v).all() for v in made.values())
