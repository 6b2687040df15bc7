"""export: a package with its graph: of a step, its state in and out; or of a window. An estimator has neither."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ...core.errors import DataError, SpecError
from ...core.seeds import generator
from ...core.store import atomic, read_json, write_json
from ...models.package import GRAPH, WINDOW_GRAPH, Package
from ...models.packed import CARD, FACTS, WEIGHTS
from ...models.reference import REFERENCE
from ...sampling.windows import WindowSet
from ..stage import Item, Job, Port, Stage
from .prepare import Prepared
from .split import Fold

KEPT = (FACTS, WEIGHTS, CARD, REFERENCE, "fold.json")  # a confidence is among the facts
PROGRAM, INT8, TREES = "window.pt2", "window.int8.onnx", "trees.onnx"
CALIBRATED_ON = 64  # training windows that the ranges of int8 are taken from


class Export(Stage):
    """Export the model of one fold for live decoding.

    A network that decides on whole windows may also be written as a program of torch.export ('torch') and in 8 bits
    ('int8'). The latter is kept where the KL divergence on held-out windows rises by no more than `int8_rise`; it needs
    `inputs.data`. `export.json` says what was kept and why, and under `parity` how far each graph is from its model.
    """

    kind: Literal["export"] = "export"
    fold: str | int | None = Field(None, description="which fold's package, where there are several")
    formats: tuple[Literal["onnx", "torch", "int8"], ...] = Field(
        ("onnx",), description="onnx always; torch and int8 of networks of whole windows"
    )
    int8: Literal["static", "dynamic"] = Field("static", description="static: convolutions too; dynamic: dense layers")
    int8_rise: float = Field(0.01, ge=0, description="nats that the KL divergence may rise by in 8 bits")
    int8_windows: int = Field(512, ge=1, description="held-out windows that decide on it, at most")

    takes: ClassVar[Mapping[str, Port]] = {
        "model": Port("Package"),
        "data": Port("Prepared", many=True, required=False),
    }
    version: ClassVar[int] = 2
    gives: ClassVar[str] = "Exported"

    @model_validator(mode="after")
    def _formats_fit(self) -> Export:
        if "onnx" not in self.formats:
            raise ValueError("formats are written beside 'onnx': name it, too")
        return self

    def chosen_axes(self) -> Item:
        return {} if self.fold is None else {"fold": str(self.fold)}

    def run(self, job: Job) -> None:
        source = job.one("model")
        package = Package.open(source.folder)
        self._check(job, package)
        for name in KEPT:
            if name == REFERENCE and not (source.folder / name).is_file():
                continue  # not every package has one
            with atomic(job.folder / name) as temporary:
                shutil.copyfile(source.path(name), temporary)
        made: dict[str, Any] = {"graph": None}  # an estimator decides on whole windows as it is
        if package.facts.model.family == "network":
            made = self._window(package, job) if package.whole_windows else self._step(package, job)
        elif (job.folder / TREES).is_file():  # who asked for it wrote it there
            made |= self._trees(package, job)
        write_json(job.folder / "export.json", made | {"fold": read_json(job.folder / "fold.json")["name"]})

    def _check(self, job: Job, package: Package) -> None:
        network = package.facts.model.family == "network" and package.whole_windows
        if len(set(self.formats)) > 1 and not network:
            given = f"Stage '{job.stage}': formats {', '.join(self.formats)} of a {package.facts.model.kind}"
            raise SpecError(given, allowed="'onnx' alone", remedy="Only networks of whole windows have other formats")
        if "int8" in self.formats and not job.inputs.get("data"):
            given = f"Stage '{job.stage}': int8 is judged on held-out windows, and there are none"
            raise SpecError(given, remedy="Set inputs.data to the stage that prepared them, or leave out 'int8'")

    def _step(self, package: Package, job: Job) -> dict[str, Any]:
        from ...export.parity import step_parity
        from ...export.step_graph import export_step

        network = package.network()
        graph = export_step(network, job.folder / GRAPH, tokens="one")
        job.progress(1, 1, "exported")
        return {
            "graph": GRAPH,
            "hop": graph.hop,
            "n_chans": graph.n_chans,
            "n_nodes": graph.n_nodes,
            "parity": step_parity(network, graph.path),
        }

    def _trees(self, package: Package, job: Job) -> dict[str, Any]:
        from ...export.parity import tree_parity

        path = job.folder / TREES
        return {"trees": TREES, "n_bytes": path.stat().st_size, "parity": tree_parity(package, path)}

    def _window(self, package: Package, job: Job) -> dict[str, Any]:
        from ...export.window_graph import export_window, parity

        network: Any = package.network()
        program = job.folder / PROGRAM if "torch" in self.formats else None
        graph = export_window(network, job.folder / WINDOW_GRAPH, program=program)
        made: dict[str, Any] = {
            "graph": WINDOW_GRAPH,
            "n_times": graph.n_times,
            "least_times": graph.least_times,
            "n_chans": graph.n_chans,
            "n_nodes": graph.n_nodes,
            "n_bytes": graph.n_bytes,
            "parity": parity(network, graph.path),
        }
        if program is not None:
            made["program"] = PROGRAM
        if "int8" in self.formats:
            job.progress(1, 2, "in 8 bits")
            made["int8"] = self._int8(job)
        job.progress(1, 1, "exported")
        return made

    def _int8(self, job: Job) -> dict[str, Any]:
        """Write the 8-bit graph where it is good enough; return the facts. Ranges come from training windows."""
        from ...export.window_graph import export_int8, kl_gate

        fold = Fold.model_validate(read_json(job.folder / "fold.json"))
        every = Prepared.of(job.inputs["data"]).labelled()
        every = Package.open(job.folder).seen_of(every)
        train, held = fold.choose(every, "train"), fold.choose(every, "validation")
        judged, role = (held, "validation") if len(held) else (train, "train")
        if not len(train) or not len(judged):
            raise DataError(f"Fold '{fold.name}' has no training windows in this data", remedy="Check inputs.data")
        train, judged = _some(train, CALIBRATED_ON, job.seed), _some(judged, self.int8_windows, job.seed)
        job.subjects.update(train.subject.tolist(), judged.subject.tolist())
        facts = export_int8(
            job.folder / WINDOW_GRAPH,
            job.folder / INT8,
            calibration=train.load(),
            signal=judged.load(),
            votes=_votes(judged, Package.open(job.folder)),
            mode=self.int8,
            gate=lambda before, after, votes: kl_gate(before, after, votes, allowed=self.int8_rise),
        )
        return facts | {"role": role}


def _some(windows: WindowSet, most: int, seed: int) -> WindowSet:
    """Return at most so many of the windows, in their order."""
    return windows.select(np.sort(generator(seed, "int8").permutation(len(windows))[:most]))


def _votes(windows: WindowSet, package: Package) -> NDArray[Any]:
    """Return what experts said of the windows (n, K), or one vote for each label."""
    if windows.votes is not None:
        return windows.votes
    assert package.facts.target is not None
    return np.eye(package.facts.target.n_outputs)[windows.target]
