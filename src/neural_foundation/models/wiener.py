"""Behaviour from spikes by the Wiener filter, the decoder of the first motor interfaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from neural_foundation.core.modalities import BinnedSpec

from .binned_estimator import Windows
from .lagged import standardised
from .ridge import LagDecoder, LagEstimator

Array = NDArray[Any]
ALPHA = (1e-6,)


class Wiener(LagDecoder):
    """Decode each continuous channel by least squares on lagged counts, without choosing anything.

    The penalty is 1e-6 of the features' mean sum of squares: it keeps units that never fire, or do the same, from
    making the solution undefined, and shrinks nothing else. So it overfits where units times lags near the number of
    training bins, which is what sets it apart from `ridge`.

    degree : 2 and more pass each channel through a polynomial fitted by least squares to the training part, the
    Wiener cascade of Pohlmeyer et al. 2007 (IEEE TNSRE 15:369); 1 is the plain filter.
    """

    kind: Literal["wiener"] = "wiener"
    degree: int = Field(1, ge=1, le=5, description="of the polynomial after the filter")

    def binned_estimator(self, signal: BinnedSpec, *, seed: int = 0) -> WienerEstimator:
        """Return the unfitted estimator; the seed is not used."""
        return WienerEstimator(self, signal)


class WienerEstimator(LagEstimator):
    """Learned beside the linear part: `curve` (degree + 1, K), from the constant up, of the filter's output in the
    training part's mean and deviation, and `reach` (2, K), the least and the largest output there."""

    def __init__(self, model: Wiener, spec: BinnedSpec) -> None:
        super().__init__(model, spec)
        self.degree = model.degree

    def _fit(self, session: int, train: Windows, validation: Windows) -> dict[str, Array]:
        made = self._linear(session, train, validation, ALPHA)
        if not made or self.degree == 1:
            return made
        z = standardised(train.join(self._neural(session)), made["mean"], made["scale"])
        said = self.lags.apply(z, made["weight"]).reshape(-1, len(made["bias"]))
        true = train.join(self._moving(session)).reshape(said.shape) - made["bias"]
        size = np.where(said.std(0) > 0, said.std(0), 1.0)
        curve = np.zeros((self.degree + 1, said.shape[1]))
        for k in range(said.shape[1]):
            known = ~np.isnan(true[:, k])
            powers = np.vander(said[known, k] / size[k], self.degree + 1, increasing=True)
            curve[:, k] = np.linalg.lstsq(powers, true[known, k], rcond=None)[0]
        return {**made, "curve": curve, "size": size, "reach": np.stack([said.min(0), said.max(0)])}

    def _predict(
        self, session: int, learned: Mapping[str, Array], seen: Windows, hidden: tuple[str, ...]
    ) -> dict[str, Array]:
        made = self._continuous(session, learned, seen)
        first = 0
        for name, value in made.items() if self.degree > 1 else ():
            mine = slice(first, first + value.shape[-1])
            bias, (low, high) = learned["bias"][mine], learned["reach"][:, mine]
            # outside of what it was fitted on a polynomial says anything
            z = np.clip(value - bias, low, high) / learned["size"][mine]
            made[name] = bias + sum(learned["curve"][i, mine] * z**i for i in range(self.degree + 1))
            first = mine.stop
        return {name: value for name, value in made.items() if name in hidden}

    def _expected(self, session: int) -> set[str]:
        names = self._linear_names(session)
        return names | {"curve", "size", "reach"} if names and self.degree > 1 else names
