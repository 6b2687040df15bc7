from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import pytest

from neural_foundation.core.errors import DataError, StoreError
from neural_foundation.core.store import save_arrays
from neural_foundation.evaluation.scores import Predictions, score
from neural_foundation.metrics import balanced_accuracy


def predictions(model: str, skill: float, *, seed: int = 0, run: int = 0, n_subjects: int = 6) -> Predictions:
    """Each subject: two sessions, ten trials each, two windows a trial; right with probability `skill`."""
    rng = np.random.default_rng(seed)
    n = n_subjects * 40
    trial = np.tile(np.repeat(np.arange(10), 2), 2 * n_subjects)
    target = (trial + 1) % 2
    right = rng.random(n) < skill
    confidence = rng.uniform(0.5, 1, n)
    probability = np.where((right == (target == 1))[:, None], [[0, 1]], [[1, 0]]) * (2 * confidence - 1)[:, None]
    return Predictions(
        model,
        probability + (1 - confidence)[:, None],
        target,
        np.repeat([f"s{i}" for i in range(n_subjects)], 40),
        np.tile(np.repeat(["a", "b"], 20), n_subjects),
        trial,
        np.repeat(np.arange(n_subjects), 40) % 3,
        np.full(n, run),
    )


def test_round_trip_is_exact_and_repeatable(tmp_path):
    made = predictions("net", 0.8)
    made.save(tmp_path / "a.npz")
    made.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    back = Predictions.load(tmp_path / "a.npz")
    assert back.model == "net"
    for f in fields(made):
        np.testing.assert_array_equal(getattr(back, f.name), getattr(made, f.name))


def test_other_files_are_refused(tmp_path):
    save_arrays(tmp_path / "x.npz", {"weights": np.zeros(2)})
    with pytest.raises(StoreError, match="holds 'weights', not predictions"):
        Predictions.load(tmp_path / "x.npz")
    with pytest.raises(StoreError, match="missing"):
        Predictions.load(tmp_path / "y.npz")


def test_scores_are_json_and_those_of_the_definitions():
    net = predictions("net", 0.8)
    found = score([net, predictions("chance", 0.5, seed=1)], ["rest", "task"], 0, baselines=["chance"])
    json.dumps(found, allow_nan=False)
    entry = found["models"]["net"]
    said = net.probability.argmax(1)
    expected = {
        s: balanced_accuracy(net.target[net.subject == s], said[net.subject == s]) for s in np.unique(net.subject)
    }
    assert entry["subjects"] == pytest.approx(expected)
    assert entry["balanced_accuracy"]["mean"] == pytest.approx(np.mean(list(expected.values())))
    assert entry["balanced_accuracy"]["sd_subjects"] == pytest.approx(np.std(list(expected.values()), ddof=1))
    assert entry["balanced_accuracy"]["low"] < entry["balanced_accuracy"]["mean"] < entry["balanced_accuracy"]["high"]
    assert np.sum(entry["confusion"]) == found["n_windows"] == 240
    assert found["n_subjects"] == 6
    assert entry["chance"]["mean"] == pytest.approx(0.5, abs=0.01)
    assert 0.5 < entry["chance"]["level_95"] < entry["balanced_accuracy"]["mean"]
    alone = entry["chance"]["subjects"]
    assert list(alone) == [f"s{i}" for i in range(6)]
    # one subject's chance spreads by the root of six more than the mean of six
    spread = np.mean([c["level_95"] - c["mean"] for c in alone.values()])
    assert spread == pytest.approx(np.sqrt(6) * (entry["chance"]["level_95"] - entry["chance"]["mean"]), rel=0.25)


def test_the_best_baseline_is_the_measure():
    models = [predictions(m, s, seed=i) for i, (m, s) in enumerate([("net", 0.9), ("weak", 0.5), ("strong", 0.75)])]
    found = score(models, ["a", "b"], 0, baselines=["weak", "strong"], permutations=20)
    assert found["best_baseline"] == "strong"
    assert found["models"]["strong"]["difference"] is None
    difference = found["models"]["net"]["difference"]
    means = {m: found["models"][m]["balanced_accuracy"]["mean"] for m in ("net", "strong")}
    assert difference["against"] == "strong"
    assert difference["mean"] == pytest.approx(means["net"] - means["strong"])
    assert 0 < difference["low"] < difference["mean"] < difference["high"]
    assert found["models"]["weak"]["difference"]["high"] < 0


def test_trials_average_their_windows():
    net = predictions("net", 0.8)
    found = score([net], ["a", "b"], 0, permutations=20)["models"]["net"]
    keys = list(zip(net.subject, net.session, net.trial, strict=True))
    right = {k: [] for k in keys}
    for k, p, t in zip(keys, net.probability, net.target, strict=True):
        right[k].append(p[t])
    # balanced classes in every subject: the mean over subjects is the share of right trials
    assert found["trial_balanced_accuracy"] == pytest.approx(np.mean([np.mean(v) > 0.5 for v in right.values()]))


def test_seeds_are_averaged_before_subjects_are_compared():
    a, b = predictions("net", 0.7, seed=0, run=0), predictions("net", 0.9, seed=1, run=1)
    found = score([Predictions.join([a, b])], ["a", "b"], 0, permutations=50)["models"]["net"]
    alone = [score([p], ["a", "b"], 0, permutations=50)["models"]["net"] for p in (a, b)]
    means = [e["balanced_accuracy"]["mean"] for e in alone]
    assert found["balanced_accuracy"]["mean"] == pytest.approx(np.mean(means))
    assert found["balanced_accuracy"]["sd_seeds"] == pytest.approx(np.std(means, ddof=1))
    assert found["balanced_accuracy"]["n_seeds"] == 2
    assert alone[0]["balanced_accuracy"]["sd_seeds"] is None


def test_order_of_windows_changes_nothing():
    net = predictions("net", 0.8)
    order = np.random.default_rng(0).permutation(240)
    a, b = (score([p], ["a", "b"], 0, permutations=50)["models"]["net"] for p in (net, net.pick(order)))
    assert a["subjects"] == b["subjects"]
    assert a["confusion"] == b["confusion"]
    assert a["trial_balanced_accuracy"] == b["trial_balanced_accuracy"]


def test_refusals():
    net = predictions("net", 0.8)
    with pytest.raises(DataError, match="other windows"):
        score([net, predictions("b", 0.5, n_subjects=5)], ["a", "b"], 0)
    with pytest.raises(DataError, match="each of another model"):
        score([net, net], ["a", "b"], 0)
    with pytest.raises(DataError, match="gives 2 classes. Allowed: 3"):
        score([net], ["a", "b", "c"], 0)
    with pytest.raises(DataError, match="Did you mean 'net'"):
        score([net], ["a", "b"], 0, baselines=["nat"])
    part = replace(net, seed=np.full(240, 1)).pick(np.arange(200))
    with pytest.raises(DataError, match="not tested on subject 's5' with seed 1"):
        score([Predictions.join([net, part])], ["a", "b"], 0)
    with pytest.raises(DataError, match="unequal lengths"):
        replace(net, trial=np.zeros(3, int))
    with pytest.raises(DataError, match="predicted nothing"):
        net.pick(np.zeros(0, int))
    with pytest.raises(DataError, match="cannot be joined"):
        Predictions.join([net, predictions("other", 0.5)])
