"""The stages themselves, on small recordings and models that fit at once: splits, names of models, bare reports."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neural_foundation.core.errors import DataError, SpecError
from neural_foundation.core.lineage import Output
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.store import read_json, write_json
from neural_foundation.datasets.bonn_delhi import Bonn
from neural_foundation.datasets.table import DATASETS
from neural_foundation.evaluation.report.terminal import terminal_table
from neural_foundation.evaluation.scores import Predictions
from neural_foundation.pipeline.plan import Plan, make_plan
from neural_foundation.pipeline.recipe import apply, check
from neural_foundation.pipeline.runner import run
from neural_foundation.pipeline.stages.evaluate import model_name
from neural_foundation.pipeline.stages.report import held_out_scores, terminal_tables
from neural_foundation.pipeline.stages.split import Fold, Split, read_fold
from neural_foundation.recordings import Intervals, write_edf
from neural_foundation.sampling.windows import WindowSet, labelled

SPEC = SignalSpec(sfreq=100, ch_names=("Cz", "Pz"), ch_types=("eeg", "eeg"))
LABELS = ("left", "right", "feet") * 4
RECIPE: dict[str, Any] = {
    "name": "small",
    "stages": {
        "prepare": {
            "kind": "prepare",
            "dataset": {"kind": "recordings", "events": {"left": "left", "right": "right", "feet": "feet"}},
            "windows": {"length_s": 1.0},
        },
        "split": {"kind": "split", "inputs": {"data": "prepare"}, "folds": 3, "hold_out": "block"},
        "bands": {
            "kind": "fit",
            "for_each": ["split", {"seed": [0, 1]}],
            "inputs": {"data": "prepare"},
            "model": {"kind": "band_power", "bands": [[5, 15], [15, 30]], "segment_s": 0.5, "c": 1.0},
            "learner": "estimator",
        },
        "floor": {
            "kind": "fit",
            "for_each": "split",
            "inputs": {"data": "prepare"},
            "model": "majority",
            "learner": "estimator",
        },
        "evaluate": {
            "kind": "evaluate",
            "inputs": {"data": "prepare", "models": "bands", "baselines": "floor"},
            "permutations": 20,
        },
        "report": {"kind": "report", "inputs": {"data": "prepare", "scores": "evaluate"}},
    },
}


def recording(path: Path, seed: int) -> None:
    """Write 12 trials of noise with a rhythm of their class's frequency."""
    rng, onset = np.random.default_rng(seed), 1.0 + 2.0 * np.arange(len(LABELS))
    values = rng.normal(0, 1e-5, (2, 2700))
    t = np.arange(100) / 100
    for start, label in zip(onset, LABELS, strict=True):
        hz = {"left": 8, "right": 12, "feet": 20}[label]
        values[:, int(start * 100) : int(start * 100) + 100] += 2e-5 * np.sin(2 * np.pi * hz * t + rng.uniform(0, 6))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_edf(path, values=values, spec=SPEC, annotations=Intervals(onset, onset + 1.0, LABELS))


def planned(root: Path, **changes: Any) -> Plan:
    settings = {"prepare.dataset.path": str(root / "data"), **{k.replace("__", "."): v for k, v in changes.items()}}
    return make_plan(check(apply(RECIPE, settings)), root / "out")


def only(plan: Plan, stage: str) -> Output:
    (task,) = plan.of_stage(stage)
    output = task.output()
    assert output is not None
    return output


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The whole recipe, run once: three people, two blocks of their time, two seeds."""
    root = tmp_path_factory.mktemp("small")
    for seed, name in enumerate(("ann", "bob", "cyd")):
        recording(root / "data" / name / "run1.edf", seed)
    plan = planned(root)
    run(plan)
    return plan


def windows_of(plan: Plan) -> WindowSet:
    outputs = [t.output() for t in plan.of_stage("prepare")]
    paths = [o.path("session.h5") for o in outputs if o is not None]
    return labelled(paths, plan.recipe.stages["prepare"].windows, ("left", "right", "feet"))


class TestSplitByBlocks:
    def test_each_window_is_held_out_once(self, done: Plan) -> None:
        windows, split = windows_of(done), only(done, "split")
        tested = [read_fold(split, k).choose(windows, "test") for k in ("0", "1", "2")]
        names = [f"{s}/{t}" for w in tested for s, t in zip(w.session, w.trial, strict=True)]
        assert len(names) == len(set(names)) == len(windows) == 36

    def test_the_roles_share_no_trial(self, done: Plan) -> None:
        windows, split = windows_of(done), only(done, "split")
        for name in ("0", "1", "2"):
            fold = read_fold(split, name)
            roles = [fold.choose(windows, role) for role in ("train", "validation", "test")]
            trials = [{*zip(w.session.tolist(), w.trial.tolist(), strict=True)} for w in roles]
            assert not trials[0] & trials[1] | trials[0] & trials[2] | trials[1] & trials[2]
            assert trials[0]
            assert trials[2]

    def test_everybody_is_in_each_fold(self, done: Plan) -> None:
        fold = read_fold(only(done, "split"), "1")
        assert fold.train == fold.test == ("ann", "bob", "cyd")
        assert fold.blocks == (3, 1)


class TestSplitBySubject:
    def test_named_people_are_held_out_in_one_fold(self, done: Plan) -> None:
        plan = planned(done.root.parent, split__hold_out="subject", split__subjects=["cyd"], split__validation=0.0)
        run(plan, stage="split")
        fold = read_fold(only(plan, "split"), "named")
        assert (fold.train, fold.validation, fold.test) == (("ann", "bob"), (), ("cyd",))
        assert {t.item["fold"] for t in plan.of_stage("bands")} == {"named"}

    def test_somebody_unknown_is_an_error_with_a_suggestion(self, done: Plan) -> None:
        plan = planned(done.root.parent, split__hold_out="subject", split__subjects=["bbo"])
        with pytest.raises(DataError, match="bbo.*Did you mean 'bob'"):
            run(plan, stage="split")

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            (
                {"hold_out": "block", "subjects": ["ann"]},
                "'subjects' names people to hold out, but hold_out is 'block'",
            ),
            ({"hold_out": "block", "folds": 2}, "blocks of time need 3 folds or more"),
            ({"folds": 1}, "one fold leaves nobody to learn from"),
        ],
    )
    def test_what_does_not_go_together(self, fields: dict[str, Any], message: str) -> None:
        from neural_foundation.pipeline.table import STAGES

        with pytest.raises(SpecError, match=message):
            STAGES.parse({"kind": "split", **fields})

    def test_fold_names_are_known_before_it_runs(self) -> None:
        assert Split(folds=3).fold_names() == ["0", "1", "2"]
        assert Split(subjects=("ann",)).fold_names() == ["named"]


class TestFewerSubjects:
    FOLD = Fold(name="0", train=tuple("abcdef"), validation=("v",), test=("t",))

    def test_more_subjects_keep_those_that_fewer_had(self) -> None:
        sets = [set(self.FOLD.with_train_subjects(k, seed=3).train) for k in range(1, 7)]
        assert [len(s) for s in sets] == [1, 2, 3, 4, 5, 6]
        assert all(a < b for a, b in zip(sets, sets[1:], strict=False))

    def test_nobody_else_s_labels_are_used(self) -> None:
        fewer = self.FOLD.with_train_subjects(2, seed=3)
        assert (fewer.validation, fewer.test, fewer.name) == ((), ("t",), "0")
        assert fewer.train == tuple(sorted(fewer.train))

    def test_seeds_choose_differently(self) -> None:
        assert len({self.FOLD.with_train_subjects(3, seed=s).train for s in range(8)}) > 1

    def test_more_than_there_are_is_an_error(self) -> None:
        assert self.FOLD.with_train_subjects(0.5, seed=3) == self.FOLD.with_train_subjects(3, seed=3)
        assert len(self.FOLD.with_train_subjects(0.01, seed=3).train) == 1
        with pytest.raises(DataError, match="Fold '0' has 6 training subjects, fewer than train_subjects: 7"):
            self.FOLD.with_train_subjects(7, seed=0)


class TestEvaluate:
    @pytest.mark.parametrize(
        ("item", "name"),
        [
            ({}, "scratch"),
            ({"fold": "2", "seed": "1"}, "scratch"),
            ({"fold": "2", "train_subjects": "4"}, "scratch.train_subjects-4"),
            ({"train_subjects": "4", "seed": "0", "task": "x"}, "scratch.task-x.train_subjects-4"),
        ],
    )
    def test_a_model_s_name_holds_the_axes_that_make_it_another(self, item: dict[str, str], name: str) -> None:
        output = Output("scratch", "any", "key", Path("nowhere"), {"facts": {"item": item}})
        assert model_name(output) == name

    def test_folds_and_seeds_are_joined_into_one_model(self, done: Plan) -> None:
        folder = only(done, "evaluate").folder
        bands = Predictions.load(folder / "predictions-bands.npz")
        assert len(bands.target) == 2 * 36
        assert {*zip(bands.fold.tolist(), bands.seed.tolist(), strict=True)} == {
            (f, s) for f in range(3) for s in range(2)
        }
        order = list(zip(bands.seed, bands.subject, bands.session, bands.trial, strict=True))
        assert order == sorted(order)

    def test_three_classes_are_scored_beside_the_floor_without_patterns(self, done: Plan) -> None:
        output = only(done, "evaluate")
        scores = read_json(output.path("scores.json"))
        assert scores["baselines"] == ["floor"]
        assert scores["ceiling"] is None
        assert "patterns" not in scores
        assert not output.path("patterns.npz").exists()
        assert scores["models"]["floor"]["balanced_accuracy"]["mean"] <= 1 / 3
        assert scores["models"]["bands"]["balanced_accuracy"]["mean"] > 0.6
        assert set(scores["models"]["bands"]["subjects"]) == {"ann", "bob", "cyd"}

    def test_without_a_split_nobody_is_held_out(self, done: Plan) -> None:
        plan = planned(done.root.parent, bands__for_each=None, floor__for_each=None)
        with pytest.raises(DataError, match="Fold 'all' holds nobody out. Fit with for_each: a split"):
            run(plan, stage="evaluate")


class TestReport:
    def test_parts_without_a_source_are_left_out(self, done: Plan) -> None:
        page = only(done, "report").path("report.html").read_text(encoding="utf-8")
        headings = re.findall(r"<h2[^>]*>(.*?)</h2>", page)
        assert headings
        for words in ("Latency", "Scalp", "Learning", "Decision", "live"):
            assert not any(words.lower() in h.lower() for h in headings), (words, headings)
        for words in ("bands", "floor", "ann", "bob", "cyd", "recordings: left, right, feet"):
            assert words in page

    def test_the_terminal_has_the_same_scores(self, done: Plan) -> None:
        from rich.console import Console

        console = Console(width=120, file=None, record=True, quiet=False)
        with console.capture() as text:
            for table in terminal_tables(done):
                console.print(table)
        assert "bands" in text.get()
        assert "floor" in text.get()

    def made(self, **changes: Any) -> dict[str, Any]:
        entry = {
            "subjects": {"ann": 0.7, "bob": 0.9},
            "balanced_accuracy": {"mean": 0.8, "low": 0.7, "high": 0.9},
            "chance": {"mean": 0.5, "level_95": 0.6},
        }
        return {"models": {"net": entry}, "baselines": [], "ceiling": None, **changes}

    def test_a_ceiling_is_shown_where_it_is_known_for_all(self) -> None:
        known = {"subjects": {"ann": 0.8, "bob": 1.0, "cyd": 0.1}}
        shown = held_out_scores(self.made(ceiling=known)).models[-1]
        assert (shown.role, shown.by_subject) == ("ceiling", (0.8, 1.0))
        assert shown.mean.value == pytest.approx(0.9)

    def test_what_was_held_out_is_named_as_the_dataset_names_it(self) -> None:
        assert terminal_table(held_out_scores(self.made())).title == "balanced accuracy, 2 held-out subjects"
        parts = held_out_scores(self.made(group=Bonn.info.group))
        assert terminal_table(parts).title == "balanced accuracy, 2 held-out parts"

    @pytest.mark.parametrize("ceiling", [None, {"subjects": {"ann": 0.8}}])
    def test_no_ceiling_otherwise(self, ceiling: Any) -> None:
        assert [m.role for m in held_out_scores(self.made(ceiling=ceiling)).models] == ["model"]


class TestPrepare:
    def test_facts_say_what_the_signal_was_and_is(self, done: Plan) -> None:
        output = done.of_stage("prepare")[0].output()
        assert output is not None
        facts = read_json(output.path("prepared.json"))
        assert facts["classes"] == ["left", "right", "feet"]
        assert facts["raw"]["ch_names"] == facts["signal"]["ch_names"] == ["Cz", "Pz"]
        assert "source.json" not in output.manifest["outputs"], "a path has no checksum"

    def test_a_changed_recording_makes_only_its_own_stale(self, done: Plan, tmp_path: Path) -> None:
        for seed, name in enumerate(("ann", "bob")):
            recording(tmp_path / "data" / name / "run1.edf", seed)
        before = [t.key for t in planned(tmp_path).of_stage("prepare")]
        recording(tmp_path / "data" / "bob" / "run1.edf", 9)
        after = [t.key for t in planned(tmp_path).of_stage("prepare")]
        assert [a == b for a, b in zip(before, after, strict=True)] == [True, False]

    def test_where_the_recordings_lie_is_in_no_key(self, done: Plan, tmp_path: Path) -> None:
        (tmp_path / "data").symlink_to(done.root.parent / "data")
        assert [t.key for t in planned(tmp_path).tasks] == [t.key for t in done.tasks]

    @pytest.mark.parametrize("kind", sorted(DATASETS))
    def test_every_dataset_is_a_recipe_s_first_stage(self, kind: str) -> None:
        events = {"events": {"a": "x", "b": "y"}}
        needed = {"recordings": events, "dandi": {"dandiset": "000128", **events}, "neural_latents": events}.get(
            kind, {}
        )
        stages = {"prepare": {"kind": "prepare", "dataset": {"kind": kind, **needed}}}
        dataset = check({"name": "first", "stages": stages}).stages["prepare"].dataset
        assert dataset == DATASETS.parse({"kind": kind, **needed})
        assert len(dataset.classes()) >= 2 or kind in {"spykesml", "ratgps"}  # continuous behaviour, no labels
        assert dataset.info.title
        assert dataset.info.licence


@pytest.mark.parametrize(
    "features",
    [
        {"kind": "band_powers", "window_s": 0.5, "hop_s": 0.05, "bands": {"low": [4, 12], "high": [12, 30]}},
        {"kind": "reference", "pairs": [["Cz", "Pz"]]},
    ],
)
def test_what_is_no_potential_any_more_has_no_scalp_map(features: dict[str, Any], tmp_path: Path) -> None:
    recording(tmp_path / "data" / "ann" / "run1.edf", 0)
    changes = {
        "prepare__dataset__events": {"left": "left", "right": "right"},
        "prepare__signals": [features],
        "bands__model": "majority",
    }
    plan = planned(tmp_path, **changes)
    run(plan, stage="evaluate")
    assert "patterns" not in read_json(only(plan, "evaluate").path("scores.json"))


def test_one_channel_has_no_scalp_map(tmp_path: Path) -> None:
    for name, seed in (("ann", 0), ("bob", 1), ("cyd", 2)):
        recording(tmp_path / "data" / name / "run1.edf", seed)
    changes = {
        "prepare__dataset__events": {"left": "left", "right": "right"},
        "prepare__signals": [{"kind": "pick", "channels": ["Cz"]}],
    }
    plan = planned(tmp_path, **changes)
    run(plan, stage="evaluate")
    assert "patterns" not in read_json(only(plan, "evaluate").path("scores.json"))


def test_history_of_an_estimator_gives_no_curve(done: Plan, tmp_path: Path) -> None:
    from neural_foundation.pipeline.stages.report import _curve

    output = done.of_stage("floor")[0].output()
    assert output is not None
    assert _curve(output) is None
    write_json(tmp_path / "history.json", [{"step": 1, "train_loss": 2.0}, {"step": 2, "train_loss": 1.0}])
    curve = _curve(Output("adapt", "fold-0", "key", tmp_path))
    assert curve is not None
    assert curve.loss.tolist() == [2.0, 1.0]
    assert curve.validation is None
