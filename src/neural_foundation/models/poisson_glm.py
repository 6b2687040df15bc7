"""Spikes from behaviour by a Poisson generalised linear model of each unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neural_foundation.core.modalities import BinnedSpec

from .behaviour_features import KEPT, BehaviourEncoder, BehaviourFeatures
from .binned_estimator import BinnedEstimator, Windows
from .poisson import fit_poisson

Array = NDArray[Any]
MOST = 2.0  # a rate may be so many times the largest count of the unit in training


class PoissonGLM(BehaviourEncoder):
    """Encode: the log rate of each unit is a weighted sum of the behaviour around a bin.

    Weights have a ridge penalty, chosen for each unit by the likelihood of the validation part (as in Pillow et al.
    2008, Nature 454:995, without coupling between units or spike history: nothing of the spikes is seen).
    """

    kind: Literal["poisson_glm"] = "poisson_glm"

    def binned_estimator(self, signal: BinnedSpec, *, seed: int = 0) -> PoissonGLMEstimator:
        """Return the unfitted estimator; the seed is not used."""
        return PoissonGLMEstimator(self, signal)


class BehaviourEstimator(BinnedEstimator):
    """Predicts counts of a session from all of its behaviour; nothing where any of it is hidden."""

    def __init__(self, model: BehaviourEncoder, spec: BinnedSpec) -> None:
        super().__init__(spec)
        self.model = model

    def _features(self, session: int) -> BehaviourFeatures:
        return BehaviourFeatures(self.model, self.spec, self._moving(session), self._has(session, "classes"))

    def _encodes(self, session: int) -> bool:
        return bool(self._has(session, "counts")) and bool(self._moving(session) + self._has(session, "classes"))

    def _by_modality(self, session: int, rates: Array) -> dict[str, Array]:
        names = self._has(session, "counts")
        ends = np.cumsum([len(self.spec.channels(session, n)) for n in names])[:-1]
        return dict(zip(names, np.split(rates, ends, axis=-1), strict=True))


class PoissonGLMEstimator(BehaviourEstimator):
    """Learned: what the features need, `weight` (F, N), `bias` (N,), `alpha` (N,), `most` (N,) the largest rate."""

    def _fit(self, session: int, train: Windows, validation: Windows) -> dict[str, Array]:
        if not self._encodes(session):
            return {}
        features, counts = self._features(session), self._has(session, "counts")
        learned = features.learn(train)
        parts = [(_rows(features.make(p, learned)), _rows(p.join(counts))) for p in (train, validation)]
        weight, bias, alpha = fit_poisson(parts[0], parts[1])
        most = MOST * np.maximum(parts[0][1].max(0), 1.0)
        return {**learned, "weight": weight, "bias": bias, "alpha": alpha, "most": most}

    def _predict(
        self, session: int, learned: Mapping[str, Array], seen: Windows, hidden: tuple[str, ...]
    ) -> dict[str, Array]:
        features = self._features(session)
        if not self._encodes(session) or not features.sees(seen):
            return {}
        log_rates = features.make(seen, learned) @ learned["weight"] + learned["bias"]
        rates = np.exp(np.minimum(log_rates, np.log(learned["most"])))
        return {n: v for n, v in self._by_modality(session, rates).items() if n in hidden}

    def _expected(self, session: int) -> set[str]:
        return {*KEPT, "weight", "bias", "alpha", "most"} if self._encodes(session) else set()


def _rows(values: Array) -> Array:
    return values.reshape(-1, values.shape[-1])
