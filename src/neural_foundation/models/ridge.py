"""Behaviour from spikes by ridge regression on the counts around each bin; classes by logistic regression."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from neural_foundation.core.modalities import BinnedSpec

from .binned_estimator import BinnedEstimator, BinnedModel, Windows
from .lag_regression import fit_lags
from .lagged import Lags, standard, standardised
from .window_logistic import LOGISTIC, fit_logistic, logistic_probability, parts_of

Array = NDArray[Any]
ALPHAS = (1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0, 10.0)


class LagDecoder(BinnedModel):
    """Which counts around a bin a decoder sees. What lies outside of the window counts as the mean."""

    before_s: float = Field(0.5, gt=0, description="counts so far back, the bin itself among them")
    after_s: float = Field(0.0, ge=0, description="counts so far ahead")
    step_s: float = Field(0.05, gt=0, description="length of a lag, one bin or more; counts in it are summed")


class Ridge(LagDecoder):
    """Decode each continuous channel by ridge regression on lagged counts, each class by logistic regression.

    The penalty of each channel is chosen on the validation part. `refit` learns from both parts after that: more than
    other models see, as published figures of such decoders mostly do.
    """

    kind: Literal["ridge"] = "ridge"
    part_s: float = Field(0.2, gt=0, description="classes are decoded from counts in parts of the window so long")
    refit: bool = Field(False, description="learn from the validation part too, once the penalties are chosen")

    def binned_estimator(self, signal: BinnedSpec, *, seed: int = 0) -> RidgeEstimator:
        """Return the unfitted estimator; the seed is not used."""
        return RidgeEstimator(self, signal)


class LagEstimator(BinnedEstimator):
    """Decodes continuous behaviours from lagged counts (and LFP). A session learns `mean, scale` (C,) of what is
    neural, `weight` (L * C, K), `bias` (K,) and `alpha` (K,), K the channels of all continuous behaviours in order."""

    def __init__(self, model: LagDecoder, spec: BinnedSpec) -> None:
        super().__init__(spec)
        self.lags = Lags.of(spec.bin_s, spec.n_bins, model.before_s, model.after_s, model.step_s)

    def _linear(
        self, session: int, train: Windows, validation: Windows, alphas: tuple[float, ...], *, refit: bool = False
    ) -> dict[str, Array]:
        neural, targets = self._neural(session), self._moving(session)
        if not neural or not targets:
            return {}
        mean, scale = standard(train.join(neural))
        y_mean, y_scale = standard(train.join(targets))
        parts = [
            (standardised(part.join(neural), mean, scale), (part.join(targets) - y_mean) / y_scale)
            for part in (train, validation)
        ]
        weight, alpha = fit_lags(self.lags, parts[0], parts[1], alphas, refit=refit)
        return {"mean": mean, "scale": scale, "weight": weight * y_scale, "bias": y_mean, "alpha": alpha}

    def _continuous(self, session: int, learned: Mapping[str, Array], seen: Windows) -> dict[str, Array]:
        """Return all continuous behaviours of the session; nothing where what is neural is missing."""
        neural, targets = self._neural(session), self._moving(session)
        if not targets or not _sees(seen, neural):
            return {}
        z = standardised(seen.join(neural), learned["mean"], learned["scale"])
        made = self.lags.apply(z, learned["weight"]) + learned["bias"]
        ends = np.cumsum([len(self.spec.channels(session, n)) for n in targets])[:-1]
        return dict(zip(targets, np.split(made, ends, axis=-1), strict=True))

    def _linear_names(self, session: int) -> set[str]:
        whole = self._neural(session) and self._moving(session)
        return {"mean", "scale", "weight", "bias", "alpha"} if whole else set()


class RidgeEstimator(LagEstimator):
    """Learned beside the linear part: `NAME.mean, .scale, .weight, .bias` of each modality of classes."""

    def __init__(self, model: Ridge, spec: BinnedSpec) -> None:
        super().__init__(model, spec)
        self.model = model
        self.part = max(1, round(model.part_s / spec.bin_s))

    def _fit(self, session: int, train: Windows, validation: Windows) -> dict[str, Array]:
        made = self._linear(session, train, validation, ALPHAS, refit=self.model.refit)
        neural = self._neural(session)
        for name in self._has(session, "classes") if neural else ():
            parts = [(parts_of(p.join(neural), self.part), p.values[name]) for p in (train, validation)]
            learned = fit_logistic(parts[0], parts[1], len(self.spec.modality(name).classes))
            made |= {f"{name}.{key}": value for key, value in learned.items()}
        return made

    def _predict(
        self, session: int, learned: Mapping[str, Array], seen: Windows, hidden: tuple[str, ...]
    ) -> dict[str, Array]:
        made = self._continuous(session, learned, seen)
        neural = self._neural(session)
        if _sees(seen, neural):
            features = parts_of(seen.join(neural), self.part)
            for name in self._has(session, "classes"):
                made[name] = logistic_probability(features, {key: learned[f"{name}.{key}"] for key in LOGISTIC})
        return {name: value for name, value in made.items() if name in hidden}

    def _expected(self, session: int) -> set[str]:
        classes = self._has(session, "classes") if self._neural(session) else ()
        return self._linear_names(session) | {f"{name}.{key}" for name in classes for key in LOGISTIC}


def _sees(seen: Windows, names: tuple[str, ...]) -> bool:
    return bool(names) and all(n in seen.values for n in names)
