"""export_ensemble: an ensemble and the packages of its members -> one folder that `serve` takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from ...core.errors import DataError, PackageError, SpecError, one_of
from ...core.lineage import Output
from ...core.store import load_arrays, read_json, write_bytes, write_json
from ...export.ensemble_package import MEMBERS, EnsembleFacts, check_shared, covering, save_ensemble
from ...models.package import Package
from ...models.packed import CARD
from ..stage import Item, Job, Port, Stage
from .ensemble_benchmark import BENCHMARK
from .evaluate import model_name
from .export import Export
from .split import Fold

TABLE = "benchmark.md"
Chosen = dict[str, list[Output]]  # the packages of each member


class ExportEnsemble(Stage):
    """Deploy an ensemble: the packages of its members with their graphs, the final blend, a card and a benchmark.

    A member is the mean of its packages: those of all folds, or of one. A package that gave no numbers where the
    ensemble was learned is left out, and so is a model that the final blend goes without. 8 bits are tried for networks
    of whole windows, written beside their graphs where the gate keeps them, and need `inputs.data`; programs of
    torch.export are written beside them where `torch` asks for it. What is served is the float graph.
    """

    kind: Literal["export_ensemble"] = "export_ensemble"
    fold: str | int | None = Field(
        None, description="which fold's packages are deployed; None: those of all folds, a member is their mean"
    )
    int8: bool = Field(False, description="try each network of whole windows in 8 bits")
    torch: bool = Field(False, description="write each network of whole windows as a program of torch.export, too")
    gate_kl: float = Field(0.01, ge=0, description="nats that the KL divergence of a network may rise by in 8 bits")
    task: str = Field("", description="the name that the ensemble is asked for by; '': the stage's")

    takes: ClassVar[Mapping[str, Port]] = {
        "ensemble": Port("Ensemble"),
        "models": Port("Package", many=True),
        "data": Port("Prepared", many=True, required=False),
    }
    version: ClassVar[int] = 2
    gives: ClassVar[str] = "EnsemblePackage"
    resumes: ClassVar[bool] = True

    def chosen_axes(self) -> Item:
        return {} if self.fold is None else {"fold": str(self.fold)}

    def run(self, job: Job) -> None:
        from ...evaluation.ensembling import Blend
        from .ensemble_benchmark import measured, table
        from .ensemble_card import card

        value = read_json(job.one("ensemble").path("ensemble.json"))
        if self.int8 and not job.inputs.get("data"):
            given = f"Stage '{job.stage}': int8 is judged on held-out windows, and there are none"
            raise SpecError(given, remedy="Set inputs.data to the stage that prepared them, or leave out 'int8'")
        chosen = chosen_packages(job, value)
        opened = {name: [Package.open(o.folder) for o in found] for name, found in chosen.items()}
        check_shared([p for packages in opened.values() for p in packages])
        _check_classes(next(iter(opened.values()))[0], value["classes"])
        job.subjects.update(load_arrays(job.one("ensemble").path("oof.npz"))["patient"].tolist())  # the blend's
        folders = self._members(job, chosen)
        facts = facts_of(opened, job, self.task, value)
        package = save_ensemble(job.folder, facts, Blend.of(value["final"]), value["method"], folders)
        write_bytes(job.folder / CARD, card(package, value).encode())
        found = measured(package)
        write_json(job.folder / BENCHMARK, found)
        write_bytes(job.folder / TABLE, table(found).encode())
        job.measured += [BENCHMARK, TABLE]

    def _members(self, job: Job, chosen: Chosen) -> dict[str, Sequence[Path]]:
        """Write each package with its graphs, unless that was done before a kill; return their folders by member."""
        folders: dict[str, Sequence[Path]] = {}
        total, done = sum(map(len, chosen.values())), 0
        for name, outputs in chosen.items():
            made = []
            for output in outputs:
                job.progress(done, total, f"exporting {output.stage} {output.item}")
                made.append(self._member(job, output, job.folder / MEMBERS / name / (output.item or "all")))
                done += 1
            folders[name] = made
        return folders

    def _member(self, job: Job, output: Output, folder: Path) -> Path:
        fold = Fold.model_validate(read_json(output.path("fold.json")))
        job.subjects.update(fold.train, fold.validation)
        if (folder / "export.json").is_file():  # what `export` writes last
            return folder
        folder.mkdir(parents=True, exist_ok=True)
        package = Package.open(output.folder)
        if package.facts.model.kind == "boosted_trees":
            tree_graph(package, folder)
        stage = Export(formats=self._formats(package), int8_rise=self.gate_kl)
        inputs = {"model": [output], "data": job.inputs.get("data", [])}
        stage.run(Job(job.stage, job.item, job.seed, folder, inputs, job.device, subjects=job.subjects))
        return folder

    def _formats(self, package: Package) -> tuple[Literal["onnx", "torch", "int8"], ...]:
        if package.facts.model.family != "network" or not package.whole_windows:
            return ("onnx",)
        wanted: dict[Literal["torch", "int8"], bool] = {"torch": self.torch, "int8": self.int8}
        return ("onnx", *(name for name, asked in wanted.items() if asked))


def _check_classes(package: Package, wanted: Sequence[str]) -> None:
    classes = package.facts.target.classes if package.facts.target else ()
    if list(classes) != list(wanted):
        given = f"The members decide between {one_of(classes)}"
        raise PackageError(given, allowed=f"{one_of(wanted)}, as the ensemble was learned")


def tree_graph(package: Package, folder: Path) -> None:
    """Write the graph of boosted trees, from features to probabilities; nothing where they learned a single class."""
    from ...export.tree_graph import TREE_GRAPH, export_trees

    if len(package.arrays()["present"]) > 1:
        export_trees(package, folder / TREE_GRAPH)


def chosen_packages(job: Job, value: dict[str, Any]) -> Chosen:
    """Return the packages of each member of the final blend; DataError where a member has none."""
    failed = {(f["model"], f["item"]) for f in value["failed"]}
    chosen: Chosen = {name: [] for name in value["final"]["members"]}
    for output in job.inputs["models"]:
        name = model_name(output)
        if name in chosen and (name, output.item) not in failed:
            chosen[name].append(output)
    missing = [name for name, found in chosen.items() if not found]
    if missing:
        given = f"Stage '{job.stage}': member {one_of(missing)} of the ensemble has no package among inputs.models"
        raise DataError(given, remedy="Name the stages that the ensemble was learned from, and a fold that they have")
    return chosen


def facts_of(opened: Mapping[str, Sequence[Package]], job: Job, task: str, value: dict[str, Any]) -> EnsembleFacts:
    """Return the facts of an ensemble of packages that share a chain; its subjects are all that it learned from."""
    every = [p for packages in opened.values() for p in packages]
    first, scores = every[0].facts, value["scores"]
    return EnsembleFacts(
        chain=first.chain,
        raw=first.raw,
        signal=first.signal,
        target=first.target,
        windows=covering(every),
        subjects=tuple(sorted(job.subjects)),
        name=job.stage,
        task=task or job.stage,
        ensemble=tuple(opened),
        trained={
            **{k: first.trained[k] for k in ("dataset", "licence") if k in first.trained},
            "judged_on": {"people": scores["n_patients"], "windows": scores["n_windows"], "votes": value["votes"]},
            "packages": {n: len(packages) for n, packages in opened.items()},
            "stage": job.stage,
            "key": job.key,
        },
    )
