"""The published names: a model from a package, a decoder for a task, a loader of recordings.

model = NeuralFoundationModel.from_pretrained("runs/quickstart/export/...")
decoder = model.get_decoder("motor_imagery")
loader = NeuralDataLoader(data_path="recordings/", sampling_rate=250, channels=32)
for neural_sample in loader.stream():
    decision = decoder.decode(neural_sample)
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .core.errors import (
    DataError,
    MissingExtraError,
    PackageError,
    SignalMismatchError,
    SpecError,
    did_you_mean,
    one_of,
)
from .core.specs import SignalSpec
from .core.stream import Chunk
from .export.ensemble_package import EnsemblePackage, open_package
from .models.package import GRAPH, Package, channel_list
from .realtime.decision import LiveDecision
from .realtime.decoder import LiveDecoder, StreamDecoder
from .realtime.live_stream import LiveStream
from .realtime.sliding import SlidingDecoder

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a decoder thinks. `sample`: raw samples seen when it decided; `valid`: False where the signal was not.

    Of a calibrated package: `abstained` where it would rather say nothing, `set` the classes it does not rule out.
    Of an ensemble: `entropy`, how unsure its members are together, and `disagreement`, what of it they do not agree
    about, both in nats; None of one model.
    """

    sample: int
    label: str
    probability: dict[str, float]
    valid: bool = True
    abstained: bool = False
    set: tuple[str, ...] = ()
    entropy: float | None = None
    disagreement: float | None = None


class NeuralFoundationModel:
    """A trained model, opened from a package, or several that decide together, opened from an ensemble."""

    def __init__(self, package: Package) -> None:
        self.package = package

    @classmethod
    def from_pretrained(cls, path_or_hub_id: str | Path) -> NeuralFoundationModel:
        """Open a package's or an ensemble's folder, or one on the Hugging Face hub (`owner/name`; needs 'hub').

        PackageError says what is missing or wrong. Packages are data: nothing in them is ever executed.
        """
        path = Path(path_or_hub_id)
        if path.exists():
            return cls(open_package(path))
        if _like_hub_id(path_or_hub_id):
            return cls(open_package(_from_hub(str(path_or_hub_id))))
        raise PackageError(
            f"There is no package at {path_or_hub_id}",
            allowed="a folder that a 'fit', 'export' or 'export_ensemble' stage wrote, or owner/name on the hub",
        )

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that this model decodes."""
        return (self.package.facts.task,) if self.package.facts.target is not None else ()

    @property
    def signal(self) -> SignalSpec:
        """What the model expects, before its chain: rate and channels."""
        return self.package.facts.raw

    def get_decoder(self, task: str) -> TaskDecoder:
        """Return a decoder of a task, ready for the first sample; SpecError names the tasks there are."""
        if task not in self.tasks:
            raise SpecError(
                f"The model does not decode '{task}'.{did_you_mean(task, self.tasks)}",
                allowed=one_of(self.tasks) if self.tasks else "nothing yet: it was only pre-trained, adapt it first",
            )
        return TaskDecoder(self.package)

    def predict_proba(self, windows: Array) -> NDArray[np.float64]:
        """Return probabilities (n, n_classes) for cleaned windows (n, n_chans, n_times)."""
        return self.package.predict_proba(np.asarray(windows, np.float32))


class TaskDecoder:
    """Decodes one stream, sample by sample or chunk by chunk; the package's chain comes first.

    Not for several streams at once: make one decoder each. `decode` from one thread at a time.
    """

    def __init__(self, package: Package) -> None:
        self.decoder = _stream_decoder(package)
        self.classes = self.decoder.classes
        self._confidence = package.facts.confidence
        self._unsure = package.unsure if isinstance(package, EnsemblePackage) else None
        self._pool: ThreadPoolExecutor | None = None
        self.restart()

    def restart(self) -> None:
        """Forget the stream: the next sample is the first."""
        self._stream = LiveStream(self.decoder, self._confidence, unsure=self._unsure)
        self._last: Decision | None = None

    def reset(self) -> None:
        """Start a trial at the next sample; the cleaning chain goes on, and what alignment knows of the person.

        For another person, `restart()`.
        """
        self._stream.reset()
        self._last = None

    def decode(self, neural_sample: Array) -> Decision | None:
        """Return the newest decision after one instant (n_chans,) or one chunk (n_chans, n_times), in volts.

        None until the first token is complete. SignalMismatchError for another number of channels.
        """
        values = np.asarray(neural_sample, np.float32)
        values = values[:, None] if values.ndim == 1 else values
        if values.ndim != 2 or values.shape[0] != self.decoder.input.n_chans:
            raise _wrong_shape(np.shape(neural_sample), self.decoder.input.ch_names)
        tokens = self._stream.take(Chunk.of(values, self._stream.n_samples))
        if tokens:
            newest = tokens[-1].decisions(self.classes, self.decoder.input.sfreq)[-1]
            self._last = _decision(newest, self._stream.n_samples)
        return self._last

    async def decode_sample(self, neural_sample: Array) -> Decision | None:
        """Return `decode(neural_sample)` without blocking the event loop; calls run in the order they were made."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="decoder")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.decode, neural_sample)


def _decision(newest: LiveDecision, seen: int) -> Decision:
    """Return a live decision under the published names, `seen` raw samples after the first."""
    label = max(newest.probability, key=newest.probability.__getitem__)
    unsure = newest.entropy, newest.disagreement
    return Decision(seen, label, newest.probability, newest.valid, newest.decision is None, newest.set, *unsure)


def _stream_decoder(package: Package) -> LiveDecoder:
    """Return the decoder of a package, exported for the moment where it has no step graph yet."""
    if package.whole_windows:
        return SlidingDecoder(package)
    if (package.folder / GRAPH).is_file():
        return StreamDecoder(package)
    from .export.step_graph import export_step

    with tempfile.TemporaryDirectory(prefix="neural-foundation-") as folder:
        export_step(package.network(), Path(folder) / GRAPH, tokens="one")
        return StreamDecoder(Package(Path(folder), package.facts))


class NeuralDataLoader:
    """Recordings of a file or folder as one stream, in the order of their names, then of time.

    Parameters
    ----------
    data_path : a recording, or a folder of recordings.
    sampling_rate : samples per second that are expected; None takes what the first file has.
    channels : how many channels are expected, or their names; None takes what the first file has.
    temporal_window : seconds of a chunk; None gives single instants (n_chans,).
    resample, pick : allow files of another rate to be resampled (causally), and of more channels to be picked from.

    Raises
    ------
    DataError : no recordings there. SignalMismatchError : another rate or channel count, unless allowed.
    """

    def __init__(
        self,
        data_path: str | Path,
        *,
        sampling_rate: float | None = None,
        channels: int | Sequence[str] | None = None,
        temporal_window: float | None = None,
        resample: bool = False,
        pick: bool = False,
    ) -> None:
        if temporal_window is not None and temporal_window <= 0:
            raise SpecError(f"temporal_window is {temporal_window} s", allowed="above 0, or None for single instants")
        self.paths = _recordings(Path(data_path))
        self.sampling_rate, self.channels, self.temporal_window = sampling_rate, channels, temporal_window
        self.resample, self.pick = resample, pick

    def stream(self) -> Iterator[Array]:
        """Yield samples (n_chans,) or chunks (n_chans, n_times) in volts, float32; a file's last chunk may be short."""
        for chunk in self.chunks():
            if self.temporal_window is None:
                yield from chunk.values.T
            else:
                yield chunk.values

    def chunks(self) -> Iterator[Chunk]:
        """Yield chunks with validity and place, a file after another, each from its own sample 0."""
        from .recordings import read

        for path in self.paths:
            with read(path) as session:
                chain = self._chain(session.signal.spec, path)
                yield from self._blocks(chain, session.signal)

    def _blocks(self, chain: Any, signal: Any) -> Iterator[Chunk]:
        n = max(1, round((self.temporal_window or 1.0) * signal.spec.sfreq))
        state = chain.start()
        for at in range(0, signal.n_times, n):
            end = min(at + n, signal.n_times)
            out, state = chain.step(Chunk(signal.read(at, end), signal.valid(at, end), at), state)
            if out.n_times:
                yield out
        rest = chain.flush(state)
        if rest.n_times:
            yield rest

    def _chain(self, spec: SignalSpec, path: Path) -> Any:
        """Return the chain that makes a file what is expected; SignalMismatchError where that was not asked for."""
        from .signals.chain import chain
        from .signals.table import SIGNALS

        self.sampling_rate = self.sampling_rate or spec.sfreq
        self.channels = self.channels if self.channels is not None else spec.ch_names
        ops = [*self._picking(spec, path), *self._resampling(spec, path)]
        return chain([SIGNALS.parse(o) for o in ops], spec)  # type: ignore[misc]

    def _picking(self, spec: SignalSpec, path: Path) -> list[dict[str, Any]]:
        wanted = spec.ch_names[: self.channels] if isinstance(self.channels, int) else tuple(self.channels or ())
        count = self.channels if isinstance(self.channels, int) else len(wanted)
        if spec.n_chans < count or not set(wanted) <= set(spec.ch_names):
            raise SignalMismatchError(
                f"{path.name} has {spec.n_chans} channels: {channel_list(spec.ch_names)}",
                allowed=f"{count}{'' if isinstance(self.channels, int) else ': ' + channel_list(wanted)}",
            )
        if spec.ch_names == wanted:
            return []
        if not self.pick:
            raise SignalMismatchError(
                f"{path.name} has {spec.n_chans} channels, {count} are expected",
                remedy="Give pick=True to take the expected ones (the first, where only a number is given)",
            )
        return [{"kind": "pick", "channels": list(wanted)}]

    def _resampling(self, spec: SignalSpec, path: Path) -> list[dict[str, Any]]:
        if spec.sfreq == self.sampling_rate:
            return []
        if not self.resample:
            raise SignalMismatchError(
                f"{path.name} has {spec.sfreq:g} Hz, {self.sampling_rate:g} Hz are expected",
                remedy="Give resample=True, or the file's own rate",
            )
        return [{"kind": "resample", "sfreq": self.sampling_rate}]


def _recordings(path: Path) -> list[Path]:
    """Return the recordings at a path in the order of their names; DataError where there are none."""
    from .datasets.recordings_folder import recording_files

    if not path.exists():
        raise DataError(f"The path {path} does not exist", remedy="Check data_path")
    found = recording_files(path, None)
    if not found:
        raise DataError(
            f"There are no recordings under {path}", allowed="EDF, BDF, FIF or HDF5 sessions", remedy="Check data_path"
        )
    return found


def _wrong_shape(shape: tuple[int, ...], ch_names: tuple[str, ...]) -> SignalMismatchError:
    n = len(ch_names)
    allowed = f"({n},) or ({n}, n_times): {channel_list(ch_names)}"
    return SignalMismatchError(f"A sample has shape {shape}", allowed=allowed)


def _like_hub_id(name: str | Path) -> bool:
    """Whether a name that is no path here can be `owner/name` on the hub, not a mistyped path."""
    owner, slash, rest = str(name).partition("/")
    return (
        isinstance(name, str)
        and bool(slash and rest)
        and "/" not in rest
        and not owner.startswith(".")
        and not Path(owner or "/").exists()
    )


def _from_hub(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise MissingExtraError("huggingface_hub", "hub") from None
    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.onnx", "*.md"]))
    except Exception as error:  # noqa: BLE001 - the hub's many errors are one to the user
        raise PackageError(
            f"'{name}' is no folder here and cannot be had from the hub ({type(error).__name__})",
            remedy="Check the name, or the connection",
        ) from error
