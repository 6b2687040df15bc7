"""bci_iv_2a and bci_iv_2b: cues, hidden classes and rejected trials."""

from __future__ import annotations

from pathlib import Path

import miniatures
import numpy as np
import pytest
import scipy.io

from neural_foundation.core.errors import RecordingError
from neural_foundation.datasets.bci_iv import BCICompetitionIV
from neural_foundation.datasets.bci_iv_2a import EEG, BCICompetitionIV2a
from neural_foundation.datasets.bci_iv_2b import BCICompetitionIV2b
from neural_foundation.recordings.montage import standard_1005

pytestmark = pytest.mark.usefixtures("gdf_reader")
FOUR = ["left_hand", "right_hand", "feet", "tongue"]


def trials(spec: BCICompetitionIV, index: int = 0) -> list[tuple[float, float, str]]:
    with spec.open(spec.items()[index], Path()) as session:
        return list(session.trials)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return miniatures.bci_iv_2a(tmp_path, [1])


def test_a_trial_is_four_seconds_from_its_cue_and_the_rejected_one_is_left_out(root: Path) -> None:
    cues = [12.0 + 8 * i for i in range(8)]
    kept = [(c, c + 4, w) for i, (c, w) in enumerate(zip(cues, FOUR * 2, strict=True)) if i != 2]
    assert trials(BCICompetitionIV2a(path=root, sessions="training")) == kept
    everything = trials(BCICompetitionIV2a(path=root, sessions="training", rejected="keep"))
    assert everything == [(c, c + 4, w) for c, w in zip(cues, FOUR * 2, strict=True)]


def test_the_hidden_classes_come_from_the_label_file(root: Path) -> None:
    train, evaluation = (trials(BCICompetitionIV2a(path=root, sessions=s)) for s in ("training", "evaluation"))
    assert evaluation == train
    (root / "true_labels").mkdir()
    (root / "A01E.mat").rename(root / "true_labels" / "A01E.mat")
    assert trials(BCICompetitionIV2a(path=root, sessions="evaluation")) == train
    (root / "true_labels" / "A01E.mat").unlink()
    with pytest.raises(RecordingError, match=r"hides the classes .* Put A01E.mat of .* or choose sessions: training"):
        trials(BCICompetitionIV2a(path=root, sessions="evaluation"))


def test_the_channels_of_2a_get_their_published_names(root: Path) -> None:
    spec = BCICompetitionIV2a(path=root)
    with spec.open(spec.items()[1], root) as session:
        signal = session.signal.spec
        assert signal.ch_names[:22] == EEG
        assert signal.ch_types == ("eeg",) * 22 + ("eog",) * 3
        assert signal.positions == tuple(standard_1005()[n] for n in EEG) + (None,) * 3
        assert signal.sfreq == 250.0
    miniatures.graz(root / "A01T.gdf", (*miniatures.GRAZ_A[1:], "EEG-Fz"), miniatures.IMAGERY, cue_s=2.0)
    with pytest.raises(RecordingError, match="its EEG channels are .* Allowed: 22 EEG channels, Fz as number 1, C3 as"):
        trials(BCICompetitionIV2a(path=root, sessions="training"))


def test_2b_has_two_classes_and_several_days_a_person(tmp_path: Path) -> None:
    spec = BCICompetitionIV2b(path=miniatures.bci_iv_2b(tmp_path))
    items = spec.items()
    assert [(i.id, i.subject) for i in items][:3] == [("B0101T", "B01"), ("B0104E", "B01"), ("B0201T", "B02")]
    assert [f.name for f in items[1].files] == ["B0104E.gdf", "B0104E.mat"]
    assert trials(spec)[0] == (13.0, 17.0, "left_hand")
    assert trials(spec, 1) == trials(spec, 0)
    with spec.open(items[0], tmp_path) as session:
        assert session.signal.spec.ch_names[:3] == ("C3", "Cz", "C4")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"classlabel": np.ones((7, 1))}, "it has 7 labels. Allowed: 8, one a trial"),
        ({"classlabel": np.full((8, 1), 5.0)}, "a label is no class. Allowed: 1 to 4"),
        ({"classlabel": np.full((8, 1), 1.5)}, "a label is no class"),
        ({"classlabel": np.array(["a"] * 8)}, "a label is no class"),
        ({"other": np.ones((8, 1))}, "its `classlabel` cannot be read .KeyError"),
    ],
)
def test_labels_that_do_not_fit_are_an_error(root: Path, content: dict[str, object], message: str) -> None:
    scipy.io.savemat(root / "A01E.mat", content)
    with pytest.raises(RecordingError, match=message):
        trials(BCICompetitionIV2a(path=root, sessions="evaluation"))


@pytest.mark.parametrize("size", [0, 10, 150, 260])
def test_a_damaged_label_file_is_an_error(root: Path, size: int) -> None:
    (root / "A01E.mat").write_bytes((root / "A01E.mat").read_bytes()[:size])
    with pytest.raises(RecordingError, match="A01E.mat: "):
        trials(BCICompetitionIV2a(path=root, sessions="evaluation"))


def test_cues_without_a_trial_and_cues_of_both_kinds(root: Path) -> None:
    def write(codes: tuple[str, ...]) -> None:
        miniatures.graz(root / "A01T.gdf", (*miniatures.GRAZ_A, "EOG-left"), codes, cue_s=2.0)

    write(("769", "783"))
    with pytest.raises(RecordingError, match="1 of its 2 cues hide their class"):
        trials(BCICompetitionIV2a(path=root, sessions="training"))
    write(("768", "768"))
    with pytest.raises(RecordingError, match="0 of its 0 cues"):
        trials(BCICompetitionIV2a(path=root, sessions="training"))
    miniatures.graz(root / "A01T.gdf", (*miniatures.GRAZ_A, "EOG-left"), ("769",), cue_s=6.0)
    with pytest.raises(RecordingError, match="no trial .768. starts before the cue at 16 s"):
        trials(BCICompetitionIV2a(path=root, sessions="training"))
