"""The table of positions equals MNE's."""

from __future__ import annotations

import mne
import numpy as np

from neural_foundation.recordings.montage import names_by_lower, standard_1005


def test_positions_equal_those_of_mne() -> None:
    name = "colin27_1005" if "colin27_1005" in mne.channels.get_builtin_montages() else "standard_1005"
    montage = mne.channels.make_standard_montage(name)
    info = mne.create_info(montage.ch_names, 100.0, "eeg")
    info.set_montage(montage)
    theirs = {ch["ch_name"]: ch["loc"][:3] for ch in info["chs"]}
    ours = standard_1005()
    assert set(ours) == set(theirs)
    for electrode, position in ours.items():
        np.testing.assert_allclose(position, theirs[electrode], atol=1e-6, rtol=0)


def test_no_two_names_differ_in_case_only() -> None:
    assert len(names_by_lower()) == len(standard_1005())
    assert names_by_lower()["fcz"] == "FCz"
