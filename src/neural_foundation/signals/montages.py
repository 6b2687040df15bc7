"""Bipolar montages by name: which pairs they are of, and which channels of a signal those are."""

from __future__ import annotations

from ..core.errors import SignalMismatchError, one_of
from ..core.specs import SignalSpec

OLD_NAMES = {"T7": "T3", "T8": "T4", "P7": "T5", "P8": "T6"}  # 10-10 name: its name in the 10-20 system

_LEFT_TEMPORAL = "Fp1-F7 F7-T7 T7-P7 P7-O1"
_RIGHT_TEMPORAL = "Fp2-F8 F8-T8 T8-P8 P8-O2"
_LEFT_CENTRAL = "Fp1-F3 F3-C3 C3-P3 P3-O1"
_RIGHT_CENTRAL = "Fp2-F4 F4-C4 C4-P4 P4-O2"

_PAIRS = {
    "double_banana": f"{_LEFT_TEMPORAL} {_RIGHT_TEMPORAL} {_LEFT_CENTRAL} {_RIGHT_CENTRAL} Fz-Cz Cz-Pz",
    "transverse": (
        "F7-Fp1 Fp1-Fp2 Fp2-F8 F7-F3 F3-Fz Fz-F4 F4-F8 T7-C3 C3-Cz Cz-C4 C4-T8 "
        "P7-P3 P3-Pz Pz-P4 P4-P8 P7-O1 O1-O2 O2-P8"
    ),
    "tcp": (f"{_LEFT_TEMPORAL} {_RIGHT_TEMPORAL} A1-T7 T7-C3 C3-Cz Cz-C4 C4-T8 T8-A2 {_LEFT_CENTRAL} {_RIGHT_CENTRAL}"),
}


def montage_pairs(montage: str) -> tuple[tuple[str, str], ...]:
    """Return the (anode, cathode) pairs of a montage, in 10-10 names."""
    pairs = (pair.split("-") for pair in _PAIRS[montage].split())
    return tuple((anode, cathode) for anode, cathode in pairs)


def montage_channels(montage: str, signal: SignalSpec) -> dict[str, str]:
    """Return, for each electrode of a montage, the signal's own name of it.

    Upper and lower case are the same, and so are the old and the new names of T7, T8, P7 and P8. SignalMismatchError
    lists the electrodes that the signal has not; one that it has under both names is not guessed.
    """
    here = {name.lower(): name for name in signal.ch_names}
    found: dict[str, str] = {}
    missing = []
    for electrode in dict.fromkeys(e for pair in montage_pairs(montage) for e in pair):
        names = [here[n.lower()] for n in (electrode, OLD_NAMES.get(electrode, electrode)) if n.lower() in here]
        if len(set(names)) > 1:
            raise SignalMismatchError(
                f"reference: the signal has {electrode} twice, as {one_of(dict.fromkeys(names))}",
                remedy="Pick one of the two first",
            )
        if names:
            found[electrode] = names[0]
        else:
            missing.append(electrode + (f" ({OLD_NAMES[electrode]})" if electrode in OLD_NAMES else ""))
    if missing:
        raise SignalMismatchError(
            f"reference: montage '{montage}' needs {len(missing)} electrodes that the signal has not: "
            f"{', '.join(missing)}",
            allowed="all electrodes of the montage; upper and lower case are the same",
            remedy="Give the pairs that there are as 'pairs', or leave out recordings without them",
        )
    return found
