"""Labels of real recordings become standard names, types and positions."""

from __future__ import annotations

import pytest

from neural_foundation.recordings.channels import channel, label_of, positions, repeated
from neural_foundation.recordings.montage import standard_1005


@pytest.mark.parametrize(
    ("label", "name", "kind"),
    [
        ("EEG Fp1", "Fp1", "eeg"),
        ("Fp1.", "Fp1", "eeg"),
        ("C5..", "C5", "eeg"),
        ("Fcz.", "FCz", "eeg"),
        ("FP1", "Fp1", "eeg"),
        ("EEG FP1-REF", "Fp1", "eeg"),
        ("T3", "T3", "eeg"),
        ("EEG A2-A1", "A2-A1", "misc"),
        ("M1-M2", "M1-M2", "misc"),
        ("ECG ECG", "ECG", "ecg"),
        ("ECG", "ECG", "ecg"),
        ("EKG 2", "2", "ecg"),
        ("LEOG", "LEOG", "eog"),
        ("EOG horizontal", "horizontal", "eog"),
        ("EMG chin", "chin", "emg"),
        ("EXG5", "EXG5", "misc"),
        ("Resp oro-nasal", "Resp oro-nasal", "misc"),
        ("EEG Fpz-Cz", "Fpz-Cz", "eeg"),
        ("3Hz +5/-5 V", "3Hz +5/-5 V", "eeg"),
        ("MISC Fp1", "Fp1", "misc"),
        ("...", "...", "eeg"),
    ],
)
def test_labels(label: str, name: str, kind: str) -> None:
    assert (channel(label).name, channel(label).type) == (name, kind)


@pytest.mark.parametrize(
    ("name", "kind", "label"),
    [
        ("Fp1", "eeg", "Fp1"),
        ("Fp1", "misc", "MISC Fp1"),
        ("ECG", "ecg", "ECG"),
        ("X", "eog", "EOG X"),
        ("LEOG", "eeg", "EEG LEOG"),
    ],
)
def test_a_label_that_says_it_all(name: str, kind: str, label: str) -> None:
    assert label_of(name, kind) == label


@pytest.mark.parametrize(("name", "kind"), [("FP1", "eeg"), ("Fp1.", "eeg"), ("x", "mag")])
def test_what_no_label_can_say(name: str, kind: str) -> None:
    assert label_of(name, kind) is None


def test_positions_are_for_eeg_with_a_standard_name() -> None:
    found = positions(("Fp1", "Fp2", "X1"), ("eeg", "eog", "eeg"))
    assert found == (standard_1005()["Fp1"], None, None)


def test_biosemi_names_have_no_position() -> None:
    assert positions(("A1", "A2", "A3", "C3"), ("eeg",) * 4) == (None,) * 4
    assert None not in positions(("A1", "A2", "C3"), ("eeg",) * 3)


def test_repeated() -> None:
    assert repeated(["a", "b", "a", "c", "b"]) == ["a", "b"]
