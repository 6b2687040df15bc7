"""The supervised part of adaptation: a scale and a bias on the logits, learned from feedback.

Shapes: K classes, N kept outcomes. probability = softmax(scale * x + bias), x the logits less their mean over classes.
Outcomes are believed once they agree with the decoder beyond chance: while the fitted scale is not two standard errors
above 0, the logits say nothing about the outcomes, as with feedback that is random or wrong throughout, and the readout
goes back to changing nothing. The scale stays positive and the bias is bounded by a share of what the logits themselves
span, so that no feedback can turn the decoder round: it moves thresholds and confidence, no more.

Fit: the maximum a posteriori of a multinomial logistic regression with K + 1 parameters by Newton steps, priors
scale ~ N(1, 1) and bias ~ N(0, max(1, rms of x)), older outcomes weighing less.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..core.stream import State
from ..models.linear import softmax

Float = NDArray[np.float64]
KEPT = 128  # outcomes
SCALES = (0.2, 5.0)
BELIEVED = 2.0  # standard errors of the scale above 0
MOST_BIAS = 0.5  # of the scaled logits' rms
MOST_STEP = 0.25  # of bias (in that rms) and of the scale's logarithm, an update that is believed
LEAST = 1e-12  # of a probability


def fresh(n_classes: int) -> State:
    """Return the readout that changes nothing."""
    return {
        "scale": 1.0,
        "bias": np.zeros(n_classes),
        "logits": np.zeros((KEPT, n_classes)),
        "right": np.zeros(KEPT, np.int64),
        "sample": np.zeros(KEPT, np.int64),
        "n": 0,
    }


def centred(probability: Float) -> Float:
    """Return the logits (..., K) of probabilities (..., K), less their mean."""
    logits = np.log(np.maximum(probability, LEAST))
    return np.asarray(logits - logits.mean(-1, keepdims=True))


def apply(logits: Float, scale: float, bias: Float) -> Float:
    """Return the probabilities (..., K) of centred logits (..., K) after the readout."""
    return softmax(scale * logits + bias)


def remember(state: State, logits: Float, right: int, sample: int) -> None:
    """Keep an outcome: centred logits (K,), the right class and its raw sample, in place of the oldest."""
    at = state["n"] % KEPT
    state["logits"][at], state["right"][at], state["sample"][at] = logits, right, sample
    state["n"] += 1


def learn(state: State, now: int, memory: float) -> float:
    """Move scale and bias towards the best of the kept outcomes; return the size of the step.

    memory : samples after which an outcome weighs 1 / e.
    """
    n = min(state["n"], KEPT)
    logits, right = state["logits"][:n], state["right"][:n]
    rms = max(float(np.sqrt(np.mean(logits**2))), 1e-6)
    scale, bias, error = fitted(logits, right, np.exp((state["sample"][:n] - now) / memory), rms)
    if scale < BELIEVED * error:
        scale, bias = 1.0, np.zeros_like(bias)
    else:
        low, high = (float(np.log(state["scale"])) + s for s in (-MOST_STEP, MOST_STEP))
        scale = float(np.clip(np.exp(np.clip(np.log(np.clip(scale, *SCALES)), low, high)), *SCALES))
        most = MOST_BIAS * scale * rms
        step = bounded(bounded(bias, most) - state["bias"], MOST_STEP * scale * rms)
        bias = bounded(state["bias"] + step, most)
    moved = float(np.hypot(np.log(scale / state["scale"]), np.linalg.norm(bias - state["bias"])))
    state["scale"], state["bias"] = scale, bias
    return moved


def bounded(vector: Float, largest: float) -> Float:
    """Return the vector, shortened so that no entry is larger than `largest`."""
    return vector * min(1.0, largest / max(float(np.abs(vector).max(initial=0.0)), 1e-300))


def fitted(logits: Float, right: NDArray[np.int64], weight: Float, rms: float) -> tuple[float, Float, float]:
    """Return scale, bias (K,) of mean 0, and the scale's standard error: what explains outcomes best.

    logits (N, K), right (N,), weight (N,), rms of the logits.
    """
    k = logits.shape[1]
    truth = np.eye(k)[right]
    design = np.concatenate([logits[:, :, None], np.broadcast_to(np.eye(k), (len(logits), k, k))], 2)  # (N, K, 1 + K)
    precision = np.concatenate([[1.0], np.full(k, 1 / max(1.0, rms) ** 2)])
    mean = np.eye(1, k + 1)[0]
    w, hessian = mean.copy(), np.diag(precision)

    def loss(w: Float) -> float:
        p = softmax(design @ w)[np.arange(len(right)), right]
        return float(-(weight * np.log(np.maximum(p, 1e-300))).sum() + (precision * (w - mean) ** 2).sum() / 2)

    for _ in range(50):
        p = softmax(design @ w)
        gradient = np.einsum("n,nkd,nk->d", weight, design, p - truth) + precision * (w - mean)
        spread = np.einsum("n,nkd,nk,nke->de", weight, design, p, design)
        middle = np.einsum("nkd,nk->nd", design, p)
        hessian = spread - (weight[:, None] * middle).T @ middle + np.diag(precision)
        step = np.linalg.solve(hessian, gradient)
        if np.abs(step).max() < 1e-8:
            break
        w = w - step * _shortened(loss, w, step, float(gradient @ step))
    error = float(np.sqrt(np.linalg.inv(hessian)[0, 0]))
    return float(w[0]), np.asarray(w[1:] - w[1:].mean()), error


def _shortened(loss: Callable[[Float], float], w: Float, step: Float, slope: float) -> float:
    """Return the share of a Newton step to take: halved until the loss falls by enough (Armijo)."""
    share, before = 1.0, loss(w)
    while loss(w - share * step) > before - 1e-4 * share * slope and share > 1e-6:
        share /= 2
    return share
