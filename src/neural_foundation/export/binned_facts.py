"""What an exported package of binned sessions decodes: which channels from which counts (and LFP), where in time.

No torch here: who decodes by the graph needs none.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..core.errors import SpecError, did_you_mean, one_of
from ..core.modalities import BinnedSpec
from ..core.specs import SignalSpec, Spec
from ..signals.spikes import counts_spec

EXPORT, STEP, WINDOW = "export.json", "step.onnx", "window.onnx"
COUNTS, PREDICTIONS = "counts", "predictions"
WINDOWS_A_LENGTH = 10
Place = Literal["last", "middle"]


class BinnedExport(Spec):
    """What `export.json` holds: which graph, of which session, its outputs in order.

    hop : bins from one output to the next. place : of a model of whole windows, the bin of a window that its output
    is about. fold : the package's; empty where it has none.
    """

    graph: str
    session: str
    outputs: tuple[str, ...]
    hop: int = Field(1, ge=1)
    place: Place = "last"
    lookahead_s: float = Field(0.0, ge=0)
    n_nodes: int
    fold: str = ""


def chosen_session(binned: BinnedSpec, session: str | None) -> int:
    """Return the number of a session by its name; None: the only one. SpecError where there is no such, or several."""
    names = [s.name for s in binned.sessions]
    if session is None:
        if len(names) > 1:
            raise SpecError(
                f"The package knows {len(names)} sessions, and decodes one at a time",
                allowed=one_of(names[:8]),
                remedy="Name one with 'session'",
            )
        return 0
    if session not in names:
        given = f"The package does not know session '{session}'.{did_you_mean(session, names)}"
        raise SpecError(given, allowed=one_of(names[:8]), remedy="Fine-tune the package on that session first")
    return names.index(session)


def heard(binned: BinnedSpec, session: int) -> tuple[str, ...]:
    """Return the neural modalities that a session is decoded from, counts first; SpecError where it has no counts."""
    counts = tuple(n for n in binned.of_role("neural", "counts") if binned.channels(session, n))
    if not counts:
        raise SpecError(f"Session '{binned.sessions[session].name}' has no counts to decode from")
    return counts + tuple(n for n in binned.of_role("neural", "continuous") if binned.channels(session, n))


def decoded(binned: BinnedSpec, session: int) -> tuple[str, ...]:
    """Return the behaviours that are decoded, in order; SpecError where there is none."""
    names = tuple(n for n in binned.of_role("behaviour") if binned.channels(session, n))
    if not names:
        raise SpecError(f"Session '{binned.sessions[session].name}' has no behaviour: there is nothing to decode")
    return names


def input_spec(binned: BinnedSpec, session: int) -> SignalSpec:
    """Return the signal that is decoded: a channel a unit, `modality/channel` where it is of several modalities.

    Of LFP a sample is a bin's value, in the modality's unit, as the stage `bin` makes it.
    """
    names = heard(binned, session)
    rows = [(n, channel, binned.modality(n).unit) for n in names for channel in binned.channels(session, n)]
    ids = tuple(c if len(names) == 1 else f"{n}/{c}" for n, c, _ in rows)
    return counts_spec(ids, binned.bin_s).replace(units=tuple(unit for *_, unit in rows))


def output_spec(binned: BinnedSpec, session: int, hop: int = 1) -> SignalSpec:
    """Return the signal that comes out: `modality/channel` in its unit, and `modality/class`, a probability."""
    rows = []
    for modality in (binned.modality(n) for n in decoded(binned, session)):
        channels = modality.classes or binned.channels(session, modality.name)
        rows += [(f"{modality.name}/{c}", modality.unit) for c in channels]
    names, units = zip(*rows, strict=True)
    return SignalSpec(sfreq=1 / (binned.bin_s * hop), ch_names=names, ch_types=("misc",) * len(rows), units=units)


def place_in(n_bins: int, place: Place) -> int:
    """Return the bin of a window of `n_bins` that a place is."""
    return n_bins - 1 if place == "last" else n_bins // 2


def hop_of(n_bins: int, hop: int | None) -> int:
    """Return the bins from one window to the next: as given, or a tenth of a window. SpecError where it is under 1."""
    if hop is not None and hop < 1:
        raise SpecError(f"A hop of {hop} bins", allowed="1 or more")
    return hop or max(1, n_bins // WINDOWS_A_LENGTH)
