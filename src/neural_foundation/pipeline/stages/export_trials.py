"""export_trials: a package of binned sessions with the graph that decodes one of them live."""

from __future__ import annotations

import logging
import shutil
from typing import Any, ClassVar, Literal

from pydantic import Field

from ...core.errors import SpecError
from ...core.store import atomic, write_json
from ...export.binned_facts import (
    EXPORT,
    STEP,
    WINDOW,
    BinnedExport,
    Place,
    chosen_session,
    hop_of,
    output_spec,
    place_in,
)
from ...models.binned_package import BinnedPackage
from ...models.packed import CARD, FACTS, WEIGHTS
from ..stage import Item, Job, Port, Stage

log = logging.getLogger(__name__)
KEPT = (FACTS, WEIGHTS, CARD, "fold.json")  # a package from elsewhere has no fold


class ExportTrials(Stage):
    """Export the model of one fold for live decoding of one session: `realtime.binned_decoder` opens the folder."""

    kind: Literal["export_trials"] = "export_trials"
    session: str | None = Field(None, description="whose units are decoded, by name; None: the first")
    fold: str | int | None = Field(None, description="which fold's package, where there are several")
    seed: int | None = Field(None, description="which seed's package, where there are several")
    recording: str | None = Field(None, description="which recording's package, where each has one of its own")
    place: Place = Field("last", description="of a model of whole windows: which bin its output is about")
    hop: int | None = Field(
        None, ge=1, description="of a model of whole windows: bins from one output to the next; None: a tenth of one"
    )

    takes = {"model": Port("BinnedPackage")}
    gives: ClassVar[str] = "BinnedExported"

    def chosen_axes(self) -> Item:
        axes = {"fold": self.fold, "seed": self.seed, "recording": self.recording}
        return {axis: str(value) for axis, value in axes.items() if value is not None}

    def run(self, job: Job) -> None:
        from ...realtime.binned_decoder import check_decodes

        source = job.one("model")
        package = BinnedPackage.open(source.folder)
        check_decodes(package)
        job.subjects.update(package.facts.subjects)
        for name in [n for n in KEPT if (source.folder / n).is_file()]:
            with atomic(job.folder / name) as temporary:
                shutil.copyfile(source.path(name), temporary)
        write_json(job.folder / EXPORT, self._exported(package, job).model_dump(mode="json"))
        job.progress(1, 1, "exported")

    def _session(self, package: BinnedPackage, job: Job) -> int:
        """Return the number of the session whose graph is written; it is said where it is one of several."""
        names = [s.name for s in package.facts.binned.sessions]
        if self.session is None and len(names) > 1:
            said = "stage '%s': the graph decodes session '%s', the first of %d; name another with 'session'"
            log.warning(said, job.stage, names[0], len(names))
        return chosen_session(package.facts.binned, self.session or names[0])

    def _exported(self, package: BinnedPackage, job: Job) -> BinnedExport:
        from ...export.binned_graph import export_decoding

        binned, model, fold = package.facts.binned, package.facts.model, package.facts.fold
        number = self._session(package, job)
        causal = bool(getattr(model, "causal", False))
        hop = 1 if causal else hop_of(binned.n_bins, self.hop)
        if causal and (self.hop is not None or self.place != "last"):
            given = f"Stage '{job.stage}': a causal model decodes each bin as it comes"
            raise SpecError(given, remedy="Leave out 'hop' and 'place'")
        ahead = 0 if causal else binned.n_bins - 1 - place_in(binned.n_bins, self.place)
        network: Any = package.network()
        graph = export_decoding(network, job.folder / (STEP if causal else WINDOW), number)
        return BinnedExport(
            graph=graph.path.name,
            session=binned.sessions[number].name,
            outputs=output_spec(binned, number).ch_names,
            hop=hop,
            place=self.place,
            lookahead_s=ahead * binned.bin_s,
            n_nodes=graph.n_nodes,
            fold=fold.name if fold else "",
        )
