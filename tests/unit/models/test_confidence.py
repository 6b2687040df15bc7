from __future__ import annotations

import json
import timeit
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.special import log_softmax, softmax
from small_package import RAW, make, signal

from neural_foundation.core.errors import DataError, PackageError, SpecError
from neural_foundation.core.lineage import Output
from neural_foundation.core.specs import TargetSpec
from neural_foundation.core.store import write_json
from neural_foundation.core.stream import Chunk
from neural_foundation.metrics import coverage, fit_temperature, log_loss
from neural_foundation.models.band_power import BandPower
from neural_foundation.models.confidence import Confidence, Earlier, fit_confidence, fit_earlier
from neural_foundation.models.package import GRAPH, Facts, Package, with_confidence
from neural_foundation.models.packed import WEIGHTS
from neural_foundation.pipeline.stage import Job
from neural_foundation.pipeline.stages.export import Export
from neural_foundation.recordings import Intervals, write_session
from neural_foundation.sampling.windows import Windows, labelled

SURE = Confidence(temperature=2.0, thresholds=(0.6,), abstain="set", people=3, windows=90)


def drawn(n: int, k: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities that are too sure (their logits doubled), targets from the right ones, and ten people."""
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.standard_normal((n, k))
    target = (softmax(logits, 1).cumsum(1) > rng.random((n, 1))).argmax(1)
    return softmax(2 * logits, 1), target, np.arange(n) % 10


class TestApply:
    @pytest.mark.parametrize("n", [1, 7])
    @pytest.mark.parametrize("k", [2, 5])
    def test_it_is_the_softmax_of_the_logits_over_the_temperature(self, n: int, k: int) -> None:
        p = drawn(n, k)[0].T
        made = SURE.apply(p)[0]
        np.testing.assert_allclose(made, softmax(np.log(p) / 2, 0))
        np.testing.assert_array_equal(made.argmax(0), p.argmax(0))

    def test_columns_do_not_depend_on_each_other(self) -> None:
        p = drawn(20)[0].T
        for score in ("lac", "aps"):
            c = SURE.model_copy(update={"score": score, "thresholds": (0.5, 0.6, 0.7)})
            whole = c.apply(p)
            for i in range(20):
                for a, b in zip(whole, c.apply(p[:, i : i + 1]), strict=True):
                    np.testing.assert_allclose(a[..., i], b[..., 0])

    def test_temperature_one_leaves_the_probabilities(self) -> None:
        p = drawn(5)[0].T
        np.testing.assert_array_equal(Confidence().apply(p)[0], p)

    @pytest.mark.parametrize(
        ("abstain", "silent"), [("never", [False] * 3), ("set", [False, True, True]), ("risk", [False, False, True])]
    )
    def test_when_it_stays_silent(self, abstain: str, silent: list[bool]) -> None:
        p = np.array([[0.9, 0.7, 0.5], [0.1, 0.3, 0.5]])
        c = Confidence(thresholds=(0.75,), abstain=abstain, least=0.6)
        _, sets, abstained = c.apply(p)
        np.testing.assert_array_equal(sets, [[True, True, True], [False, True, True]])
        np.testing.assert_array_equal(abstained, silent)

    def test_an_empty_set_is_silence(self) -> None:
        _, sets, abstained = Confidence(thresholds=(0.3,), abstain="set").apply(np.array([[0.5], [0.5]]))
        assert not sets.any()
        assert abstained.all()

    def test_thresholds_by_class(self) -> None:
        c = Confidence(thresholds=(0.2, 0.9))
        np.testing.assert_array_equal(c.apply(np.array([[0.7], [0.3]]))[1], [[False], [True]])
        later = c.model_copy(update={"thresholds": (0.4, 0.1)})
        np.testing.assert_array_equal(later.apply(np.array([[0.7], [0.3]]))[1], [[True], [False]])

    @pytest.mark.parametrize("abstain", ["set", "risk"])
    def test_what_is_not_known_is_not_decided(self, abstain: str) -> None:
        p, sets, abstained = SURE.model_copy(update={"abstain": abstain}).apply(np.full((2, 1), np.nan))
        assert np.isnan(p).all()
        assert not sets.any()
        assert abstained.all()

    def test_a_class_that_was_ruled_out_stays_finite(self) -> None:
        p = SURE.apply(np.array([[1.0], [0.0]]))[0]
        assert np.isfinite(p).all()
        assert p.sum() == pytest.approx(1)

    def test_float32_stays_float32(self) -> None:
        assert SURE.apply(drawn(3)[0].T.astype(np.float32))[0].dtype == np.float32

    def test_one_decision_is_quick(self) -> None:
        p = np.array([[0.2], [0.8]])
        best = min(timeit.repeat(lambda: SURE.apply(p), number=500, repeat=7)) / 500
        assert best < 100e-6, "meant: under 10 us; ten times that only on a machine that does something else"


def going_on(n: int = 1500, tokens: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Evidence that grows with the square root of time, decisions that are as bold at once."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 2, n)
    steps = rng.standard_normal((n, tokens)) + 0.35 * (2 * target - 1)[:, None]
    logit = 8 * steps.cumsum(1) / (1 + np.arange(tokens))
    return softmax(np.stack([-logit / 2, logit / 2], 2), 2), 0.25 * (1 + np.arange(tokens)), target, np.arange(n) % 30


@pytest.fixture(scope="module")
def fitted() -> Confidence:
    along, age_s, target, people = going_on()
    last = fit_confidence(along[:, -1], target, people)
    return last.model_copy(update={"earlier": fit_earlier(along, age_s, target, people, moments=3)})


class TestEarlier:
    def test_moments_end_between_their_last_token_and_the_next(self, fitted: Confidence) -> None:
        assert [m.until_s for m in fitted.earlier] == [1.125, 2.125, 2.875]  # the last token, at 3 s, is the end
        assert all(a.confidence.temperature > b.confidence.temperature for a, b in pairwise(fitted.earlier))
        assert fitted.earlier[-1].confidence.temperature > fitted.temperature

    def test_each_moment_is_covered_where_one_confidence_is_not(self, fitted: Confidence) -> None:
        along, age_s, target, _ = going_on(seed=1)
        held, held_at_end = [], []
        for i, age in enumerate(age_s):
            p = along[:, i].T
            held.append(fitted.apply(p, age)[1][target, np.arange(len(target))].mean())
            held_at_end.append(fitted.apply(p)[1][target, np.arange(len(target))].mean())
        assert min(held[1:]) > 0.86
        assert held_at_end[0] < 0.75
        assert held[-1] == held_at_end[-1]

    def test_ages_choose_the_moment(self, fitted: Confidence) -> None:
        p = np.array([[0.3], [0.7]])
        for age, i in ((0.01, 0), (1.0, 0), (1.13, 1), (2.75, 2)):
            np.testing.assert_array_equal(fitted.apply(p, age)[0], fitted.earlier[i].confidence.apply(p)[0])
        for age in (None, 2.9, 3.0, 100.0):
            np.testing.assert_array_equal(fitted.apply(p, age)[0], fitted.apply(p)[0])

    def test_many_at_once_are_as_one_by_one(self, fitted: Confidence) -> None:
        p, age_s = drawn(40, 2)[0].T, np.linspace(0.1, 4, 40)
        many = fitted.apply(p, age_s)
        for i in range(40):
            for a, b in zip(many, fitted.apply(p[:, i : i + 1], age_s[i : i + 1]), strict=True):
                np.testing.assert_allclose(a[..., i], b[..., 0])

    def test_a_moment_that_cannot_keep_the_risk_is_silent(self) -> None:
        along, age_s, target, people = going_on()
        made = fit_earlier(along, age_s, target, people, moments=12, abstain="risk", risk=0.01)
        assert made[0].confidence.least == 2
        assert made[-1].confidence.least < 1

    def test_it_goes_through_json(self, fitted: Confidence) -> None:
        assert Confidence.model_validate(json.loads(json.dumps(fitted.model_dump(mode="json")))) == fitted

    def test_a_window_of_one_token_has_nothing_earlier(self) -> None:
        along, _, target, people = going_on(tokens=1)
        assert fit_earlier(along, np.array([0.25]), target, people, moments=3) == ()


class TestFit:
    def test_the_temperature_is_that_of_the_likelihood(self) -> None:
        p, target, people = drawn(4000)
        found = fit_confidence(p, target, people)
        assert found.temperature == pytest.approx(fit_temperature(log_softmax(np.log(p), 1), target))
        assert found.temperature == pytest.approx(2, abs=0.15)
        assert (found.people, found.windows, found.unit) == (10, 4000, "window")
        assert log_loss(target, found.apply(p.T)[0].T) < log_loss(target, p)

    def test_people_count_alike(self) -> None:
        p, target, _ = drawn(300)
        people = np.r_[np.zeros(100), np.ones(200)]
        once = fit_confidence(p, target, people).temperature
        often = fit_confidence(np.r_[p, p[:100]], np.r_[target, target[:100]], np.r_[people, np.zeros(100)])
        assert often.temperature == pytest.approx(once)

    @pytest.mark.parametrize("score", ["lac", "aps"])
    @pytest.mark.parametrize("unit", ["window", "person"])
    @pytest.mark.parametrize("per_class", [False, True])
    def test_new_windows_are_covered(self, score: Any, unit: Any, per_class: bool) -> None:
        p, target, people = drawn(4000)
        c = fit_confidence(p[:2000], target[:2000], people[:2000], score=score, unit=unit, per_class=per_class)
        assert len(c.thresholds) == (3 if per_class else 1)
        _, sets, _ = c.apply(p[2000:].T)
        share = coverage(sets.T, target[2000:])
        # ten people are hardly enough for one who is missed of ten: their sets are larger
        assert share == pytest.approx(0.9, abs=0.02) if unit == "window" else share > 0.88

    def test_for_two_classes_the_sets_do_not_depend_on_the_temperature(self) -> None:
        p, target, people = drawn(500, 2)
        sharper = softmax(3 * np.log(p), 1)
        made = [fit_confidence(x, target, people).apply(x.T)[1] for x in (p, sharper)]
        np.testing.assert_array_equal(*made)

    def test_risk_is_kept(self) -> None:
        p, target, people = drawn(4000)
        c = fit_confidence(p[:2000], target[:2000], people[:2000], abstain="risk", risk=0.15)
        _, _, silent = c.apply(p[2000:].T)
        wrong = p[2000:].argmax(1) != target[2000:]
        assert wrong.mean() > 0.3
        assert wrong[~silent].mean() == pytest.approx(0.15, abs=0.03)

    def test_where_no_threshold_keeps_the_risk_it_is_never_sure(self) -> None:
        c = fit_confidence(*drawn(40), abstain="risk", risk=0.01)
        assert c.least == 2
        assert c.apply(np.array([[1.0], [0.0], [0.0]]))[2].all()

    def test_several_decisions_a_window_count_as_one_window(self) -> None:
        p, target, people = drawn(200)
        for abstain in ("set", "risk"):
            one = fit_confidence(p, target, people, abstain=abstain, risk=0.3)
            same = fit_confidence(np.repeat(p[:, None], 5, 1), target, people, abstain=abstain, risk=0.3)
            assert same.least == pytest.approx(one.least)
            assert same.model_copy(update={"temperature": one.temperature, "least": one.least}) == one
            assert same.temperature == pytest.approx(one.temperature)
        assert 0 < one.least < 1

    def test_one_lucky_window_of_many_tokens_is_one_window(self) -> None:
        sure = np.full((40, 30, 2), 0.5)
        sure[0] = [0.93, 0.07]
        target = np.r_[0, np.arange(39) % 2]
        sure[1:, :, 0] += 0.01 * (2 * target[1:, None] - 1)  # all others are wrong, and unsure
        sure[1:, :, 1] = 1 - sure[1:, :, 0]
        c = fit_confidence(sure, target, np.arange(40) % 4, abstain="risk", risk=0.1)
        assert c.least == 2, "one window cannot keep a risk of 0.1, however often it speaks"
        assert c.apply(np.array([[1.0], [0.0]]))[2].all()

    @pytest.mark.parametrize(
        ("n", "options", "message"),
        [
            (8, {}, "8 calibration windows cannot promise sets that miss 0.1 at most. Allowed: 9 or more. Keep"),
            (40, {"unit": "person", "alpha": 0.05}, "10 calibration people .* Allowed: 19 or more.*unit: window"),
            (20, {"per_class": True}, "9 or more of each class"),
        ],
    )
    def test_too_few(self, n: int, options: dict[str, Any], message: str) -> None:
        with pytest.raises(DataError, match=message):
            fit_confidence(*drawn(n), **options)

    def test_round_trip_is_exact(self) -> None:
        c = fit_confidence(*drawn(200))
        assert Confidence.model_validate(json.loads(json.dumps(c.model_dump(mode="json")))) == c

    @pytest.mark.parametrize("field", [{"temperature": 0}, {"alpha": 1}, {"thresholds": ()}, {"thresholds": (1.5,)}])
    def test_values_that_make_no_sense(self, field: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            Confidence(**field)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """A package whose step graph is any bytes: nothing here runs it."""
    folder = tmp_path_factory.mktemp("package")
    made = make(folder, export=False)
    (folder / GRAPH).write_bytes(b"a graph")
    return made


def decided(package: Package, probability: np.ndarray, age_s: float) -> str | None:
    """Return the class that is decided on probabilities (n_classes, 1), `age_s` seconds after the trial's start."""
    p, sets, silent = package.facts.confidence.apply(probability, age_s)
    return None if silent[0] else package.facts.target.classes[p[:, 0].argmax()]


class TestPackage:
    def test_a_decision_or_none(self, package: Package, tmp_path: Path) -> None:
        early = Earlier(until_s=1.0, confidence=Confidence(thresholds=(0.9,), abstain="set"))
        made = with_confidence(package, tmp_path, SURE.model_copy(update={"earlier": (early,)}))
        sure, unsure = np.array([[0.15], [0.85]]), np.array([[0.5], [0.5]])
        assert decided(made, sure, 0.5) is None
        assert decided(made, sure, 1.5) == decided(made, sure, 2.0) == "right"
        assert decided(made, unsure, 2.0) is None

    def test_without_a_confidence_nothing_of_it_is_written(self, tmp_path: Path) -> None:
        made = make(tmp_path, export=False)
        whole = json.loads((tmp_path / "package.json").read_text())
        assert set(whole) == set(Facts.model_fields) - {"confidence", "span_s"}
        assert made.facts.confidence is None
        assert "Confidence" not in (tmp_path / "card.md").read_text()

    def test_weights_and_graph_stay_byte_for_byte(self, package: Package, tmp_path: Path) -> None:
        made = with_confidence(package, tmp_path, SURE, name="sure")
        again = Package.open(tmp_path)
        assert again.facts == made.facts
        assert again.facts.confidence == SURE
        assert again.facts.model_copy(update={"confidence": None, "name": "adapt"}) == package.facts
        for name in (WEIGHTS, GRAPH):
            assert (tmp_path / name).read_bytes() == (package.folder / name).read_bytes()

    def test_the_card_says_how_sure_it_may_be(self, package: Package, tmp_path: Path) -> None:
        with_confidence(package, tmp_path, SURE)
        text = (tmp_path / "card.md").read_text()
        for words in ("temperature 2.00", "in 90% of windows", "exactly one class", "3 people (90 windows)"):
            assert words in text
        assert f"{sum(a.size for a in package.arrays().values()):,} learned numbers" in text

    def test_probabilities_are_left_to_whoever_applies_it(self, package: Package, tmp_path: Path) -> None:
        made = with_confidence(package, tmp_path, SURE)
        windows = np.random.default_rng(0).standard_normal((2, 3, 200)).astype(np.float32)
        np.testing.assert_array_equal(made.predict_proba(windows), package.predict_proba(windows))

    def test_decisions_along_a_window_end_with_its_decision(self, package: Package, tmp_path: Path) -> None:
        write_session(
            tmp_path / "s.h5",
            session_id="s",
            subject="S1",
            spec=RAW,
            chunks=[Chunk.of(signal(1000))],
            trials=Intervals(np.array([1.0, 5.0]), np.array([4.0, 8.0]), ("left", "right")),
        )
        windows = labelled([tmp_path / "s.h5"], package.facts.windows, ("left", "right"))
        along, age_s = package.decide_along(windows)
        np.testing.assert_array_equal(along[:, -1], package.decide(windows))
        assert age_s[-1] == pytest.approx(package.facts.windows.length_s)
        assert along.shape == (2, len(age_s), 2)
        np.testing.assert_allclose(np.diff(age_s), age_s[0])

    def test_an_estimator_has_no_decisions_along_a_window(self, tmp_path: Path) -> None:
        facts = Facts(model=BandPower(), raw=RAW, signal=RAW, target=TargetSpec(classes=("a", "b")), windows=Windows())
        with pytest.raises(PackageError, match="decides on whole windows"):
            Package(tmp_path, facts).decide_along(None)  # type: ignore[arg-type]

    def test_thresholds_are_of_its_classes(self, package: Package, tmp_path: Path) -> None:
        three = SURE.model_copy(update={"thresholds": (0.1, 0.2, 0.3)})
        with pytest.raises(SpecError, match="3 thresholds for 2 classes"):
            with_confidence(package, tmp_path, three)
        with_confidence(package, tmp_path, SURE)
        value = json.loads((tmp_path / "package.json").read_text())
        value["confidence"]["thresholds"] = [0.1, 0.2, 0.3]
        (tmp_path / "package.json").write_text(json.dumps(value))
        with pytest.raises(PackageError, match="3 thresholds for 2 classes"):
            Package.open(tmp_path)

    def test_what_has_no_classes_has_no_confidence(self) -> None:
        facts: dict[str, Any] = {"model": BandPower(), "raw": RAW, "signal": RAW, "windows": Windows()}
        with pytest.raises(ValidationError, match="1 thresholds for 0 classes"):
            Facts(**facts, confidence=SURE)
        assert Facts(**facts, target=TargetSpec(classes=("a", "b")), confidence=SURE).confidence == SURE

    def test_export_keeps_it(self, package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The stage's own work; the graph itself is made as for any package."""
        from neural_foundation.export import parity, step_graph

        graph = SimpleNamespace(path=tmp_path, hop=4, n_chans=3, n_nodes=9)
        monkeypatch.setattr(parity, "step_parity", lambda network, path: {})
        monkeypatch.setattr(step_graph, "export_step", lambda network, path, tokens: graph)
        source, made = tmp_path / "sure", tmp_path / "made"
        with_confidence(package, source, SURE)
        write_json(source / "fold.json", {"name": "0", "train": []})
        made.mkdir()
        Export().run(Job("export", {}, 0, made, {"model": [Output("sure", "", "key", source)]}))
        assert Package.open(made).facts.confidence == SURE
        assert (made / "card.md").read_bytes() == (source / "card.md").read_bytes()
