import numpy as np
import pytest

from neural_foundation.models.layers.probe import PENALTIES, probe


def blobs(n: int, n_features: int, seed: int = 0, distance: float = 2.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = np.arange(n) % 3
    centres = np.random.default_rng(99).standard_normal((3, n_features)) * distance / n_features**0.5
    return centres[target] + rng.standard_normal((n, n_features)), target, np.repeat(np.arange(n // 10), 10)


def test_scores_are_those_of_ridge_regression() -> None:
    from sklearn.linear_model import Ridge

    x, y, group = blobs(120, 7)
    made = probe([x], y, group, 3)
    ridge = Ridge(alpha=made.penalty * x.shape[1]).fit(x, np.eye(3)[y])
    scores, expected = x @ made.weight.T + made.bias, ridge.predict(x)
    slope = np.polyfit(expected.ravel(), scores.ravel(), 1)
    np.testing.assert_allclose(scores, np.polyval(slope, expected), atol=1e-9)


@pytest.mark.parametrize("n_features", [5, 400])
def test_it_decides_on_new_groups(n_features: int) -> None:
    x, y, group = blobs(150, n_features, distance=12.0)
    made = probe([x], y, group, 3)
    x, y, _ = blobs(300, n_features, seed=1, distance=12.0)
    assert np.mean((x @ made.weight.T + made.bias).argmax(1) == y) > 0.8


def test_noise_is_shrunk_to_the_strongest_penalty_and_signal_is_not() -> None:
    rng = np.random.default_rng(0)
    _, y, group = blobs(120, 50)
    noise = probe([rng.standard_normal((120, 50))], y, group, 3)
    x, y, group = blobs(120, 50, distance=20.0)
    signal = probe([x], y, group, 3)
    assert noise.penalty >= PENALTIES[-5]
    assert signal.penalty < noise.penalty


def test_penalty_is_chosen_over_whole_groups() -> None:
    # the features name the group, and the class is the same within one: only leaving groups out shows it useless
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(20), 10)
    y = np.repeat(rng.permutation(np.arange(20) % 2), 10)
    x = rng.standard_normal((20, 30))[group] * 5 + 0.1 * rng.standard_normal((200, 30))
    assert probe([x], y, group, 2).penalty > probe([x], y, np.arange(200), 2).penalty


def test_one_subject_is_left_out_in_blocks_of_time() -> None:
    x, y, _ = blobs(90, 6, distance=6.0)
    made = probe([x], y, np.zeros(90), 3)
    assert np.isfinite(made.weight).all()
    assert np.mean((x @ made.weight.T + made.bias).argmax(1) == y) > 0.8


def test_offsets_of_features_do_not_matter() -> None:
    x, y, group = blobs(90, 6)
    a, b = probe([x], y, group, 3), probe([x + 1000.0], y, group, 3)
    np.testing.assert_allclose(a.weight, b.weight, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(x @ a.weight.T + a.bias, (x + 1000.0) @ b.weight.T + b.bias, atol=1e-6)


def test_a_block_of_noise_is_left_out() -> None:
    x, y, group = blobs(120, 6, distance=8.0)
    noise = np.random.default_rng(0).standard_normal((120, 200))
    made = probe([noise, x], y, group, 3)
    assert made.used == (1,)
    assert (made.weight[:, :200] == 0).all()
    assert (made.weight[:, 200:] != 0).all()
    alone = probe([x], y, group, 3)
    np.testing.assert_allclose(made.weight[:, 200:], alone.weight)
    np.testing.assert_allclose(made.bias, alone.bias)


def test_two_blocks_that_know_different_things_are_both_used() -> None:
    rng = np.random.default_rng(0)
    y, group = np.arange(240) % 4, np.repeat(np.arange(24), 10)
    first, second = (np.where(bit[:, None] > 0, 2.0, -2.0) + rng.standard_normal((240, 5)) for bit in (y % 2, y // 2))
    made = probe([first, second], y, group, 4)
    assert made.used == (0, 1)
    score = np.concatenate([first, second], 1) @ made.weight.T + made.bias
    assert np.mean(score.argmax(1) == y) > 0.95


def test_blocks_weigh_the_same_however_many_features_they_have() -> None:
    x, y, group = blobs(120, 6, distance=5.0)
    z = blobs(120, 6, seed=3, distance=5.0)[0]
    narrow, wide = probe([x, z], y, group, 3), probe([np.repeat(x, 20, axis=1), z], y, group, 3)
    at_x = narrow.weight[:, :6], wide.weight[:, :120].reshape(3, 6, 20).sum(2)
    np.testing.assert_allclose(*at_x, rtol=1e-6, atol=1e-9)


def test_one_group_judges_blocks_by_stretches_of_its_time() -> None:
    x, y, _ = blobs(150, 6, distance=8.0)
    taken = 0
    for seed in range(10):
        noise = np.random.default_rng(seed).standard_normal((150, 100))
        taken += probe([x, noise], y, np.zeros(150), 3).used != (0,)
    assert taken <= 2


def test_shares_of_one_class_are_that_class() -> None:
    x, y, group = blobs(120, 7)
    for hard, soft in zip(probe([x], y, group, 3)[:2], probe([x], np.eye(3)[y], group, 3)[:2], strict=True):
        np.testing.assert_array_equal(hard, soft)


def test_where_experts_disagree_it_is_less_sure() -> None:
    x, y, group = blobs(150, 20, distance=12.0)
    shares = 0.4 * np.eye(3)[y] + 0.2

    def mean_confidence(said: np.ndarray) -> float:
        made = probe([x], said, group, 3)
        logits = x @ made.weight.T + made.bias
        return float((np.exp(logits).max(1) / np.exp(logits).sum(1)).mean())

    assert mean_confidence(shares) == pytest.approx(0.6, abs=0.07)
    assert mean_confidence(y) > 0.8
