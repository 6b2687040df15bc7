"""Behaviour from spikes by a small recurrent network, one a session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from neural_foundation.core.modalities import BinnedSpec
from neural_foundation.core.seeds import derive

from .binned_estimator import BinnedEstimator, BinnedModel, Windows
from .lagged import standard, standardised
from .linear import softmax

if TYPE_CHECKING:
    from .gru_network import GRUNetwork

Array = NDArray[Any]
NETWORK = "network."
SCALES = ("mean", "scale", "y_mean", "y_scale")


class GRU(BinnedModel):
    """Decode by a gated recurrent unit over the window (Cho et al. 2014), as Glaser et al. 2020 (eNeuro 7(4)) do.

    Continuous channels are read out of the state of each bin, classes of the mean state of the window. Learned by
    AdamW on squared error (in deviations) plus cross-entropy; the epoch of least loss on the validation part is kept.
    """

    kind: Literal["gru"] = "gru"
    hidden: int = Field(64, ge=2, le=1024, description="units of the network's state, of each direction")
    bidirectional: bool = Field(True, description="a bin may also rest on what follows it in its window")
    dropout: float = Field(0.4, ge=0, lt=1, description="of the input counts and of the states, in training")
    learning_rate: float = Field(3e-3, gt=0, description="at the start; falls to nothing over `max_epochs` by a cosine")
    weight_decay: float = Field(1e-3, ge=0, description="of AdamW")
    batch: int = Field(16, ge=1, description="windows of a step")
    max_epochs: int = Field(60, ge=1, description="passes over the training windows")
    patience: int = Field(12, ge=1, description="epochs without a smaller validation loss before training ends")

    def binned_estimator(self, signal: BinnedSpec, *, seed: int = 0) -> GRUEstimator:
        """Return the unfitted estimator; start, order and dropout are functions of `seed`."""
        return GRUEstimator(self, signal, seed)


class GRUEstimator(BinnedEstimator):
    """Learned: `mean, scale` (C,) of what is neural, `y_mean, y_scale` (K,) of continuous channels, and
    the weights, `network.NAME`."""

    def __init__(self, model: GRU, spec: BinnedSpec, seed: int) -> None:
        super().__init__(spec)
        self.model, self.seed = model, seed

    def _fit(self, session: int, train: Windows, validation: Windows) -> dict[str, Array]:
        if not self._decodes(session):
            return {}
        from .gru_network import train_network

        made = dict(zip(SCALES[:2], standard(train.join(self._neural(session))), strict=True))
        targets = self._moving(session)
        y = standard(train.join(targets)) if targets else (np.zeros(0), np.ones(0))
        made |= dict(zip(SCALES[2:], y, strict=True))
        parts = [(self._input(session, p, made), *self._targets(session, p, made)) for p in (train, validation)]
        network = self._network(session)
        seed = derive(self.seed, "gru", self.spec.sessions[session].name)
        weights = train_network(network, parts[0], parts[1], self.model, seed)
        return made | {NETWORK + name: value for name, value in weights.items()}

    def _predict(
        self, session: int, learned: Mapping[str, Array], seen: Windows, hidden: tuple[str, ...]
    ) -> dict[str, Array]:
        neural = self._neural(session)
        if not self._decodes(session) or not all(n in seen.values for n in neural):
            return {}
        from .gru_network import apply_network

        weights = {n.removeprefix(NETWORK): v for n, v in learned.items() if n.startswith(NETWORK)}
        y, logits = apply_network(self._network(session), weights, self._input(session, seen, learned))
        y = y * learned["y_scale"] + learned["y_mean"]
        targets, classes = self._moving(session), self._has(session, "classes")
        ends = np.cumsum([len(self.spec.channels(session, n)) for n in targets])[:-1]
        made = dict(zip(targets, np.split(y, ends, axis=-1), strict=True)) if targets else {}
        ends = np.cumsum([len(self.spec.modality(n).classes) for n in classes])[:-1]
        made |= (
            {n: softmax(v) for n, v in zip(classes, np.split(logits, ends, axis=-1), strict=True)} if classes else {}
        )
        return {name: value for name, value in made.items() if name in hidden}

    def _expected(self, session: int) -> set[str]:
        if not self._decodes(session):
            return set()
        return {*SCALES, *(NETWORK + name for name in self._network(session).state_dict())}

    def _decodes(self, session: int) -> bool:
        return bool(self._neural(session)) and bool(self._moving(session) + self._has(session, "classes"))

    def _network(self, session: int) -> GRUNetwork:
        from .gru_network import GRUNetwork

        n = [len(self.spec.channels(session, name)) for name in self._neural(session)]
        k = [len(self.spec.channels(session, name)) for name in self._moving(session)]
        classes = tuple(len(self.spec.modality(name).classes) for name in self._has(session, "classes"))
        seed = derive(self.seed, "gru start", self.spec.sessions[session].name)
        return GRUNetwork(sum(n), sum(k), classes, self.model, seed)

    def _input(self, session: int, windows: Windows, learned: Mapping[str, Array]) -> NDArray[np.float32]:
        z = standardised(windows.join(self._neural(session)), learned["mean"], learned["scale"])
        return np.clip(z, -10, 10).astype(np.float32)  # a unit that fires once in training has a tiny deviation

    def _targets(self, session: int, windows: Windows, learned: Mapping[str, Array]) -> tuple[Array, Array]:
        targets, classes = self._moving(session), self._has(session, "classes")
        y = windows.join(targets) if targets else np.zeros((windows.n, self.spec.n_bins, 0))
        y = ((y - learned["y_mean"]) / learned["y_scale"]).astype(np.float32)
        k = np.stack([windows.values[n] for n in classes], axis=-1) if classes else np.zeros((windows.n, 0), np.int64)
        return y, k
