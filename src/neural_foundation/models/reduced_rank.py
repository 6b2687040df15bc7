"""Reduced-rank regression, spikes to behaviour and behaviour to spikes: few patterns of units carry all of it.

Shapes: n windows, T bins, C units, K channels of behaviour, L lags, F features of behaviour, r the rank.

Source: Izenman 1975 (J Multivariate Anal 5:248): with B the ridge solution and V the first r eigenvectors of the
covariance of its predictions, the solution of rank r is B V V'.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from neural_foundation.core.modalities import BinnedSpec

from .behaviour_features import KEPT, BehaviourEncoder
from .binned_estimator import Windows
from .lag_regression import fit_lags
from .lagged import Lags, ridge_path, standard, standardised
from .poisson import log_likelihood
from .poisson_glm import BehaviourEstimator

Array = NDArray[Any]
ALPHAS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
LATENT_ALPHA = 1e-2  # of the regression that finds the patterns; they change little with it
RANKS = (1, 2, 3, 5, 8, 12, 20, 30, 50, 100)
LEAST = 0.05  # the least rate, as a share of the unit's mean: a linear prediction may fall under zero
DECODED = ("mean", "scale", "patterns", "weight", "bias", "y_deviation", "alpha")
ENCODED = (*KEPT, "to_counts", "rate", "enc_alpha", "enc_rank")


class ReducedRank(BehaviourEncoder):
    """Predict through few patterns of units, in both directions. The ranks tried are those up to `rank`.

    Decoding, in two steps that are both in closed form: the patterns are those of the reduced-rank regression of
    behaviour at all lags around a bin on the counts of that bin; each continuous channel is then the ridge regression
    on the patterns' lags. Encoding: the reduced-rank ridge regression of all units' counts, each by the root of its
    mean, on the features of behaviour; Gaussian, its rates not under a twentieth of the unit's mean. Rank and penalty
    are the best on the validation part. Classes are not decoded.
    """

    kind: Literal["reduced_rank"] = "reduced_rank"
    rank: int = Field(30, ge=1, description="the largest rank tried")
    counts_before_s: float = Field(0.5, gt=0, description="decoding: counts so far back, the bin itself among them")
    counts_after_s: float = Field(0.0, ge=0, description="decoding: counts so far ahead")

    def binned_estimator(self, signal: BinnedSpec, *, seed: int = 0) -> ReducedRankEstimator:
        """Return the unfitted estimator; the seed is not used."""
        return ReducedRankEstimator(self, signal)


class ReducedRankEstimator(BehaviourEstimator):
    """Learned for decoding: `mean, scale` (C,), `patterns` (C, r), `weight` (L * r, K), `bias`, `y_deviation`, `alpha`
    (K,). For encoding: what the features need, `to_counts` (F, C), `rate` (C,), and what was chosen."""

    def __init__(self, model: ReducedRank, spec: BinnedSpec) -> None:
        super().__init__(model, spec)
        self.ranks = tuple(r for r in RANKS if r <= model.rank)
        before, after = model.counts_before_s, model.counts_after_s
        self.lags = Lags.of(spec.bin_s, spec.n_bins, before, after, model.step_s)

    def _fit(self, session: int, train: Windows, validation: Windows) -> dict[str, Array]:
        made = self._decoder(session, train, validation) if self._decodes(session) else {}
        return made | (self._encoder(session, train, validation) if self._encodes(session) else {})

    def _predict(
        self, session: int, learned: Mapping[str, Array], seen: Windows, hidden: tuple[str, ...]
    ) -> dict[str, Array]:
        made: dict[str, Array] = {}
        neural, features = self._neural(session), self._features(session)
        if self._decodes(session) and all(n in seen.values for n in neural):
            z = standardised(seen.join(neural), learned["mean"], learned["scale"]) @ learned["patterns"]
            said = self.lags.apply(z, learned["weight"]) * learned["y_deviation"] + learned["bias"]
            targets = self._moving(session)
            ends = np.cumsum([len(self.spec.channels(session, n)) for n in targets])[:-1]
            made = dict(zip(targets, np.split(said, ends, axis=-1), strict=True))
        if self._encodes(session) and features.sees(seen):
            made |= self._by_modality(session, _rates(features.make(seen, learned), learned["to_counts"], learned))
        return {n: v for n, v in made.items() if n in hidden}

    def _expected(self, session: int) -> set[str]:
        return {*(DECODED if self._decodes(session) else ()), *(ENCODED if self._encodes(session) else ())}

    def _decodes(self, session: int) -> bool:
        return bool(self._neural(session)) and bool(self._moving(session))

    def _decoder(self, session: int, train: Windows, validation: Windows) -> dict[str, Array]:
        neural, targets = self._neural(session), self._moving(session)
        mean, scale = standard(train.join(neural))
        y_mean, y_scale = standard(train.join(targets))
        z, apart = (standardised(p.join(neural), mean, scale) for p in (train, validation))
        y, y_apart = ((p.join(targets) - y_mean) / y_scale for p in (train, validation))
        patterns = _patterns(z, y, self.lags)
        best, least = None, np.inf
        for rank in (r for r in self.ranks if r <= patterns.shape[1]):
            low, low_apart = z @ patterns[:, :rank], apart @ patterns[:, :rank]
            fit = fit_lags(self.lags, (low, y), (low_apart, y_apart), ALPHAS)
            error = float(np.nansum((self.lags.apply(low_apart, fit.weight) - y_apart) ** 2))
            if best is None or error < least:
                best, least = (patterns[:, :rank], fit), error
        assert best is not None
        learned = (mean, scale, best[0], best[1].weight, y_mean, y_scale, best[1].alpha)
        return dict(zip(DECODED, learned, strict=True))

    def _encoder(self, session: int, train: Windows, validation: Windows) -> dict[str, Array]:
        features, names = self._features(session), self._has(session, "counts")
        learned = features.learn(train)
        (x, y), (x_apart, y_apart) = (
            (_rows(features.make(p, learned)), _rows(p.join(names)).astype(np.float64)) for p in (train, validation)
        )
        rate = np.maximum(y.sum(0), 0.5) / len(y)
        gram, cross = x.T @ x, x.T @ ((y - rate) / np.sqrt(rate))
        best: tuple[float, Array, float, int] = (-np.inf, np.zeros_like(cross), ALPHAS[-1], 0)
        for alpha, weight in zip(ALPHAS, ridge_path(gram, cross, ALPHAS), strict=True):
            basis = _leading(weight.T @ gram @ weight, max(self.ranks))
            for rank in (r for r in self.ranks if r <= basis.shape[1]):
                low = (weight @ basis[:, :rank]) @ (basis[:, :rank].T * np.sqrt(rate))
                rates = _rates(x_apart, low, {"rate": rate})
                score = float(log_likelihood(np.log(rates), y_apart).sum())
                best = (score, low, alpha, rank) if score > best[0] else best
        _, low, alpha, rank = best
        chosen = {"enc_alpha": np.array([alpha]), "enc_rank": np.array([rank], np.int64)}
        return {**learned, "to_counts": low, "rate": rate, **chosen}


def _patterns(z: Array, y: Array, lags: Lags) -> Array:
    """Return orthonormal patterns (C, at most the largest rank), those that say most of behaviour first."""
    # a count tells of behaviour that follows it as far as a decoder looks back, and of what came before as far ahead
    around = Lags(lags.after + 1, max(0, lags.before - 1), lags.step)
    shifted = around.features(np.nan_to_num(y, nan=0.0))
    flat = _rows(z)
    gram = flat.T @ flat
    weight = next(ridge_path(gram, flat.T @ _rows(shifted), (LATENT_ALPHA,)))
    basis = _leading(weight.T @ gram @ weight, weight.shape[1])
    kept = weight @ basis
    kept = kept[:, : max(1, np.linalg.matrix_rank(kept, tol=1e-6 * np.linalg.norm(kept)))]
    return np.asarray(np.linalg.qr(kept)[0])


def _leading(covariance: Array, many: int) -> Array:
    return np.asarray(np.linalg.eigh(covariance)[1][:, ::-1][:, :many])


def _rates(x: Array, to_counts: Array, learned: Mapping[str, Array]) -> Array:
    return np.asarray(np.maximum(x @ to_counts + learned["rate"], LEAST * learned["rate"]))


def _rows(values: Array) -> Array:
    return values.reshape(-1, values.shape[-1])
