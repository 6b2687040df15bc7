"""export: a package with its step graph: the state is in its inputs and outputs. An estimator's has none."""

from __future__ import annotations

import shutil
from typing import Any, ClassVar, Literal

from pydantic import Field

from ...core.store import atomic, read_json, write_json
from ...models.package import GRAPH, Package
from ...models.packed import CARD, FACTS, WEIGHTS
from ...models.reference import REFERENCE
from ..stage import Item, Job, Port, Stage

KEPT = (FACTS, WEIGHTS, CARD, REFERENCE, "fold.json")  # a confidence is among the facts


class Export(Stage):
    """Export the model of one fold for live decoding."""

    kind: Literal["export"] = "export"
    fold: str | int | None = Field(None, description="which fold's package, where there are several")
    formats: tuple[Literal["onnx"], ...] = ("onnx",)

    takes = {"model": Port("Package")}
    gives: ClassVar[str] = "Exported"

    def chosen_axes(self) -> Item:
        return {} if self.fold is None else {"fold": str(self.fold)}

    def run(self, job: Job) -> None:
        source = job.one("model")
        package = Package.open(source.folder)
        for name in KEPT:
            if name == REFERENCE and not (source.folder / name).is_file():
                continue  # not every package has one
            with atomic(job.folder / name) as temporary:
                shutil.copyfile(source.path(name), temporary)
        network = package.facts.model.family == "network"
        made = self._graph(package, job) if network else {"graph": None}  # an estimator decides on whole windows
        write_json(job.folder / "export.json", made | {"fold": read_json(job.folder / "fold.json")["name"]})

    def _graph(self, package: Package, job: Job) -> dict[str, Any]:
        from ...export.step_graph import export_step

        graph = export_step(package.network(), job.folder / GRAPH, tokens="one")
        job.progress(1, 1, "exported")
        return {
            "graph": GRAPH,
            "hop": graph.hop,
            "n_chans": graph.n_chans,
            "n_nodes": graph.n_nodes,
        }
