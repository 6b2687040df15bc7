"""Simulated motor imagery, live, with its true labels."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from ...core.specs import off_key
from ...core.stream import Chunk
from .base import Source, Trial
from .file import repeated
from .paced import Paced, Speed

SEAM_S = 1.0


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


Montage = Annotated[Literal[8, 16, 19, 22, 32, 64], BeforeValidator(_number)]  # in one word, a number is a text


class Simulated(Source):
    """A person of the simulator (`simulated_motor_imagery`) who imagines left and right hands, trial after trial.

    Endless, unless `seconds` are given: after `trials` trials the same ones come again, the end of the recording
    faded into its beginning over a second of rest.
    """

    kind: Literal["simulated"] = "simulated"
    argument: ClassVar[str] = "subject"
    subject: str = Field("sim001", min_length=1, description="whom; another name is another person")
    seconds: float | None = Field(None, gt=0, description="how long; null: endless")
    speed: Speed = off_key(1.0, description='1 is real time; "max" as fast as it is read', union_mode="left_to_right")
    trials: int = Field(20, ge=2, description="trials before they come again")
    channels: Montage = Field(32, description="how many electrodes of the 10-10 system")
    sfreq: int = Field(250, ge=100, le=2000, description="samples per second")
    erd: float = Field(0.65, ge=0, le=0.95, description="share of the mu power that imagery takes away, mean")
    snr: float = Field(1.0, gt=0, le=20, description="factor on the amplitude of the mu sources")
    line_hz: float | None = Field(50.0, gt=0, description="power line; null for none")
    seed: int = Field(0, ge=0, description="another seed gives other people")

    def open(self) -> OpenSimulated:
        return OpenSimulated(self)


class OpenSimulated(Paced):
    """The simulator, running."""

    def __init__(self, spec: Simulated) -> None:
        from ...datasets.simulated.generate import simulate
        from ...datasets.simulated.ground_truth import CLASSES
        from ...datasets.simulated.motor_imagery import SimulatedMotorImagery

        settings = {n: getattr(spec, n) for n in ("trials", "channels", "sfreq", "erd", "snr", "line_hz", "seed")}
        dataset = SimulatedMotorImagery(**settings)
        made = simulate(dataset, spec.subject)
        super().__init__(made.spec, speed=spec.speed, block_s=spec.block_s)
        self.truth = made.truth
        self._values, self._head = made.values, _seam(made.values, round(SEAM_S * spec.sfreq))
        self._period = made.values.shape[1] - self._head.shape[1]
        self._length = None if spec.seconds is None else round(spec.seconds * spec.sfreq)
        onsets = np.rint(made.truth.onset_s * spec.sfreq).astype(int).tolist()
        long = round(dataset.trial_s * spec.sfreq)
        labels = made.truth.label.tolist()
        self._trials = [Trial(s, s + long, CLASSES[k]) for s, k in zip(onsets, labels, strict=True)]

    def _take(self, at: int, n: int) -> Chunk | None:
        if self._length is not None:
            n = min(n, self._length - at)
        if n <= 0:
            return None
        place = (at + np.arange(n)) % self._period
        values = self._values[:, place]
        seam = (at + np.arange(n) >= self._period) & (place < self._head.shape[1])
        values[:, seam] = self._head[:, place[seam]]
        return Chunk.of(values, at)

    def trials(self, start: int, stop: int) -> list[Trial]:
        stop = stop if self._length is None else min(stop, self._length)
        return repeated(self._trials, self._period, start, stop)


def _seam(values: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """Return the first `n` samples as they come again: the last ones faded into them at equal power."""
    angle = np.linspace(0, np.pi / 2, n)
    faded = np.cos(angle) * values[:, -n:] + np.sin(angle) * values[:, :n]
    return np.asarray(faded, np.float32)
