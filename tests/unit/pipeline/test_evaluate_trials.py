"""evaluate_trials and report_trials on small sessions and baselines that fit at once."""

from __future__ import annotations

import io
import re
from copy import deepcopy
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from binned import made_session
from rich.console import Console
from trial_runs import binned, fitted, output, walker

from neural_foundation.core.errors import DataError, PackageError, SpecError
from neural_foundation.core.lineage import Output
from neural_foundation.core.store import load_arrays, read_json
from neural_foundation.evaluation.report import Provenance
from neural_foundation.evaluation.report.trial_content import TrialReport, headline
from neural_foundation.evaluation.report.trial_scores import _all_scores, _reading, _table
from neural_foundation.evaluation.report.trial_terminal import trial_tables
from neural_foundation.evaluation.report.trials import _caveats, page, sections
from neural_foundation.pipeline.stage import Job
from neural_foundation.pipeline.stages.evaluate_trials import EvaluateTrials, model_name
from neural_foundation.pipeline.stages.report_trials import ReportTrials
from neural_foundation.sampling.binned import BinnedSession
from neural_foundation.sampling.roles import TrialFold

RANDOM = TrialFold(name="0", hold_out="trial", test=0.4)
BLOCKS = [TrialFold(name=str(k), hold_out="block", folds=4, block=k) for k in range(2)]
FEW = EvaluateTrials(inputs={"data": "bin", "models": "m"}, permutations=20, shown_sessions=2)


def evaluated(root: Path, data: list[Output], models: list[Output], baselines: list[Output] | None = None) -> Output:
    folder = root / "evaluate"
    folder.mkdir()
    inputs = {"data": data, "models": models, "baselines": baselines or []}
    FEW.run(Job("evaluate", {}, 5, folder, inputs))
    return output("evaluate", {}, folder)


def trial_sessions(n: int = 3) -> list[BinnedSession]:
    return [made_session(f"s{i}", i, units=5 + i, trials=30) for i in range(n)]


def simple(root: Path, sessions: list[BinnedSession]) -> list[Output]:
    """Two baselines: one that only encodes, one that only decodes."""
    return [fitted(root, stage, kind, sessions, RANDOM, 20) for stage, kind in (("means", "psth"), ("line", "ridge"))]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Output], list[Output], Output]:
    """Three sessions; one model of random trials with two seeds, one of two blocks of time, a baseline."""
    root, sessions = tmp_path_factory.mktemp("trials"), trial_sessions()
    data = binned(root, sessions)
    models = [fitted(root, "rich", "reduced_rank", sessions, RANDOM, 20, seed=str(k)) for k in (0, 1)]
    models += [fitted(root, "late", "reduced_rank", sessions, fold, 20) for fold in BLOCKS]
    return data, models, evaluated(root, data, models, simple(root, sessions))


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Output], list[Output], Output]:
    """Two long recordings, a fit for each, in two blocks of time."""
    root, sessions = tmp_path_factory.mktemp("walk"), [walker("w0", 600, seed=1), walker("w1", 600, seed=2)]
    data = binned(root, sessions)
    models = [fitted(root, "line", "wiener", [s], fold, 20, recording=s.spec.name) for fold in BLOCKS for s in sessions]
    return data, models, evaluated(root, data, models)


class TestScores:
    def test_each_model_has_its_scores_and_says_how_it_was_tested(self, done: Any) -> None:
        scores = read_json(done[2].path("scores.json"))
        assert scores["order"] == ["rich", "late", "means", "line"]
        assert scores["baselines"] == ["means", "line"]
        assert {n: m["hold_out"] for n, m in scores["models"].items()} == {
            "rich": "trial",
            "late": "block",
            "means": "trial",
            "line": "trial",
        }
        assert scores["models"]["rich"]["seeds"] == [0, 1]
        assert scores["models"]["late"]["folds"] == ["0", "1"]
        bits = scores["models"]["rich"]["metrics"]["encoding.spikes.bits_per_spike"]
        assert set(bits["sessions"]) == {"s0", "s1", "s2"}
        assert len(bits["runs"]) == 6
        assert bits["interval"] == "95 % bootstrap interval over 3 sessions"
        assert bits["difference"]["against"] == "means"
        assert scores["models"]["late"]["metrics"]["encoding.spikes.bits_per_spike"]["difference"] is None
        assert bits["mean"] > scores["models"]["means"]["metrics"]["encoding.spikes.bits_per_spike"]["mean"]
        assert scores["metrics"]["encoding.spikes.bits_per_spike"]["null"].endswith("in the training part")
        assert scores["ceiling"] == {}
        assert scores["splits"]["block"]["1"]["block"] == 1
        assert scores["sessions"]["s1"]["units"] == {"spikes": 6}

    def test_what_a_model_cannot_predict_it_has_no_score_of(self, done: Any) -> None:
        scores = read_json(done[2].path("scores.json"))
        for model, directions in (("means", {"encoding"}), ("line", {"decoding"}), ("rich", {"encoding", "decoding"})):
            assert {n.partition(".")[0] for n in scores["models"][model]["metrics"]} == directions
        choice = scores["models"]["line"]["metrics"]["decoding.choice.balanced_accuracy"]
        assert choice["null"] == choice["chance"]["mean"] < choice["chance"]["level_95"]

    def test_what_a_report_needs_is_kept(self, done: Any) -> None:
        truth = load_arrays(done[2].path("truth.npz"))
        said = load_arrays(done[2].path("predictions-rich.npz"))
        assert truth["trial/0/values/spikes"].shape == said["0/values/spikes"].shape
        assert truth["block/1/values/spikes"].shape[2] == 6
        assert not [k for k in truth if k.startswith("trial/2/")]  # shown_sessions: 2
        assert said["units/bits_per_spike/s2"].shape == (7,)  # of units, of every session
        roles = truth["trial/roles/0/0"]
        assert len(roles) == 30
        assert set(roles[:, 2]) == {0.0, 1.0, 2.0}
        kinds = {a.dtype.kind for a in [*truth.values(), *said.values()]}
        assert kinds <= set("fiu")

    def test_the_same_again_gives_the_same_bytes(self, done: Any, tmp_path: Path) -> None:
        data, models, first = done
        again = evaluated(tmp_path, data, models, simple(tmp_path, trial_sessions()))
        for name in ("scores.json", "truth.npz", "predictions-rich.npz"):
            assert first.path(name).read_bytes() == again.path(name).read_bytes()

    def test_fits_of_single_recordings_are_one_model(self, walk: Any) -> None:
        scores = read_json(walk[2].path("scores.json"))
        assert scores["order"] == ["line"]
        metrics = scores["models"]["line"]["metrics"]
        error = metrics["decoding.position.mean_error"]
        assert set(error["sessions"]) == {"w0", "w1"}
        assert len(error["runs"]) == 4
        assert error["mean"] < error["null"]
        assert scores["metrics"]["decoding.position.mean_error"]["unit"] == "cm"
        assert "decoding.position.r2[x]" in metrics
        assert "decoding.position.psth_r2" not in metrics


class Known:
    """Stands for what is known of a simulated session; counts how often a trial is decoded."""

    def __init__(self, session: BinnedSession) -> None:
        self.session, self.asked = session, list[int]()

    def rates(self, session: BinnedSession, *, drift: bool = True) -> Any:
        mean = np.asarray(session.values["spikes"], np.float32).mean(0)
        return 0.6 * np.asarray(session.values["spikes"], np.float32) + (0.4 if drift else 1.0) * mean

    def decoded(self, session: BinnedSession, trials: list[int]) -> dict[str, Any]:
        self.asked += trials
        rows = session.first[trials][:, None] + np.arange(20)
        return {
            "wheel_speed": np.asarray(session.values["wheel_speed"])[rows],
            "choice": np.eye(2)[np.asarray(session.values["choice"])[trials]],
        }


def test_the_ceiling_is_scored_where_a_session_was_simulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from neural_foundation.datasets.simulated import session_truth

    sessions = trial_sessions(1)
    known = Known(sessions[0])
    monkeypatch.setattr(session_truth, "truth_of", lambda folder, name: known)
    models = [fitted(tmp_path, "late", "reduced_rank", sessions, fold, 20) for fold in BLOCKS]
    models += [fitted(tmp_path, "rich", "ridge", sessions, RANDOM, 20)]
    scores = read_json(evaluated(tmp_path, binned(tmp_path, sessions), models).path("scores.json"))
    assert scores["ceiling"]["block"]["decoding.wheel_speed.r2"]["mean"] == pytest.approx(1)
    assert scores["ceiling"]["trial"]["decoding.choice.balanced_accuracy"]["mean"] == 1.0
    assert len(known.asked) == len(set(known.asked))  # a trial that several folds test is decoded once
    metrics = scores["models"]["late"]["metrics"]
    bits, speed = metrics["encoding.spikes.bits_per_spike"], metrics["decoding.wheel_speed.r2"]
    assert bits["ceiling"]["share"] == pytest.approx(bits["mean"] / bits["ceiling"]["mean"])
    assert bits["ceiling_without_drift"]["mean"] < bits["ceiling"]["mean"]
    assert speed["ceiling"]["share"] == pytest.approx(speed["mean"], abs=1e-6)
    assert speed["ceiling_without_drift"] is None


class TestRefusals:
    def test_a_session_the_package_does_not_know(self, done: Any, tmp_path: Path) -> None:
        more = binned(tmp_path, trial_sessions(4))
        with pytest.raises(PackageError, match="stage 'rich' does not know session 's3'.*'s0', 's1' or 's2'"):
            evaluated(tmp_path, more, done[1][:1])

    def test_a_recording_without_its_fit(self, walk: Any, tmp_path: Path) -> None:
        one = [m for m in walk[1] if "w0" in m.item]
        with pytest.raises(DataError, match="'line' was not tested on session 'w1' in fold 0 with seed 0"):
            evaluated(tmp_path, walk[0], one)

    def test_a_package_that_held_nothing_out(self, tmp_path: Path) -> None:
        sessions = trial_sessions(1)
        package = fitted(tmp_path, "all", "psth", sessions, None, 20)
        with pytest.raises(DataError, match="learned from everything"):
            evaluated(tmp_path, binned(tmp_path, sessions), [package])


def test_the_axis_of_recordings_does_not_name_a_model(tmp_path: Path) -> None:
    sessions = trial_sessions(1)
    named = fitted(tmp_path, "part", "psth", sessions, RANDOM, 20, recording="s0", seed="1", train_fraction="0.5")
    assert model_name(named) == "part.train_fraction-0.5"


@pytest.mark.parametrize(
    ("objective", "directions"),
    [
        ({"mode": "decoding"}, {"decoding"}),
        ({"kind": "multimodal", "schemes": {"decoding": 1, "encoding": 0}}, {"decoding"}),
        ({"kind": "multimodal", "schemes": {"neural": 1, "within_modality": 1}}, {"encoding"}),
        ({"kind": "multimodal", "schemes": {"random_token": 1}}, {"encoding", "decoding"}),
        ({"kind": "multimodal"}, {"encoding", "decoding"}),
    ],
)
def test_a_model_is_scored_in_the_directions_that_it_learned(
    objective: dict[str, Any], directions: set[str], tmp_path: Path
) -> None:
    sessions = trial_sessions(1)
    package = fitted(tmp_path, "one", "reduced_rank", sessions, RANDOM, 20)
    package.manifest["facts"]["fields"] = {"learner": {"kind": "gradient", "objective": objective}}
    scores = read_json(evaluated(tmp_path, binned(tmp_path, sessions), [package]).path("scores.json"))
    assert {n.partition(".")[0] for n in scores["models"]["one"]["metrics"]} == directions


def test_a_model_that_learned_neither_direction_is_refused(tmp_path: Path) -> None:
    sessions = trial_sessions(1)
    package = fitted(tmp_path, "one", "reduced_rank", sessions, RANDOM, 20)
    objective = {"kind": "multimodal", "schemes": {"within_modality": 1}}
    package.manifest["facts"]["fields"] = {"learner": {"kind": "gradient", "objective": objective}}
    with pytest.raises(SpecError, match="Stage 'one' drew 'within_modality' alone, which tells neither direction"):
        evaluated(tmp_path, binned(tmp_path, sessions), [package])


def reported(root: Path, data: list[Output], models: list[Output], scores: Output) -> str:
    inputs = {"data": data, "scores": [scores], "learned": models}
    stage = ReportTrials(inputs={"data": "bin", "scores": "evaluate"}, caveats=("Small.",))
    stage.run(Job("report", {}, 5, root, inputs, command="neural-foundation run made", key="key-report"))
    return (root / "report.html").read_text()


def test_the_report_of_trials(done: Any, tmp_path: Path) -> None:
    text = reported(tmp_path, *done)
    for words in (
        "On random trials it never saw, rich predicts",
        "rich (random trials)",
        "late (blocks of time)",
        "Each unit",
        "Each region",
        "Behaviour, true and decoded",
        "Classes of a trial",
        "Encoding maps",
        "rich: learning curves",
        "2 of 4 blocks of time tested",
        "8 of 9 units (1 silent)",
        "Made sessions say nothing about animals.",
        "neighbours in time in the training part",
        "key-evaluate",
        "neural-foundation run made",
    ):
        assert words in text.replace("<span>", "").replace("</span>", ""), words
    assert "http" not in text.replace("http-equiv", "")
    assert "Where it was" not in text


def test_the_report_says_which_model_is_worse_than_which_baseline(done: Any) -> None:
    scores = deepcopy(read_json(done[2].path("scores.json")))
    for made in scores["models"].values():
        for entry in made["metrics"].values():
            entry["difference"] = None
    assert "worse than" not in _reading(_report(scores))
    rich, late = scores["models"]["rich"]["metrics"], scores["models"]["late"]["metrics"]
    rich["encoding.spikes.bits_per_spike"]["difference"] = {"against": "means", "mean": -0.0123}
    rich["encoding.spikes.psth_r2"]["difference"] = {"against": "means", "mean": 0.5}
    rich["decoding.wheel_speed.r2"]["difference"] = {"against": "line", "mean": -0.5}
    late["encoding.spikes.bits_per_spike_test_null"]["difference"] = {"against": "means", "mean": -2.0}
    said = _reading(_report(scores))
    assert "Lines, those of rich: 95 % bootstrap interval over 3 sessions." in said
    assert (
        " rich, on random trials, is worse than the best baseline in: "
        "wheel speed R2, single trial (line, by 0.50); spikes bits per spike (means, by 0.012)."
    ) in said
    assert (
        " late, on blocks of time, is worse than the best baseline in: "
        "spikes bits per spike, against the test mean (means, by 2.0)."
    ) in said


def _report(scores: Any) -> TrialReport:
    place = Provenance(command="", seed=0, stage="", stage_key="", versions={}, data=())
    return TrialReport(title="", provenance=place, scores=scores, truth={}, predictions={})


def test_the_report_names_a_class_that_training_never_saw(done: Any, tmp_path: Path) -> None:
    scores = read_json(done[2].path("scores.json"))
    # low, even and high have 10 trials each; fold 0 learns from trials 15 and on, fold 1 from 0-7 and 23-29
    found = scores["not_in_training"]["block"]
    assert found["0"]["s1"] == {"block": {"test": ["low"], "validation": ["low"]}}
    assert found["1"]["s1"] == {"block": {"test": ["even"], "validation": ["even"]}}
    assert "trial" not in scores["not_in_training"]
    text = unescape(reported(tmp_path, *done))
    assert "Class 'low' of 'block' is tested, but training never saw it" in text
    assert "(blocks of time, fold 0, s0; blocks of time, fold 0, s1; blocks of time, fold 0, s2)." in text
    assert "never saw" not in " ".join(_caveats(_report(scores | {"not_in_training": {}})))


def test_what_is_neural_is_no_behaviour_of_the_report(done: Any) -> None:
    scores = deepcopy(read_json(done[2].path("scores.json")))
    assert [m["name"] for m in _report(scores).behaviours()] == ["wheel_speed", "motion_energy"]
    next(m for m in scores["modalities"] if m["name"] == "motion_energy")["neural"] = True
    assert [m["name"] for m in _report(scores).behaviours()] == ["wheel_speed"]


def test_the_report_of_a_walk(walk: Any, tmp_path: Path) -> None:
    text = reported(tmp_path, *walk)
    for words in ("Where it was, and where it was decoded", "Two sessions: intervals say", "2 folds, 2 sessions"):
        assert words in text, words
    assert "Encoding maps" not in text


def test_names_are_text_and_drawings_well_formed(done: Any, tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&\x00"
    scores = read_json(done[2].path("scores.json"))
    scores["unit_names"] = {s: [hostile] * len(names) for s, names in scores["unit_names"].items()}
    scores["unit_regions"] = {s: [hostile, *r[1:]] for s, r in scores["unit_regions"].items()}
    content = TrialReport(
        title=hostile,
        provenance=Provenance(command=hostile),
        scores=scores,
        truth=load_arrays(done[2].path("truth.npz")),
        predictions={m: load_arrays(done[2].path(f"predictions-{m}.npz")) for m in scores["order"]},
        sessions={"s0": {"said": hostile, "subject": hostile}},
    )
    text = page(content)
    assert "<script" not in text
    assert "<img" not in text
    assert "script-src" not in text
    assert "img-src data:;" in text
    drawings = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    assert len(drawings) > 20
    for drawing in drawings:
        ElementTree.fromstring(drawing)
    assert page(content) == text


def test_what_no_model_gives_is_left_out(done: Any, tmp_path: Path) -> None:
    scores = read_json(done[2].path("scores.json"))
    scores["order"] = ["means"]
    scores["models"] = {"means": scores["models"]["means"]}
    content = TrialReport(
        title="t",
        provenance=Provenance(command="x"),
        scores=scores,
        truth=load_arrays(done[2].path("truth.npz")),
        predictions={"means": load_arrays(done[2].path("predictions-means.npz"))},
    )
    names = [b.name for b in sections(content)]
    assert names == ["scores", "units", "regions", "population", "rasters", "maps", "splits"]


def test_the_terminal_shows_each_way_of_holding_out(done: Any) -> None:
    text = _terminal(read_json(done[2].path("scores.json")))
    assert "Scores on random trials, 3 sessions" in text
    assert "Scores on blocks of time, 3 sessions" in text
    assert "chance" in text
    scores = read_json(done[2].path("scores.json"))
    mean = scores["models"]["late"]["metrics"]["encoding.spikes.bits_per_spike"]["mean"]
    assert f"{mean:.3f}" in text
    assert np.isfinite(mean)


def test_units_left_out_stand_beside_the_pooled_figure(done: Any) -> None:
    scores = deepcopy(read_json(done[2].path("scores.json")))
    plain = _terminal(scores)
    assert "out)" not in plain
    bits = scores["models"]["rich"]["metrics"]["encoding.spikes.bits_per_spike"]
    bits["left_out"] = {"s0": 2, "s2": 1}
    text = _terminal(scores)
    assert re.search(rf"{bits['mean']:.3f} ± \S+ \(3 out\)", text)
    assert "(n out): without n units" in text
    report = _report(scores)
    assert "(3 out)" in str(_table(report, headline(scores)))
    assert "(n out): without n units, silent in the test part" in str(_table(report, headline(scores)))
    assert "(3 out)" in str(_all_scores(report))


def test_a_unit_that_is_silent_in_training_is_counted(tmp_path: Path) -> None:
    session = made_session("s0", 0, units=5, trials=30)
    counts = np.array(session.values["spikes"])
    counts[BLOCKS[0].shows(session, "train"), 0] = 0
    quiet = replace(session, values={**session.values, "spikes": counts})
    model = fitted(tmp_path, "late", "psth", [quiet], BLOCKS[0], 20)
    scores = read_json(evaluated(tmp_path, binned(tmp_path, [quiet]), [model]).path("scores.json"))
    metrics = scores["models"]["late"]["metrics"]
    assert metrics["encoding.spikes.bits_per_spike"]["left_out"] == {"s0": 1}
    assert "left_out" not in metrics["encoding.spikes.bits_per_spike_test_null"]
    assert "(1 out)" in _terminal(scores)


def _terminal(scores: Any) -> str:
    console = Console(width=160, record=True, file=io.StringIO())
    for table in trial_tables(scores):
        console.print(table)
    return console.export_text()


def test_the_mean_of_the_seeds_is_a_model_of_its_own(tmp_path: Path) -> None:
    sessions = trial_sessions(1)
    data = binned(tmp_path, sessions)
    kinds = {"0": "ridge", "1": "gru"}
    models = [fitted(tmp_path, "line", kind, sessions, RANDOM, 20, seed=seed) for seed, kind in kinds.items()]
    folder = tmp_path / "evaluate"
    folder.mkdir()
    FEW.model_copy(update={"ensembles": True}).run(
        Job("evaluate", {}, 5, folder, {"data": data, "models": models, "baselines": []})
    )
    scores = read_json(folder / "scores.json")["models"]
    assert list(scores) == ["line", "line.mean"]
    r2 = {n: m["metrics"]["decoding.wheel_speed.r2"]["mean"] for n, m in scores.items()}
    # errors that are not the same cancel: never worse than the members on average
    assert r2["line.mean"] > r2["line"]


def test_the_mean_of_several_models_is_scored_under_a_name_of_its_own(tmp_path: Path) -> None:
    sessions = trial_sessions(1)
    inputs = {
        "data": binned(tmp_path, sessions),
        "models": [fitted(tmp_path, "line", "ridge", sessions, RANDOM, 20)],
        "baselines": [fitted(tmp_path, "net", "gru", sessions, RANDOM, 20)],
    }
    folder = tmp_path / "evaluate"
    folder.mkdir()
    FEW.model_copy(update={"means": {"both": ("line", "net")}}).run(Job("evaluate", {}, 5, folder, inputs))
    scores = read_json(folder / "scores.json")["models"]
    r2 = {n: m["metrics"]["decoding.wheel_speed.r2"]["mean"] for n, m in scores.items()}
    assert r2["both"] > (r2["line"] + r2["net"]) / 2
    wrong = FEW.model_copy(update={"means": {"both": ("line", "nett")}})
    with pytest.raises(SpecError, match=r"'both' is made of 'nett'.*line"):
        wrong.run(Job("evaluate", {}, 5, folder, inputs))
