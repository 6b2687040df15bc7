from __future__ import annotations

import numpy as np
import pytest

from neural_foundation.core.errors import SpecError
from neural_foundation.core.specs import SignalSpec, TargetSpec, digest, identity
from neural_foundation.models.riemann import band_signals
from neural_foundation.models.table import MODELS
from neural_foundation.models.tangent_space import TangentSpace

SIGNAL = SignalSpec(sfreq=128.0, ch_names=("a", "b", "c", "d"))
TARGET = TargetSpec(classes=("x", "y"))


def windows(n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = np.arange(n) % 2
    scale = np.where(target[:, None] == 0, [[1.0, 1.4, 1, 1]], [[1.4, 1.0, 1, 1]])
    signal = scale[..., None] * rng.normal(size=(n, 4, 256))
    return signal.astype(np.float32), target, np.array([f"s{i % 6}" for i in range(n)])


@pytest.mark.slow
@pytest.mark.parametrize("shrinkage", ["oas", "lwf"])
def test_equals_the_pyriemann_pipeline(shrinkage):
    from pyriemann.estimation import Covariances
    from pyriemann.tangentspace import TangentSpace as Reference
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    signal, target, subject = windows()
    spec = TangentSpace(bands=(), shrinkage=shrinkage, unit_scale=False, c=0.1)
    ours = spec.estimator(SIGNAL, TARGET).fit(signal, target, subject)
    theirs = make_pipeline(
        Covariances(shrinkage),
        Reference(metric="riemann"),
        StandardScaler(),
        LogisticRegression(C=0.1, class_weight="balanced", tol=1e-6, max_iter=5000),
    ).fit(signal.astype(np.float64), target)
    test = windows(30, seed=1)[0]
    np.testing.assert_allclose(ours.predict_proba(test), theirs.predict_proba(test.astype(np.float64)), atol=1e-5)


def test_covariances_of_bands_are_those_of_the_cut_signals():
    signal = windows(4)[0]
    spec = TangentSpace(bands=((8, 12), (16, 24)), shrinkage=0.0, unit_scale=False)
    found = spec.estimator(SIGNAL, TARGET).covariances(signal)
    assert found.shape == (2, 4, 4, 4)
    expected = [np.cov(w, bias=True) for w in band_signals(signal, 128.0, 16, 24)]
    np.testing.assert_allclose(found[1], expected, rtol=1e-5, atol=1e-9)


def test_unit_scale_forgets_gain():
    signal, target, subject = windows()
    estimator = TangentSpace(bands=((4, 30),), c=0.1).estimator(SIGNAL, TARGET).fit(signal, target, subject)
    np.testing.assert_allclose(estimator.predict_proba(signal * 1e-5), estimator.predict_proba(signal), atol=1e-4)
    raw = TangentSpace(unit_scale=False, c=0.1).estimator(SIGNAL, TARGET).fit(signal, target, subject)
    assert np.abs(raw.predict_proba(signal * 10) - raw.predict_proba(signal)).max() > 0.01


def test_frequencies_keep_their_power_relative_to_each_other():
    """All bands have the same spatial pattern: only the power of one against the other tells the classes apart."""
    rng = np.random.default_rng(0)
    target = np.arange(60) % 2
    hz = np.array([9.0, 15.0])[target][:, None]
    wave = np.sin(2 * np.pi * hz * np.arange(256) / 128 + rng.uniform(0, 6, (60, 1)))
    signal = wave[:, None] * np.ones((1, 4, 1)) + rng.normal(size=(60, 4, 256))
    spec = TangentSpace(frequencies=(9, 15), harmonics=1)
    estimator = spec.estimator(SIGNAL, TARGET).fit(signal[:40], target[:40], np.arange(40) % 4)
    assert np.mean(estimator.predict_proba(signal[40:]).argmax(1) == target[40:]) == 1.0


def test_harmonics_beyond_nyquist_are_left_out():
    assert TangentSpace(frequencies=(25,), harmonics=3).pass_bands(128.0) == ((24.5, 25.5), (49.5, 50.5))


def test_recentring_and_automatic_c_change_the_fit_only():
    signal, target, subject = windows()
    plain = TangentSpace(c=0.1).estimator(SIGNAL, TARGET).fit(signal, target, subject)
    moved = TangentSpace(c=0.1, recentre="subject").estimator(SIGNAL, TARGET).fit(signal, target, subject)
    np.testing.assert_array_equal(plain.state()["reference"], moved.state()["reference"])
    assert not np.allclose(plain.state()["weight"], moved.state()["weight"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"bands": [[30, 70]]},
            "Band 30-70 Hz does not fit a signal of 128 samples a second. Allowed: 0 <= low < high <= 64",
        ),
        ({"bands": [[12, 8]]}, "Band 12-8 Hz"),
        ({"bands": [[8, 12]], "frequencies": [10]}, "both bands and frequencies"),
        ({"frequencies": [80]}, "None of the frequencies.*Allowed: under 63.5 Hz"),
        ({"shrinkage": 1.5}, "less than or equal to 1"),
        ({"shrinkage": "ledoit"}, "shrinkage"),
        ({"c": 0}, "greater than 0"),
        ({"band": []}, "Did you mean 'bands'"),
    ],
)
def test_refusals(given, message):
    with pytest.raises(SpecError, match=message):
        MODELS.parse({"kind": "tangent_space", **given}).estimator(SIGNAL, TARGET)


def test_threads_are_no_part_of_the_key():
    keys = [digest(identity(TangentSpace(**given))) for given in ({}, {"threads": 2}, {"c": 0.1})]
    assert keys[0] == keys[1] != keys[2]
