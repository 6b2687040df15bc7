"""An amplifier that BrainFlow knows, or its synthetic board."""

from __future__ import annotations

import importlib.resources
import sys
from math import ceil
from time import monotonic, time
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ...core.errors import MissingExtraError, SignalMismatchError, SpecError, StreamError, did_you_mean
from ...core.specs import SignalSpec, off_key
from .base import Names, Source, picked
from .stamped import SETTLE_S, Stamped

POLL_S = 0.005  # BrainFlow cannot be waited for, only asked
MICROVOLT = np.float32(1e-6)
ERRORS_ONLY = 4


class Brainflow(Source):
    """The EEG channels of a board, by the name of the board.

    Rate, channels and their names are BrainFlow's; its microvolts become volts. The serial port, address or number
    of the board as BrainFlow wants them.
    """

    kind: Literal["brainflow"] = "brainflow"
    argument: ClassVar[str] = "board"
    board: str = Field("synthetic", min_length=1, description='BrainFlow\'s name of it, e.g. "cyton", "unicorn"')
    serial_port: str = off_key("", description="e.g. /dev/ttyUSB0 or COM3")
    serial_number: str = off_key("", description="of the device")
    mac_address: str = off_key("", description="of a Bluetooth device")
    ip_address: str = off_key("", description="of a device in the network")
    ip_port: int = off_key(0, ge=0, le=65535, description="its port")
    other_info: str = off_key("", description="what else the board wants")
    file: str = off_key("", description="of a board that plays a file")
    channels: Names = Field(
        (), description="only these, in this order; the names of all, where the board has none; default: all"
    )
    buffer_s: float = off_key(10.0, ge=1, le=600, description="what is kept for a reader that is late; the oldest goes")
    gap_s: float = Field(0.1, gt=0, description="a step of the stamps beyond this is a gap")
    max_gap_s: float = Field(2.0, ge=0, le=60, description="gaps up to this come as invalid samples; else a new start")

    def open(self) -> OpenBrainflow:
        shim = board_shim()
        return OpenBrainflow(self, shim, _board_id(self.board, shim))


class OpenBrainflow(Stamped):
    """A board that is streaming; BrainFlow's own thread fills a ring."""

    def __init__(self, spec: Brainflow, shim: Any, board: int) -> None:
        self._shim_error = shim.BrainFlowError
        try:
            described = shim.BoardShim.get_board_descr(board)
            signal, rows = _described(spec, described)
            super().__init__(signal, gap_s=spec.gap_s, max_gap_s=spec.max_gap_s, clock=time() - monotonic())
            self._rows = [described["eeg_channels"][r] for r in rows]
            self._stamps = described["timestamp_channel"]
            self._capacity = ceil(spec.buffer_s * signal.sfreq)
            self._block = max(1, round((spec.block_s or 0) * signal.sfreq))
            self._exact = spec.block_s is not None
            self._board = shim.BoardShim(board, _parameters(spec, shim))
            self._start()
        except shim.BrainFlowError as error:
            raise StreamError(f"The board '{spec.board}' cannot be opened ({error})", remedy=_HINT) from None

    def _start(self) -> None:
        self._board.prepare_session()
        try:
            self._board.start_stream(self._capacity)
        except BaseException:
            self._board.release_session()
            raise

    def _take(self, timeout_s: float) -> None:
        until = monotonic() + timeout_s
        while (there := self._board.get_board_data_count()) < self._block:
            left = until - monotonic()
            if left <= 0 or self._closing.wait(min(POLL_S, left)):
                return
        data = self._board.get_board_data(self._block if self._exact else there)
        if self._timeline.suspects(data[self._stamps].tolist()):
            self._closing.wait(SETTLE_S)
            data = np.concatenate([data, self._board.get_board_data()], 1)
        values = np.ascontiguousarray(data[self._rows], np.float32) * MICROVOLT
        self._arrived(values, data[self._stamps].tolist(), full=there >= self._capacity)

    def _close(self) -> None:
        board, self._board = self._board, None
        try:
            board.stop_stream()
            board.release_session()
        except self._shim_error:
            pass  # a board that is gone needs no release


_HINT = "Check that it is on, its port or address, and that no other program holds it"


def board_shim() -> Any:
    """Return BrainFlow's module of boards; MissingExtraError where it is not installed."""
    try:
        from brainflow import board_shim as shim
    except ImportError:
        raise MissingExtraError("brainflow", "brainflow") from None
    if sys.version_info < (3, 12):
        # BrainFlow asks `files` for a module, which Python takes from 3.12 on; before that it falls back on
        # pkg_resources, which setuptools no longer has. The package gives the same folder.
        shim.files = lambda name: importlib.resources.files(name.partition(".")[0])
    shim.BoardShim.set_log_level(ERRORS_ONLY)
    return shim


def _board_id(name: str, shim: Any) -> int:
    known = {b.name.lower().removesuffix("_board"): int(b.value) for b in shim.BoardIds if b.name != "NO_BOARD"}
    wanted = name.strip().lower().replace("-", "_").removesuffix("_board")
    if wanted not in known:
        raise SpecError(f"BrainFlow knows no board '{name}'.{did_you_mean(wanted, known)}", allowed=", ".join(known))
    return known[wanted]


def _parameters(spec: Brainflow, shim: Any) -> Any:
    given = shim.BrainFlowInputParams()
    for name in ("serial_port", "serial_number", "mac_address", "ip_address", "ip_port", "other_info", "file"):
        setattr(given, name, getattr(spec, name))
    return given


def _described(spec: Brainflow, described: dict[str, Any]) -> tuple[SignalSpec, list[int]]:
    """Return the signal, and which of the board's EEG channels it takes."""
    from ...recordings.channels import channel, positions

    n = len(described.get("eeg_channels", ()))
    if not n:
        raise SignalMismatchError(f"The board '{spec.board}' has no EEG channels", allowed="a board of EEG")
    names = [word.strip() for word in described.get("eeg_names", "").split(",") if word.strip()]
    if len(names) != n and len(spec.channels) != n:
        raise SignalMismatchError(
            f"BrainFlow does not name the {n} EEG channels of '{spec.board}'",
            remedy=f"Give 'channels': {n} names in the order of the board",
        )
    labels = names if len(names) == n else list(spec.channels)
    standard = tuple(channel(label).name for label in labels)
    types = ("eeg",) * n
    signal = SignalSpec(
        sfreq=described["sampling_rate"], ch_names=standard, ch_types=types, positions=positions(standard, types)
    )
    return picked(signal, spec.channels)
