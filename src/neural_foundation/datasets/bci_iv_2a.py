"""BCI Competition IV, set 2a: imagined movement of left hand, right hand, feet and tongue."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from ..core.errors import RecordingError
from .base import DatasetInfo
from .bci_iv import BCICompetitionIV
from .sources import ByHand, Source

if TYPE_CHECKING:
    from ..recordings import Session

# in the order of the file, in which only five of them have their name (desc_2a.pdf, figure 3)
EEG = (
    *("Fz", "FC3", "FC1", "FCz", "FC2", "FC4", "C5", "C3", "C1", "Cz", "C2", "C4", "C6"),
    *("CP3", "CP1", "CPz", "CP2", "CP4", "P1", "Pz", "P2", "POz"),
)
_NAMED = ("Fz", "C3", "Cz", "C4", "Pz")


class BCICompetitionIV2a(BCICompetitionIV):
    """Four classes; `A0sT.gdf` for training, `A0sE.gdf` for evaluation, recorded on another day.

    The files name five of the 22 EEG channels ('EEG-Fz', 'EEG', ...): all get their published names, by their order.
    """

    kind: Literal["bci_iv_2a"] = "bci_iv_2a"
    folders: ClassVar[tuple[str, ...]] = ("bci-iv-2a", "BCICIV_2a_gdf")
    names: ClassVar[re.Pattern[str]] = re.compile(r"(A0\d)[TE]\.gdf")
    events: ClassVar[Mapping[str, str]] = {"769": "left_hand", "770": "right_hand", "771": "feet", "772": "tongue"}
    published: ClassVar[re.Pattern[str] | None] = re.compile(r"(?P<subject>A0\d)([TE]\.gdf|E\.mat)")
    source: ClassVar[Source | None] = ByHand(
        page="https://www.bbci.de/competition/iv/",
        needs="your agreement to the terms of the competition",
        steps=(
            "Agree to the terms on https://www.bbci.de/competition/iv/#download, put BCICIV_2a_gdf.zip, and "
            "https://www.bbci.de/competition/iv/results/ds2a/true_labels.zip for the evaluation, into {folder}, and "
            "run this again"
        ),
        archives={
            "BCICIV_2a_gdf.zip": "65fe93cb766e4b00ece69a200312d81f54bba17c642406bd922d913a8aedc024",
            "true_labels.zip": "a5e21dbd7e92d2959a3579d18de0defa9ca1a85eec17931118f81dbe141c6302",
        },
    )
    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="BCI Competition IV, set 2a",
        licence="terms of the competition: free for research, name the source",
        citation=(
            "Brunner, Leeb, Mueller-Putz, Schloegl, Pfurtscheller 2008, BCI Competition 2008, Graz data set A; "
            "Tangermann et al. 2012, Review of the BCI Competition IV, Frontiers in Neuroscience 6:55"
        ),
        url="https://www.bbci.de/competition/iv/",
        n_subjects=9,
        sfreq=250.0,
        n_chans=22,
        note=(
            "The evaluation files (E) hide their classes: the labels come from true_labels.zip. Trials that an expert "
            "rejected are left out unless `rejected` is keep. Between runs the files have samples that are not valid. "
            "The signal was filtered to 0.5 to 100 Hz. Three EOG channels are included; the rules of the competition "
            "forbid to classify by them."
        ),
        files="A0sT.gdf, A0sE.gdf, A0sE.mat (true labels)",
    )

    def name_channels(self, session: Session, gdf: Path) -> None:
        from ..recordings.montage import standard_1005

        spec = session.signal.spec
        found = tuple(n for n, t in zip(spec.ch_names, spec.ch_types, strict=True) if t == "eeg")
        known = [(i, name) for i, name in enumerate(EEG) if name in _NAMED]
        if len(found) != len(EEG) or any(found[i] not in (name, f"EEG-{name}") for i, name in known):
            allowed = f"{len(EEG)} EEG channels, {', '.join(f'{name} as number {i + 1}' for i, name in known)}"
            raise RecordingError(gdf, f"its EEG channels are {', '.join(found)}", allowed=allowed)
        names = dict(zip(found, EEG, strict=True))
        renamed = tuple(names.get(name, name) for name in spec.ch_names)
        positions = tuple(
            standard_1005().get(name) if kind == "eeg" else None
            for name, kind in zip(renamed, spec.ch_types, strict=True)
        )
        session.signal.spec = spec.replace(ch_names=renamed, positions=positions)
