"""The page of models beside experts' votes: what it claims, what it leaves out, and that names stay names."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from neural_foundation.evaluation.chains import chain_name, chains, chains_or_channels
from neural_foundation.evaluation.ensemble_scores import Voted, ensemble_scores, uncertainty_scores
from neural_foundation.evaluation.ensembling import learn, nested, uncertainty
from neural_foundation.evaluation.ensembling_solvers import softmax
from neural_foundation.evaluation.report import Provenance
from neural_foundation.evaluation.report.vote_content import VoteExample, VoteReport
from neural_foundation.evaluation.report.vote_examples import round_scale, side
from neural_foundation.evaluation.report.vote_page import page, sections, verdict, write_vote_report
from neural_foundation.evaluation.report.vote_terminal import vote_table

CLASSES = ["slow", "<b>fast</b>", "other"]
BANANA = ("Fp1-F7", "F7-T7", "T7-P7", "P7-O1", "Fp2-F8", "F8-T8", "T8-P8", "P8-O2", "Fz-Cz", "Cz-Pz")


def value(failing: bool = False, votes_there: bool = True) -> dict[str, Any]:
    """Return what the stage writes, of two members of 24 patients."""
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 1.5, (240, 3))
    p = softmax(truth[:, None] + np.array([0.6, 1.2])[:, None] * rng.normal(size=(240, 2, 3)))
    votes = np.array([rng.multinomial(rng.integers(1, 22), x) for x in softmax(truth)], float)
    patient, fold = np.repeat(np.arange(24).astype(str), 10), np.repeat(np.arange(24) % 3, 10)
    if failing:
        p[fold == 1, 1] = np.nan
    made = nested(p, votes, patient, fold, names=["net", "trees"], strengths=[0.1])
    whole = [0] if failing else [0, 1]
    final = learn(p[:, whole], votes, patient, strengths=[0.1])
    voted = Voted(votes, votes.argmax(1), patient, fold)
    scores = ensemble_scores(
        voted,
        {"net": p[:, 0], "trees": p[:, 1]},
        made.probability,
        baselines={"floor": made.frequency},
        references={"class frequency": made.frequency, "uniform": np.full((240, 3), 1 / 3), "truth": softmax(truth)},
    )
    scores["uncertainty"] = uncertainty_scores(voted, made.probability["weighted"], uncertainty(p[:, whole]))
    return {
        "classes": CLASSES,
        "method": "weighted",
        "members": ["net", "trees"],
        "final": {"members": [["net", "trees"][i] for i in whole], **final.value()},
        "by_fold": {
            str(f): {"members": [["net", "trees"][m] for m in made.members[f]], **b.value()}
            for f, b in made.blends.items()
        },
        "left_out": [left._asdict() for left in made.left_out],
        "failed": [{"model": "trees", "item": "fold-1", "windows": 80}] if failing else [],
        "votes": votes_there,
        "n_unvoted": 0,
        "scores": scores,
    }


def example(**changes: Any) -> VoteExample:
    rng = np.random.default_rng(1)
    made = VoteExample(
        title="slow, recording <x> at 20 s",
        reading="A window.",
        ch_names=BANANA,
        sfreq=100.0,
        values=rng.normal(0, 3e-5, (10, 1000)).astype(np.float32),
        valid=np.arange(1000) < 900,
        unit="V",
        window_s=50.0,
        labelled_s=(20.0, 30.0),
        spectrograms={"Fp1 F7": rng.normal(size=(40, 100))},
        high_hz=20.0,
        votes=np.array([3.0, 1.0, 0.0]),
        said={"weighted": np.array([0.5, 0.3, 0.2])},
    )
    return replace(made, **changes)


@pytest.fixture(scope="module")
def report() -> VoteReport:
    return VoteReport(title="Votes", provenance=Provenance(command="x"), value=value(), examples=(example(),))


def test_the_verdict_says_how_the_ensemble_stands_to_its_best_member(report: VoteReport) -> None:
    kl = report.main["kl"]["mean"]
    text = verdict(report)
    assert f"the weighted mean of 2 models diverges from the experts by {kl:.2f} nats" in text
    standing = "better than" if report.main["difference"]["high"] < 0 else "not clearly apart from"
    assert f"{standing} net, its best member" in text


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(-0.2, -0.1, "better than net"), (0.1, 0.2, "worse than net"), (-0.1, 0.1, "not clearly apart from net")],
)
def test_nothing_is_claimed_that_the_interval_does_not_carry(low: float, high: float, words: str) -> None:
    made = value()
    made["scores"]["ensembles"]["weighted"]["difference"] = {"against": "net", "mean": 0.0, "low": low, "high": high}
    assert words in verdict(VoteReport(title="", provenance=Provenance(command=""), value=made))


def test_the_deployed_ensemble_comes_first_then_by_divergence(report: VoteReport) -> None:
    rows = list(report.rows())
    assert rows[0][1] == "weighted mean"
    members = [entry["kl"]["mean"] for group, _, entry in rows if group == "members"]
    assert members == sorted(members)
    assert [name for group, name, _ in rows if group == "references"] == [
        "class frequency",
        "all classes alike",
        "true probabilities",
    ]


def test_every_section_is_there_and_names_stay_names(report: VoteReport) -> None:
    names = [b.name for b in sections(report)]
    assert names == ["scores", "difference", "weights", "agreement", "calibration", "confusion", "examples"]
    text = page(report)
    assert "<b>fast</b>" not in text.replace("<td><b>", "")
    assert "&lt;b&gt;fast&lt;/b&gt;" in text
    assert "recording &lt;x&gt;" in text
    assert "<script" not in text
    assert f"{report.main['kl']['mean']:.3f}" in text


def benchmark() -> dict[str, Any]:
    timed = {"median_ms": 2.5, "p95_ms": 4.0, "calls": 30}
    gate = {"package": "fold-1", "passes": False, "why": "0.02 nats more"}
    return {
        "window_s": 50.0,
        "rows": [
            {"member": "net<1>", "packages": 3, "form": "onnx", "n_bytes": 1_250_000, **timed},
            {"member": "net<1>", "packages": 3, "form": "int8", "kept": 2, "kl": 0.5, "kl_int8": 0.51}
            | {"n_bytes": 400_000, "median_ms": 1.2, "p95_ms": 1.9, "calls": 30},
            {"member": "trees", "packages": 3, "form": "features", "n_bytes": None, **timed},
            {"member": "late", "packages": 1, "form": "int8", "kept": 0, "kl": 0.5, "kl_int8": 0.6}
            | {"n_bytes": None, "median_ms": None, "p95_ms": None, "calls": 0},
        ],
        "decision": {"packages": 6, "n_bytes": 3_000_000, "median_ms": 21.0, "p95_ms": 30.0, "calls": 30},
        "int8": {"net<1>": [gate]},
    }


def test_what_was_exported_is_shown_with_size_and_latency(report: VoteReport) -> None:
    made = replace(report, deployed=benchmark())
    assert [b.name for b in sections(made)][-1] == "deployed"
    text = page(made)
    assert "takes 21.0\xa0ms in the median, by 6 packages" in text
    assert "net&lt;1&gt;, fold-1: 8 bits not kept, 0.02 nats more." in text
    assert "1.25\xa0MB" in text
    assert "2 of 3" in text
    assert "net<1>" not in text


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(-0.2, -0.1, "helps"), (0.1, 0.2, "does harm"), (-0.1, 0.1, "makes no difference that can be told")],
)
def test_what_pre_training_gains_is_said_as_far_as_it_is_known(
    report: VoteReport, low: float, high: float, words: str
) -> None:
    patients = {"patients": {"mean": 1.0, "low": 0.9, "high": 1.1}, "sd_seeds": 0.02, "uniform": {"patients": 1.35}}
    told = {"against": "scratch", "mean": (low + high) / 2, "low": low, "high": high}
    models = {
        "tuned": {**patients, "people": [7, 7], "difference": told},
        "scratch": {**patients, "people": [6, 7], "uniform": {"patients": 0.99}},
    }
    made = replace(report, gain={"kl": {"models": models}, "baselines": ["scratch"]})
    assert "gain" in [b.name for b in sections(made)]
    text = page(made)
    assert f"With the labels of 7 patients a fold, pre-training {words}: tuned diverges by" in text
    assert "6 to 7 patients" in text
    assert "beside scratch. scratch learned nothing: to call all classes alike is as near" in text


def test_equal_reports_are_equal_bytes(report: VoteReport, tmp_path: Any) -> None:
    for name in ("a", "b"):
        write_vote_report(tmp_path / name, report)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_without_votes_or_examples_their_sections_are_left_out() -> None:
    made = VoteReport(title="", provenance=Provenance(command=""), value=value(votes_there=False))
    assert [b.name for b in sections(made)] == ["scores", "difference", "weights", "calibration", "confusion"]
    assert "These data have no votes" in page(made)


def test_a_member_that_failed_is_named() -> None:
    made = VoteReport(title="", provenance=Provenance(command=""), value=value(failing=True))
    text = page(made)
    assert "trees (fold-1) gave no numbers for 80 windows and is left out there." in text
    assert "Fold 1 goes without trees: it says nothing of this fold." in text
    assert "left out" in text


def test_chains_follow_the_electrodes() -> None:
    found = chains(BANANA)
    assert [len(c) for c in found] == [4, 4, 2]
    assert [chain_name(BANANA, c) for c in found] == ["Fp1 F7 T7 P7 O1", "Fp2 F8 T8 P8 O2", "Fz Cz Pz"]
    assert chains(("Cz", "Pz")) == [[0, 1]]
    assert chain_name(("Cz", "Pz"), [0, 1]) == "all channels"
    assert chain_name(("Cz",), [0]) == "Cz"
    assert chains_or_channels(BANANA) == found
    assert chains_or_channels(("Cz", "Pz", "Fp1-F7", "F7-T7")) == [[0], [1], [2, 3]]


@pytest.mark.parametrize(("name", "where"), [("Fp1-F7", "left"), ("P8-O2", "right"), ("Fz-Cz", ""), ("C3-C4", "")])
def test_sides_are_told_by_numbers(name: str, where: str) -> None:
    assert side(name) == where


def test_the_scale_is_round_and_silence_has_one_too() -> None:
    wave = np.sin(np.linspace(0, 60, 1000))
    assert round_scale(np.tile(wave * 80e-6, (4, 1))) == pytest.approx(100e-6)
    assert round_scale(np.tile(wave * 150.0, (4, 1))) == pytest.approx(200.0)
    assert round_scale(np.zeros((2, 10))) == 1.0


def test_what_is_not_valid_is_neither_drawn_nor_a_level(report: VoteReport) -> None:
    gap = example(valid=np.r_[np.zeros(500, bool), np.ones(500, bool)])
    made = replace(report, examples=(gap,))
    text = page(made)
    assert 'class="untrusted"' in text
    paths = re.findall(r'd="([^"]*)" class="eeg left"', text)
    assert len(paths) == 4
    first = [float(x) for path in paths for x in re.findall(r"[ML]([\d.]+) ", path)]
    assert min(first) >= 62 + (720 - 8 - 62) / 2 - 1  # nothing in the first half
    silent = replace(report, examples=(example(spectrograms={"x": np.full((4, 5), np.nan)}),))
    assert "nan" not in re.sub(r"<style>.*?</style>", "", page(silent))


def test_short_windows_have_no_spectrogram_and_empty_votes_no_bar(report: VoteReport) -> None:
    made = replace(report, examples=(example(spectrograms={}, votes=np.zeros(3)),))
    assert "Spectrograms of" not in page(made)


def test_the_terminal_has_a_row_a_model(report: VoteReport) -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(vote_table(report.value))
    text = console.export_text()
    assert "240 windows of 24 held-out patients" in text
    assert text.index("weighted mean") < text.index("trees") < text.index("true probabilities")


def test_evidence_is_shaded_and_put_in_words(report: VoteReport) -> None:
    fall = np.zeros((3, 10))
    fall[1, 4] = np.log(1.5)
    made = replace(report, examples=(example(evidence=fall, evidence_of="net says slow"),))
    text = page(made)
    assert "net says slow: the darkest part makes that 1.50 times as likely." in text
    assert text.count("<image") == page(report).count("<image") + 3
    none = replace(report, examples=(example(evidence=0 * fall, evidence_of="net says slow"),))
    assert "no part alone changes that by 1 in 100" in page(none)
    assert page(none).count("<image") == page(report).count("<image")
