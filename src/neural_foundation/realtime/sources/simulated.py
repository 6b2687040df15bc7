"""Simulated people, live, with their true labels: motor imagery, nights, seizures, neurofeedback."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, model_validator

from ...core.specs import SignalSpec, off_key
from ...core.stream import Chunk
from .base import Source, Trial
from .file import repeated
from .paced import Paced, Speed

if TYPE_CHECKING:
    from ...datasets.simulated.made import Generated
    from ...datasets.simulated.motor_imagery import SimulatedMotorImagery

SEAM_S = 1.0


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


Montage = Annotated[Literal[8, 16, 19, 22, 32, 64], BeforeValidator(_number)]  # in one word, a number is a text
OF_IMAGERY = ("trials", "channels", "erd", "snr", "line_hz")
Rows = Sequence[tuple[float, float, str]]  # start_s, end_s, label


class Simulated(Source):
    """One person of a simulated dataset: the recording as it was made, before any file, and its labels as trials.

    Motor imagery comes trial after trial without an end; other recordings end. Where one is repeated, its end is faded
    into its beginning over a second.
    """

    kind: Literal["simulated"] = "simulated"
    argument: ClassVar[str] = "dataset"
    dataset: Literal["motor_imagery", "sleep", "seizures", "neurofeedback"] = Field(
        "motor_imagery", description="which of the simulated datasets, at its own settings"
    )
    subject: str = Field("sim001", min_length=1, description="whom; another name is another person")
    seconds: float | None = Field(None, gt=0, description="how long at most; null: to its end")
    loop: bool | None = Field(None, description="begin again at the end; null: motor imagery does, others do not")
    speed: Speed = off_key(1.0, description='1 is real time; "max" as fast as it is read', union_mode="left_to_right")
    sfreq: int | None = Field(None, ge=100, le=2000, description="samples per second; null: the dataset's own")
    seed: int = Field(0, ge=0, description="another seed gives other people")
    trials: int = Field(20, ge=2, description="motor imagery: trials before they come again")
    channels: Montage = Field(32, description="motor imagery: how many electrodes of the 10-10 system")
    erd: float = Field(0.65, ge=0, le=0.95, description="motor imagery: share of mu power it takes away, mean")
    snr: float = Field(1.0, gt=0, le=20, description="motor imagery: factor on the amplitude of the mu sources")
    line_hz: float | None = Field(50.0, gt=0, description="motor imagery: power line; null for none")

    @model_validator(mode="after")
    def _of_the_dataset(self) -> Simulated:
        if self.dataset != "motor_imagery":
            fields = type(self).model_fields
            if other := [n for n in OF_IMAGERY if getattr(self, n) != fields[n].default]:
                raise ValueError(f"'{self.dataset}' takes no '{other[0]}': it is of motor_imagery alone")
        return self

    @property
    def looped(self) -> bool:
        """Whether it begins again at the end."""
        return self.dataset == "motor_imagery" if self.loop is None else self.loop

    def open(self) -> OpenSimulated:
        from ...datasets.table import DATASETS

        own = OF_IMAGERY if self.dataset == "motor_imagery" else ()
        settings = {n: getattr(self, n) for n in (*own, "seed", *(() if self.sfreq is None else ("sfreq",)))}
        dataset: Any = DATASETS.parse({"kind": f"simulated_{self.dataset}", **settings})
        made = _imagery(dataset, self.subject) if own else _recording(dataset, self.subject)
        return OpenSimulated(self, *made)


class OpenSimulated(Paced):
    """The simulator, running."""

    def __init__(self, spec: Simulated, values: NDArray[np.float32], signal: SignalSpec, rows: Rows) -> None:
        super().__init__(signal, speed=spec.speed, block_s=spec.block_s)
        sfreq, n = signal.sfreq, values.shape[1]
        self._values, self._looped = values, spec.looped
        self._head = _seam(values, round(SEAM_S * sfreq)) if spec.looped else values[:, :0]
        self._period = n - self._head.shape[1]
        self._length = None if spec.looped else n
        if spec.seconds is not None:
            self._length = min(self._length or round(spec.seconds * sfreq), round(spec.seconds * sfreq))
        whole = ((round(a * sfreq), min(round(b * sfreq), self._period), label) for a, b, label in rows)
        self._trials = [Trial(a, b, label) for a, b, label in whole if a < b]

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
        return repeated(self._trials, self._period if self._looped else None, start, stop)


def _imagery(dataset: SimulatedMotorImagery, subject: str) -> tuple[NDArray[np.float32], SignalSpec, Rows]:
    from ...datasets.simulated.generate import simulate
    from ...datasets.simulated.ground_truth import CLASSES

    made = simulate(dataset, subject)
    onsets = zip(made.truth.onset_s.tolist(), made.truth.label.tolist(), strict=True)
    return made.values, made.spec, [(at, at + dataset.trial_s, CLASSES[k]) for at, k in onsets]


def _recording(dataset: Generated, subject: str) -> tuple[NDArray[np.float32], SignalSpec, Rows]:
    made = dataset.simulate(subject)
    return made.values, made.spec, made.trials


def _seam(values: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """Return the first `n` samples as they come again: the last ones faded into them at equal power."""
    angle = np.linspace(0, np.pi / 2, n)
    faded = np.cos(angle) * values[:, -n:] + np.sin(angle) * values[:, :n]
    return np.asarray(faded, np.float32)
