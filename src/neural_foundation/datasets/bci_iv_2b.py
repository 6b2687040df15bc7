"""BCI Competition IV, set 2b: imagined movement of the left and right hand, three bipolar channels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, Literal

from .base import DatasetInfo
from .bci_iv import BCICompetitionIV
from .sources import ByHand, Source


class BCICompetitionIV2b(BCICompetitionIV):
    """Two classes; five recordings a person, on different days: `B0s01T`, `B0s02T`, `B0s03T`, `B0s04E`, `B0s05E`.

    The first two have no feedback; in the others a smiley moves from 0.5 s after the cue on.
    """

    kind: Literal["bci_iv_2b"] = "bci_iv_2b"
    folders: ClassVar[tuple[str, ...]] = ("bci-iv-2b", "BCICIV_2b_gdf")
    names: ClassVar[re.Pattern[str]] = re.compile(r"(B0\d)\d\d[TE]\.gdf")
    events: ClassVar[Mapping[str, str]] = {"769": "left_hand", "770": "right_hand"}
    published: ClassVar[re.Pattern[str] | None] = re.compile(r"(?P<subject>B0\d)\d\d([TE]\.gdf|E\.mat)")
    source: ClassVar[Source | None] = ByHand(
        page="https://www.bbci.de/competition/iv/",
        needs="your agreement to the terms of the competition",
        steps=(
            "Agree to the terms on https://www.bbci.de/competition/iv/#download, put BCICIV_2b_gdf.zip, and "
            "https://www.bbci.de/competition/iv/results/ds2b/true_labels.zip for the evaluation, into {folder}, and "
            "run this again"
        ),
        archives={
            "BCICIV_2b_gdf.zip": "1af1625d8a2c7c793d23236000f49cef2a064a71337194585b4fa353eff62e15",
            "true_labels.zip": "e0b7a96b0bef76cd83bba9d5a0662a3caaa8979b69b5707b72cc723bf958cd8a",
        },
    )
    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="BCI Competition IV, set 2b",
        licence="terms of the competition: free for research, name the source",
        citation=(
            "Leeb, Brunner, Mueller-Putz, Schloegl, Pfurtscheller 2008, BCI Competition 2008, Graz data set B; "
            "Tangermann et al. 2012, Review of the BCI Competition IV, Frontiers in Neuroscience 6:55"
        ),
        url="https://www.bbci.de/competition/iv/",
        n_subjects=9,
        sfreq=250.0,
        n_chans=3,
        note=(
            "C3, Cz and C4 are bipolar: differences of electrodes in front of and behind these places. The evaluation "
            "files (E) hide their classes: the labels come from true_labels.zip. Trials that an expert rejected are "
            "left out unless `rejected` is keep. Three EOG channels are included; the rules forbid to classify by them."
        ),
        files="B0sMMT.gdf, B0sMME.gdf, B0sMME.mat (true labels)",
    )
