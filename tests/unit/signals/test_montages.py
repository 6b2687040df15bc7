"""Montages by name: pairs, old and new names, what is missing."""

from __future__ import annotations

import numpy as np
import pytest

from neural_foundation.core.errors import SignalMismatchError, SpecError
from neural_foundation.core.seeds import generator
from neural_foundation.core.specs import SignalSpec, identity
from neural_foundation.core.stream import run
from neural_foundation.recordings.montage import standard_1005
from neural_foundation.signals import SIGNALS
from neural_foundation.signals.montages import OLD_NAMES, montage_pairs
from neural_foundation.signals.reference import Reference

CAP = "Fp1 Fp2 F7 F3 Fz F4 F8 A1 T7 C3 Cz C4 T8 A2 P7 P3 Pz P4 P8 O1 O2"
NEW = CAP.split()
OLD = [OLD_NAMES.get(name, name) for name in NEW]


def cap(names: list[str]) -> SignalSpec:
    places = standard_1005()
    return SignalSpec(sfreq=250, ch_names=tuple(names), positions=tuple(places.get(n) for n in names))


@pytest.mark.parametrize(("montage", "n"), [("double_banana", 18), ("transverse", 18), ("tcp", 22)])
def test_a_montage_is_made_of_short_steps_and_no_pair_comes_twice(montage: str, n: int) -> None:
    pairs, places = montage_pairs(montage), standard_1005()
    assert len({frozenset(p) for p in pairs}) == len(pairs) == n
    steps = [np.linalg.norm(np.subtract(places[a], places[b])) for a, b in pairs]
    assert 0.02 < min(steps) < max(steps) < 0.09


def test_the_banana_runs_from_front_to_back_in_four_chains_and_a_midline() -> None:
    pairs = montage_pairs("double_banana")
    for chain in (pairs[:4], pairs[4:8], pairs[8:12], pairs[12:16], pairs[16:]):
        assert all(first[1] == second[0] for first, second in zip(chain, chain[1:], strict=False))
        front = [standard_1005()[a][1] for a, _ in chain]
        assert front == sorted(front, reverse=True)


@pytest.mark.parametrize("names", [NEW, OLD, [n.upper() for n in OLD]], ids=["new", "old", "capitals"])
@pytest.mark.parametrize("montage", ["double_banana", "transverse", "tcp"])
def test_old_and_new_names_give_the_same_channels(names: list[str], montage: str) -> None:
    x = generator(0, "montage").standard_normal((len(names), 50)).astype(np.float32)
    op = SIGNALS.parse({"kind": "reference", "montage": montage}).bind(cap(names))  # type: ignore[attr-defined]
    assert op.output.ch_names == tuple(f"{a}-{b}" for a, b in montage_pairs(montage))
    rows = [[NEW.index(e) for e in pair] for pair in montage_pairs(montage)]
    np.testing.assert_array_equal(run(op, x).values, np.stack([x[a] - x[b] for a, b in rows]))


def test_missing_electrodes_are_all_listed() -> None:
    few = cap([n for n in NEW if n not in ("T7", "O2", "Cz")])
    with pytest.raises(SignalMismatchError, match=r"'double_banana' needs 3 .* has not: T7 \(T3\), O2, Cz\."):
        Reference(montage="double_banana").bind(few)


def test_an_electrode_under_both_names_is_not_guessed() -> None:
    with pytest.raises(SignalMismatchError, match="has T7 twice, as 'T7' or 'T3'"):
        Reference(montage="tcp").bind(cap([*NEW, "T3"]))


def test_a_montage_is_in_the_key_only_where_it_is_given() -> None:
    assert identity(Reference()) == {"kind": "reference"}
    assert identity(Reference(montage="tcp")) == {"kind": "reference", "montage": "tcp"}


def test_pairs_keep_their_unit_and_have_only_one(eeg: SignalSpec) -> None:
    mixed = eeg.replace(units=("uV", "uV", "uV", "V", ""))
    assert Reference(pairs=(("C3", "Cz"),)).bind(mixed).output.units == ("uV",)
    with pytest.raises(SignalMismatchError, match="channels of 'C3-Pz' are in 'uV' and 'V'"):
        Reference(pairs=(("C3", "Pz"),)).bind(mixed)


@pytest.mark.parametrize("more", [{"pairs": [["C3", "C4"]]}, {"to": ["Cz"]}])
def test_a_montage_stands_alone(more: dict[str, object]) -> None:
    with pytest.raises(SpecError, match="not both"):
        SIGNALS.parse({"kind": "reference", "montage": "tcp", **more})
