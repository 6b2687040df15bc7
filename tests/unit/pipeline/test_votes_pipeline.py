"""Votes on their way: from a dataset's trials to windows, a network, predictions and scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import miniatures
import numpy as np
import pytest

from neural_foundation.core.errors import DataError, SpecError
from neural_foundation.core.kinds import Row
from neural_foundation.core.lineage import Output
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.store import load_arrays, read_json
from neural_foundation.datasets.base import Dataset, DatasetInfo, Item
from neural_foundation.datasets.hms_table import VOTES
from neural_foundation.datasets.table import DATASETS
from neural_foundation.evaluation.scores import Predictions
from neural_foundation.learning.table import TRACKERS
from neural_foundation.learning.trackers.base import Tracker
from neural_foundation.metrics.votes import class_frequency, kl_divergence, vote_shares
from neural_foundation.pipeline.plan import Plan, make_plan
from neural_foundation.pipeline.recipe import apply, check
from neural_foundation.pipeline.runner import run
from neural_foundation.pipeline.stages.prepare import Prepared
from neural_foundation.recordings import Session
from neural_foundation.recordings.interval_table import IntervalTable
from neural_foundation.recordings.session import ArraySignal, Intervals

CLASSES = ("slow", "fast", "none")
NAMES = tuple(f"{c}_vote" for c in CLASSES)
SPEC = SignalSpec(sfreq=64.0, ch_names=("C3", "Cz", "C4"), ch_types=("eeg",) * 3)
HZ = {"slow": 4.0, "fast": 12.0}


class Toy(Dataset):
    """Twelve trials of two seconds; the later one is listed first, as a table may have them."""

    kind: Literal["toy_votes"] = "toy_votes"
    with_votes: bool = True
    empty: int | None = None
    label: str = ""
    only_dan: str = ""
    info: ClassVar[DatasetInfo] = DatasetInfo(title="Toy", licence="none", citation="none")

    def items(self) -> list[Item]:
        return [Item(f"{who}-{k}", who) for who in ("ann", "bob", "cyd", "dan") for k in range(2)]

    def classes(self) -> tuple[str, ...]:
        return CLASSES

    def votes(self) -> tuple[str, ...]:
        return NAMES if self.with_votes else ()

    def open(self, item: Item, folder: Path) -> Session:
        signal, trials = made(item.id)
        folder.joinpath("made.edf").touch()
        if self.empty is not None:
            facts = {n: tuple(0 if i == self.empty else v for i, v in enumerate(c)) for n, c in trials.facts.items()}
            label = tuple(self.label or w if i == self.empty else w for i, w in enumerate(trials.label))
            trials = replace(trials, facts=facts, label=label)
        if self.only_dan and item.subject != "dan":
            gone = CLASSES.index(self.only_dan)
            label = tuple("none" if w == self.only_dan else w for w in trials.label)
            votes = {n: tuple(v + (3 if k == 2 else 0) for v in trials.facts[n]) for k, n in enumerate(NAMES)}
            trials = replace(trials, label=label, facts=votes | {NAMES[gone]: (0,) * len(label)})
        plain = Intervals(trials.start_s, trials.end_s, trials.label)
        return Session(item.id, item.subject, {"eeg": signal}, trials if self.with_votes else plain)


def made(name: str) -> tuple[ArraySignal, IntervalTable]:
    rng = np.random.default_rng([ord(c) for c in name])
    label = [CLASSES[i % 3] for i in range(12)]
    votes = rng.integers(0, 3, (12, 3)) + 4 * np.array([[w == c for c in CLASSES] for w in label])
    values = rng.normal(0, 1e-5, (3, 64 * 26)).astype(np.float32)
    onset = (1.0 + 2.0 * np.arange(12))[::-1].copy()
    for start, word in zip(onset, label, strict=True):
        if word in HZ:
            at = slice(int(start * 64), int(start * 64) + 128)
            values[:, at] += 3e-5 * np.sin(2 * np.pi * HZ[word] * np.arange(128) / 64).astype(np.float32)
    valid = np.ones(values.shape[1], bool)
    valid[64 * 3 : 64 * 3 + 20] = False  # in the window of the trial at 3 s
    values[:, ~valid] = np.nan
    facts = {n: tuple(int(v) for v in votes[:, k]) for k, n in enumerate(NAMES)}
    return ArraySignal(values, SPEC, valid=valid), IntervalTable(onset, onset + 2.0, tuple(label), facts)


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATASETS.rows, "toy_votes", Row(Toy, "trials with votes"))


TINY = {
    "kind": "multiscale",
    "d_model": 16,
    "n_layers": 1,
    "n_heads": 2,
    "virtual_channels": 3,
    "scales_s": [0.1, 1.0],
    "resonators": [2, 4],
    "high_hz": 25.0,
}
OBJECTIVE = {"kind": "votes", "mixup": 0.2, "flips": 0.5, "label_smoothing": 0.05}
LEARNER = {"kind": "gradient", "objective": OBJECTIVE, "max_epochs": 5, "batch_size": 8, "lr": 0.01, "probe": False}
RECIPE: dict[str, Any] = {
    "name": "votes",
    "stages": {
        "prepare": {"kind": "prepare", "dataset": "toy_votes", "windows": {"length_s": 2.0, "least_valid": 0.8}},
        "split": {"kind": "split", "inputs": {"data": "prepare"}, "folds": 2, "validation": 0.4},
        "net": {"kind": "fit", "for_each": "split", "inputs": {"data": "prepare"}, "model": TINY, "learner": LEARNER},
        "floor": {
            "kind": "fit",
            "for_each": "split",
            "inputs": {"data": "prepare"},
            "model": "majority",
            "learner": "estimator",
        },
        "evaluate": {
            "kind": "evaluate",
            "inputs": {"data": "prepare", "models": "net", "baselines": "floor"},
            "permutations": 10,
        },
    },
}


def planned(root: Path, **changes: Any) -> Plan:
    return make_plan(check(apply(RECIPE, {k.replace("__", "."): v for k, v in changes.items()})), root / "out")


def outputs(plan: Plan, stage: str) -> list[Output]:
    found = [task.output() for task in plan.of_stage(stage)]
    assert all(o is not None for o in found)
    return [o for o in found if o is not None]


def test_from_trials_to_divergences(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    run(plan)
    prepared = Prepared.of(outputs(plan, "prepare"))
    windows = prepared.labelled()
    assert windows.votes is not None
    assert len(windows) == 8 * 12
    for row in range(len(windows)):  # the votes are those of the trial that the window lies in
        _, trials = made(str(windows.session[row]))
        onset = windows.start[row] / 64.0
        (k,) = np.flatnonzero(trials.start_s == onset)
        assert windows.votes[row].tolist() == [trials.facts[n][k] for n in NAMES]
        assert CLASSES[windows.target[row]] == trials.label[k]

    (folder,) = (o.folder for o in outputs(plan, "evaluate"))
    scores = read_json(folder / "scores.json")
    net = Predictions.load(folder / "predictions-net.npz")
    assert net.votes is not None
    entry = scores["kl"]["models"]["net"]
    assert entry["pooled"] == pytest.approx(kl_divergence(vote_shares(net.votes), net.probability))
    assert entry["patients"]["mean"] == pytest.approx(np.mean(list(entry["subjects"].values())))
    assert set(entry["subjects"]) == {"ann", "bob", "cyd", "dan"}
    assert entry["pooled"] < scores["kl"]["models"]["floor"]["pooled"]
    assert entry["difference"]["against"] == "floor"
    assert entry["people"] == [1, 1]
    first = entry["folds"][0]
    tested = np.isin(windows.subject, net.subject[net.fold == 0])
    fold = read_json(outputs(plan, "net")[0].path("fold.json"))
    learned = np.isin(windows.subject, fold["train"])
    assert not (tested & learned).any()
    shares = vote_shares(windows.votes[tested])
    floor = kl_divergence(shares, np.tile(class_frequency(windows.votes[learned]), (len(shares), 1)))
    assert first["class_frequency"] == pytest.approx(floor)
    history = read_json(outputs(plan, "net")[0].path("history.json"))
    assert {"validation_loss", "kl", "accuracy", "balanced_accuracy"} <= set(history[-1])


def test_invalid_samples_are_zero_in_what_the_model_sees(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    run(plan, stage="prepare")
    windows = Prepared.of(outputs(plan, "prepare")).labelled()
    (row,) = np.flatnonzero((windows.start == 64 * 3) & (windows.session == "ann-0"))
    seen = windows.load([row])[0]
    assert not seen[:, :20].any()
    assert seen[:, 20:].all()


def test_a_dataset_without_votes_writes_what_it_did(tmp_path: Path) -> None:
    plan = planned(
        tmp_path, prepare__dataset={"kind": "toy_votes", "with_votes": False}, prepare__windows={"length_s": 2.0}
    )
    run(plan, stage="prepare")
    prepared = Prepared.of(outputs(plan, "prepare"))
    facts = read_json(prepared.outputs[0].path("prepared.json"))
    assert "votes" not in facts
    assert facts["windows"] == {"start_s": 0.0, "length_s": 2.0, "hop_s": None}
    assert "votes.npz" not in prepared.outputs[0].manifest["outputs"]
    windows = prepared.labelled()
    assert windows.votes is None
    assert len(windows) == 8 * 11  # the window with 20 samples that are not valid is left out
    with pytest.raises(SpecError, match=r"these windows have none.*'classify'"):
        run(planned(tmp_path, prepare__dataset={"kind": "toy_votes", "with_votes": False}), stage="net")


def test_a_trial_nobody_voted_on_is_named(tmp_path: Path) -> None:
    plan = planned(tmp_path, prepare__dataset={"kind": "toy_votes", "empty": 2})
    message = r"Trial 2 of 'ann-0' \(at 19 s, labelled 'none'\): its votes are all 0: slow_vote 0, .*exclude"
    with pytest.raises(DataError, match=message):
        run(plan, stage="prepare")


def test_a_trial_of_no_class_needs_no_votes(tmp_path: Path) -> None:
    plan = planned(tmp_path, prepare__dataset={"kind": "toy_votes", "empty": 2, "label": "unread"})
    run(plan, stage="prepare")
    windows = Prepared.of(outputs(plan, "prepare")).labelled()
    assert windows.votes is not None
    assert len(windows) == 8 * 11
    assert (windows.votes.sum(1) > 0).all()


def test_a_class_that_a_fold_has_never_seen(tmp_path: Path) -> None:
    """Only one person has it: where that person is held out nobody learned it, and every score is a number."""
    fit = {"kind": "fit", "for_each": "split", "inputs": {"data": "prepare"}, "learner": "estimator"}
    plan = planned(
        tmp_path,
        prepare__dataset={"kind": "toy_votes", "only_dan": "fast"},
        split__folds=4,
        net__learner__max_epochs=1,
        evaluate__inputs={"data": "prepare", "models": ["net", "trees"], "baselines": "floor"},
        trees=fit | {"model": {"kind": "boosted_trees", "max_iter": 5}},
        blend={"kind": "ensemble", "inputs": {"data": "prepare", "models": ["net", "trees"], "baselines": "floor"}},
    )
    run(plan)
    (scored,), (blended,) = outputs(plan, "evaluate"), outputs(plan, "blend")
    net = Predictions.load(scored.path("predictions-trees.npz"))
    assert ((net.probability > 0).all(1) & np.isclose(net.probability.sum(1), 1)).all()
    without_dan = [o for o in outputs(plan, "trees") if read_json(o.path("fold.json"))["test"] == ["dan"]]
    assert len(without_dan) == 1
    never_seen = net.probability[net.subject == "dan", CLASSES.index("fast")]
    assert (never_seen < 0.01).all()
    scores = read_json(scored.path("scores.json"))["kl"]["models"] | read_json(blended.path("ensemble.json"))["scores"]
    values = [scores[m]["pooled"] for m in ("net", "trees", "floor")]
    values += [e["kl"]["mean"] for e in scores["ensembles"].values()]
    assert np.isfinite(values).all()


class Notes(Tracker):
    kind: Literal["notes"] = "notes"
    library: ClassVar[str] = "lightning"

    def logger(self, folder: Path, name: str, model: str) -> Any:
        from lightning.pytorch.loggers import CSVLogger

        return CSVLogger(folder, name=model)


def test_what_trackers_write_is_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRACKERS.rows, "notes", Row(Notes, "a table of losses"))
    run(planned(tmp_path, net__learner__max_epochs=1), stage="net")
    untold = [o.manifest["outputs"] for o in outputs(planned(tmp_path, net__learner__max_epochs=1), "net")]
    told = planned(tmp_path / "told", net__learner__max_epochs=1, net__learner__tracking=["notes"])
    run(told, stage="net")
    for output, before in zip(outputs(told, "net"), untold, strict=True):
        assert output.manifest["outputs"] == before
        assert any(n.endswith("metrics.csv") for n in output.manifest["measured"])
        output.verify()


def test_with_and_without_votes_do_not_mix(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    run(plan, stage="prepare")
    prepared = Prepared.of(outputs(plan, "prepare"))
    some = Prepared(prepared.outputs, (*prepared.facts[:-1], {**prepared.facts[-1], "votes": None}))
    with pytest.raises(DataError, match="Recording 'dan-1' has other votes than 'ann-0', or none"):
        some.labelled()


def test_fifty_seconds_around_the_ten_that_were_voted_on(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    root = miniatures.hms(tmp_path)
    cut = {"start_s": -20.0, "length_s": 50.0, "past_s": 20.0, "least_valid": 0.9}
    plan = planned(tmp_path, prepare__dataset={"kind": "hms", "path": str(root)}, prepare__windows=cut)
    run(plan, stage="prepare")
    prepared = Prepared.of(outputs(plan, "prepare"))
    assert read_json(prepared.outputs[0].path("prepared.json"))["votes"] == list(VOTES)
    windows = prepared.labelled()
    assert (prepared.windows.past_s, windows.n_times) == (20.0, 10_000)
    first = windows.session == "1001"
    assert windows.start[first].tolist() == [0, 1200]
    assert windows.votes is not None
    assert windows.votes[first].tolist() == [[3, 0, 0, 0, 0, 0], [1, 2, 0, 0, 0, 2]]
    assert load_arrays(prepared.outputs[0].path("votes.npz"))["votes"].dtype == np.float32
    gap = windows.load(np.flatnonzero(windows.session == "1002")[:1])[0]
    assert (gap == 0).all(0).sum() == 400
