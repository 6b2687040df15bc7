"""The page: safe, self-contained, well-formed, reproducible; its sentences follow from its numbers."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from neural_foundation.core.errors import DataError
from neural_foundation.evaluation import report as r
from neural_foundation.evaluation.report.page import page

VOID = {"meta", "br", "col"}
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&\x00\ud800"


class Parsed(HTMLParser):
    """Every tag with its attributes; fails on tags that do not close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def provenance(**changes: Any) -> r.Provenance:
    source = r.DataSource(title="Example", licence="CC0", citation="A 2020", url="https://example.org", n_subjects=3)
    versions = {"numpy": "2.2", "neural-foundation": "0.1.0"}
    fields = {
        "command": "neural-foundation run x",
        "seed": 7,
        "stage": "evaluate",
        "stage_key": "k1",
        "versions": versions,
    }
    return r.Provenance(**{**fields, "data": (source,), **changes})


def scores(model: float = 0.86, baseline: float = 0.84, **changes: Any) -> r.HeldOutScores:
    main = r.ModelScores(
        model="the adapted model",
        by_subject=(0.9, 0.8, 0.85),
        mean=r.Estimate(model, model - 0.04, model + 0.04),
        role="model",
    )
    best = r.ModelScores(
        model="tangent space", by_subject=(0.8, 0.85, 0.7), mean=r.Estimate(baseline, baseline - 0.04, baseline + 0.04)
    )
    poor = r.ModelScores(model="band power", by_subject=(0.6, 0.65, 0.5), mean=r.Estimate(0.6, 0.5, 0.7))
    top = r.ModelScores(
        model="truth known", by_subject=(0.95, 0.96, 0.97), mean=r.Estimate(0.96, 0.95, 0.97), role="ceiling"
    )
    each = tuple(r.Estimate(0.5, 0.4, 0.6) for _ in range(3))
    fields = {"chance": r.Estimate(0.5, 0.45, 0.55), "chance_by_subject": each, "n_trials": (40, 40, 38)}
    return r.HeldOutScores(**{"subjects": ("S1", "S2", "S3"), "models": (best, main, poor, top), **fields, **changes})


def difference(value: float, half: float = 0.01) -> r.PairedDifference:
    e = r.Estimate(value, value - half, value + half)
    return r.PairedDifference(
        model="the adapted model",
        baseline="tangent space",
        difference=e,
        subjects=("S1", "S2"),
        by_subject=(value, value),
    )


def certainty(**changes: Any) -> r.Certainty:
    fields: dict[str, Any] = {
        "answered": np.array([0.05, 0.5, 1.0]),
        "accuracy": np.array([1.0, 0.9, 0.8]),
        "given": (0.5, 0.9),
        "coverage": r.Estimate(0.89, 0.85, 0.93),
        "wished": 0.9,
        "subjects": ("S1", "S2", "S3"),
        "by_subject": (0.97, 0.9, 0.8),
        "alike": 0.05,
        "set_size": 1.2,
    }
    return r.Certainty(**{**fields, **changes})


def full() -> r.ReportContent:
    rng = np.random.default_rng(0)
    time = np.arange(0, 20, 0.1)
    p = 1 / (1 + np.exp(-3 * np.sin(time)))
    p[50:60] = np.nan
    trials = (
        r.Trial(start_s=2, end_s=5, label="left", decided="left"),
        r.Trial(start_s=8, end_s=11, label="right", decided="left"),
    )
    steps = np.arange(0, 100, 10)
    curve = r.LearningCurve(
        name="fold 0",
        step=steps,
        loss=np.exp(-steps / 30),
        validation_step=steps,
        validation=steps / 200 + 0.4,
        chosen_step=90,
    )
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    positions = 0.09 * np.c_[np.cos(angle) * 0.8, np.sin(angle) * 0.8, np.full(12, 0.6)]
    truth = np.cos(angle)
    scalp = r.ScalpMap(title="left", values=2 * truth, reference=truth)
    e = r.Estimate(0.7, 0.6, 0.8)
    return r.ReportContent(
        title="Example run",
        provenance=provenance(),
        task="left vs right hand",
        caveats=("Eye movements were not removed.",),
        scores=scores(),
        difference=difference(0.02, 0.03),
        gain=r.PretrainingGain(
            budgets=(
                r.TrainingBudget(
                    label="1 subject",
                    scratch=r.Estimate(0.6, 0.5, 0.7),
                    pretrained=e,
                    difference=r.Estimate(0.1, 0.02, 0.2),
                ),
            ),
            chance=0.5,
        ),
        trace=r.DecisionTrace(
            title="S1, run 2",
            classes=("left", "right"),
            time_s=time,
            probability=np.c_[1 - p, p],
            trials=trials,
            threshold=0.7,
            resets_s=(6.0,),
        ),
        latency=r.Latency(seconds=rng.lognormal(np.log(2e-4), 0.2, 500), step="one token", deadline_s=0.04),
        scalp=r.ScalpMaps(ch_names=tuple(f"E{i}" for i in range(12)), positions=positions, maps=(scalp,), unit="µV"),
        confusion=r.Confusion(
            classes=("left", "right"), counts=np.array([[18, 2], [5, 15]]), model="the adapted model"
        ),
        calibration=r.Calibration(
            confidence=(0.55, 0.75, 0.95), correct=(0.5, 0.8, 0.9), count=(10, 20, 0), error=0.03
        ),
        certainty=certainty(),
        coherence=r.TemporalCoherence(value=0.9, definition="Share of steps that agree.", reference=0.7),
        learning=(
            r.LearningCurves(title="Adaptation", curves=(curve,), provenance=provenance(stage="adapt", stage_key="k2")),
        ),
    )


@pytest.fixture(scope="module")
def document() -> str:
    return page(full())


def test_tags_close_and_anchors_lead_somewhere(document: str) -> None:
    tags = Parsed(document).tags
    ids = [a["id"] for _, a in tags if "id" in a]
    assert len(ids) == len(set(ids))
    inner = [a["href"] for t, a in tags if t == "a" and str(a["href"]).startswith("#")]
    assert {h[1:] for h in inner if h} <= set(ids)
    assert "reproduce" in ids


def test_nothing_is_loaded_from_anywhere(document: str) -> None:
    tags = Parsed(document).tags
    assert not {t for t, _ in tags} & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    assert not [a for _, a in tags if {"src", "srcset", "xlink:href"} & set(a)]
    assert {a["href"] for t, a in tags if "href" in a and not str(a["href"]).startswith("#")} == {"https://example.org"}
    assert not re.search(r"url\((?!#)|@import|@font-face", document)
    policy = next(a["content"] for t, a in tags if a.get("http-equiv") == "Content-Security-Policy")
    assert str(policy).startswith("default-src 'none'")
    assert "script-src" not in str(policy)


def test_pictures_are_well_formed_and_described(document: str) -> None:
    pictures = re.findall(r"<svg.*?</svg>", document, re.S)
    assert len(pictures) > 10
    for picture in pictures:
        root = ElementTree.fromstring(picture)
        assert root.get("role") == "img"
        assert len(root.get("aria-label") or "") > 10
        numbers = " ".join(
            v for e in root.iter() for k, v in e.attrib.items() if k in {"d", "x", "y", "cx", "cy", "points", "width"}
        )
        assert "nan" not in numbers
        assert "inf" not in numbers


def test_it_says_its_language_title_and_caveats(document: str) -> None:
    tags = Parsed(document).tags
    assert ("html", {"lang": "en"}) in tags
    assert "<title>Example run</title>" in document
    assert "Eye movements were not removed." in document
    assert sum(t == "h1" for t, _ in tags) == 1


def test_every_figure_says_where_it_comes_from(document: str) -> None:
    sections = re.findall(r'<section id="([^"]+)" class="block">(.*?)</section>', document, re.S)
    expected = [
        "scores",
        "difference",
        "pretraining",
        "trace",
        "latency",
        "scalp",
        "confusion",
        "calibration",
        "certainty",
        "coherence",
        "learning-1",
    ]
    assert [name for name, _ in sections] == expected
    for name, text in sections:
        assert "Where this comes from" in text
        assert ("k2" if name == "learning-1" else "k1") in text
    end = document[document.index('id="reproduce"') :]
    assert all(word in end for word in ("k1", "k2", "Example", "CC0", "A 2020", "numpy 2.2"))


def hostile(value: Any) -> Any:
    """Return the content with every free text replaced by one that would like to be markup."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fixed = {"role"}
        changes = {f.name: hostile(getattr(value, f.name)) for f in dataclasses.fields(value) if f.name not in fixed}
        return dataclasses.replace(value, **changes)
    if isinstance(value, tuple):
        return tuple(hostile(v) for v in value)
    if isinstance(value, dict):
        return {hostile(k): hostile(v) for k, v in value.items()}
    return HOSTILE if isinstance(value, str) else value


def test_names_that_would_be_markup_stay_names(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    r.write_report(path, hostile(full()))
    text = path.read_text(encoding="utf-8")
    tags = Parsed(text).tags
    assert not {t for t, _ in tags} & {"script", "img"}
    assert not [a for _, a in tags if any(name.startswith("on") for name in a)]
    assert "&lt;script&gt;" in text
    assert "\x00" not in text


def test_only_a_web_address_becomes_a_link() -> None:
    bad = r.DataSource(title="Example", url="javascript:alert(1)")
    text = page(r.ReportContent(title="x", provenance=provenance(data=(bad,))))
    assert "javascript" not in text


def test_equal_content_gives_equal_bytes(tmp_path: Path, document: str) -> None:
    r.write_report(tmp_path / "a.html", full())
    shuffled = dict(reversed(provenance().versions.items()))
    r.write_report(tmp_path / "b.html", dataclasses.replace(full(), provenance=provenance(versions=shuffled)))
    assert (tmp_path / "a.html").read_bytes() == document.encode() == (tmp_path / "b.html").read_bytes()


@pytest.mark.parametrize(
    "name",
    ["scores", "difference", "gain", "trace", "latency", "scalp", "confusion", "calibration", "certainty", "coherence"],
)
def test_a_part_that_is_none_is_left_out(name: str) -> None:
    empty = r.ReportContent(title="x", provenance=provenance())
    assert 'class="block"' not in page(empty)
    alone = page(dataclasses.replace(empty, **{name: getattr(full(), name)}))
    assert alone.count('class="block"') == 1
    Parsed(alone)


def test_undefined_scores_leave_a_gap() -> None:
    lost = r.ModelScores(model="lost", by_subject=(float("nan"),) * 3, mean=r.Estimate(*[float("nan")] * 3))
    kept = scores()
    some = dataclasses.replace(kept.main, by_subject=(float("nan"), 0.8, 0.85))
    held = dataclasses.replace(kept, models=(some, lost), chance_by_subject=None, n_trials=None)
    text = page(r.ReportContent(title="x", provenance=provenance(), scores=held))
    assert "nan" not in re.sub(r"<style>.*?</style>", "", text, flags=re.S)
    assert held.best_baseline is None
    assert "baseline" not in r.verdict(r.ReportContent(title="x", provenance=provenance(), scores=held))


def sentence(s: r.HeldOutScores, d: r.PairedDifference | None = None) -> str:
    return r.verdict(r.ReportContent(title="x", provenance=provenance(), task="left vs right", scores=s, difference=d))


def test_the_verdict_names_chance_and_the_best_baseline() -> None:
    numbers = "balanced accuracy 0.86 (chance 0.50, best baseline 0.84 by tangent space)"
    assert sentence(scores()) == f"The adapted model decodes left vs right on people it never saw: {numbers}."


def test_the_verdict_claims_no_more_than_the_intervals_carry() -> None:
    assert "no clear difference" in sentence(scores(), difference(0.02, 0.03))
    assert "better by 0.020" in sentence(scores(), difference(0.02))
    assert "worse by 0.020" in sentence(scores(), difference(-0.02))
    assert "does not decode left vs right above chance" in sentence(scores(model=0.54))
    assert "by shuffled labels up to 0.55" in sentence(scores(model=0.54))


def test_a_mean_above_the_band_whose_own_interval_reaches_chance_is_not_above_chance() -> None:
    wide = dataclasses.replace(scores().main, mean=r.Estimate(0.6, 0.48, 0.7))
    assert "does not decode" in sentence(scores(models=(wide,)))


def test_content_that_does_not_fit_together_is_refused() -> None:
    with pytest.raises(DataError, match="'tangent space' has 3 scores for 2 groups. Allowed: 2 scores"):
        scores(subjects=("S1", "S2"))
    with pytest.raises(DataError, match="not finite"):
        scores(chance=r.Estimate(0.5, float("nan"), 0.6))
    with pytest.raises(DataError, match=r"counts of shape \(2, 3\) for 2 classes"):
        r.Confusion(classes=("a", "b"), counts=np.zeros((2, 3)))
    with pytest.raises(DataError, match=r"Allowed: \(3, 2\): times by classes"):
        r.DecisionTrace(title="x", classes=("a", "b"), time_s=np.arange(3), probability=np.zeros((2, 3)))
    with pytest.raises(DataError, match="missing, zero or negative"):
        r.Latency(seconds=np.array([1e-3, 0.0]), step="x")
    with pytest.raises(DataError, match="validation without its steps"):
        r.LearningCurve(name="x", step=np.arange(2), loss=np.arange(2), validation=np.arange(2))


def test_a_large_report_stays_below_the_limit() -> None:
    rng = np.random.default_rng(1)
    n, time = 109, np.arange(0, 1800, 0.04)
    names = tuple(f"S{i:03d}" for i in range(n))
    models = tuple(
        r.ModelScores(
            model=f"m{i}",
            by_subject=tuple(rng.uniform(0.4, 1, n)),
            mean=r.Estimate(0.7, 0.6, 0.8),
            role="baseline" if i else "model",
        )
        for i in range(5)
    )
    p = rng.uniform(size=(len(time), 4))
    steps = np.arange(5000)
    curves = tuple(r.LearningCurve(name=f"fold {i}", step=steps, loss=rng.normal(size=5000)) for i in range(20))
    content = r.ReportContent(
        title="x",
        provenance=provenance(),
        scores=r.HeldOutScores(subjects=names, models=models, chance=r.Estimate(0.5, 0.45, 0.55)),
        trace=r.DecisionTrace(title="x", classes=("a", "b", "c", "d"), time_s=time, probability=p),
        latency=r.Latency(seconds=rng.lognormal(size=100_000), step="x"),
        learning=(r.LearningCurves(title="x", curves=curves),),
    )
    assert len(page(content).encode()) < 1_000_000


def test_the_package_is_light_to_import() -> None:
    heavy = "{'matplotlib', 'torch', 'mne', 'scipy', 'rich', 'sklearn'}"
    code = f"import sys, neural_foundation.evaluation.report; print(sorted({heavy} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
