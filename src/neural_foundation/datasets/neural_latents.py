"""The recordings of the Neural Latents Benchmark '21 (https://neurallatents.github.io), by their names."""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

from pydantic import Field

from .base import DatasetInfo
from .dandi import NwbFiles
from .sources import Dandi, Source

Task = Literal["mc_maze", "mc_maze_large", "mc_maze_medium", "mc_maze_small", "mc_rtt", "area2_bump", "dmfc_rsg"]
TASKS: tuple[str, ...] = get_args(Task)
_NUMBER = {
    "mc_maze": "000128",
    "mc_maze_large": "000138",
    "mc_maze_medium": "000139",
    "mc_maze_small": "000140",
    "mc_rtt": "000129",
    "area2_bump": "000127",
    "dmfc_rsg": "000130",
}


class NeuralLatents(NwbFiles):
    """One set of the benchmark: motor cortex in a maze of reaches (mc_maze and its small, medium and large sessions),
    in random reaches (mc_rtt), somatosensory cortex (area2_bump), frontal cortex in timing (dmfc_rsg).

    The same files as `dandi` with the set's number, in the same folder. The `desc-test` files hide the neurons and the
    behaviour that the benchmark asks for.
    """

    kind: Literal["neural_latents"] = "neural_latents"
    task: Task = Field("mc_maze", description="which of the benchmark's sets")
    folders: ClassVar[tuple[str, ...]] = tuple(f"dandi/{number}" for number in _NUMBER.values())
    source: ClassVar[Source | None] = Dandi(_NUMBER["mc_maze"])
    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="Neural Latents Benchmark '21",
        licence="CC BY 4.0",
        citation=(
            "Pei et al. 2021, Neural Latents Benchmark '21: Evaluating latent variable models of neural population "
            "activity, NeurIPS Datasets and Benchmarks; and the paper that the page of each dandiset names"
        ),
        url="https://neurallatents.github.io/",
        n_subjects=4,
        note=(
            "One monkey a set: Jenkins (mc_maze), Indy (mc_rtt), Han (area2_bump), Haydn (dmfc_rsg). Units, channels "
            "and rates differ between the sets; hand kinematics are at 1000 Hz. Dandisets 000128 (mc_maze), 000138, "
            "000139 and 000140 (its large, medium and small sessions), 000129 (mc_rtt), 000127 (area2_bump), 000130 "
            "(dmfc_rsg). DANDI's SHA-256 of each file is verified."
        ),
        files="sub-SUBJECT/sub-SUBJECT_....nwb",
    )

    def places(self) -> tuple[str, ...]:
        number = _NUMBER[self.task]
        return (f"dandi/{number}", number)

    def origin(self) -> Source | None:
        return Dandi(_NUMBER[self.task], self.version)
