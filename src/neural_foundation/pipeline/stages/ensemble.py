"""ensemble: what several models say of the people their folds held out, made one; learned nested by person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...core.errors import DataError, SpecError, one_of
from ...core.lineage import Output
from ...core.store import load_arrays, read_json, save_arrays, write_json
from ..stage import Job, Port, Stage
from .evaluate import model_name, predict
from .prepare import Prepared
from .split import Fold

if TYPE_CHECKING:
    from ...evaluation.ensemble_scores import Voted
    from ...evaluation.ensembling import Nested
    from ...sampling.windows import WindowSet

Array = NDArray[Any]
Method = Literal["mean", "weighted", "geometric", "stacked"]


class Ensemble(Stage):
    """Learn temperatures, weights and a stacked regression from out-of-fold probabilities.

    `models` are the members, each the mean of its seeds; `baselines` are scored beside them. What is judged of a fold
    is learned on the other folds; what is deployed, on all of them.
    """

    kind: Literal["ensemble"] = "ensemble"
    method: Method = Field("weighted", description="which ensemble is deployed, chosen before its score is known")
    alike: Literal["votes", "windows"] = Field(
        "votes", description="what counts alike as the ensemble learns: each vote, or each window, as in its score"
    )
    shrink: float = Field(0.01, ge=0, description="pull of the weights to equal ones")
    strengths: tuple[float, ...] = Field(
        (10.0, 1.0, 0.1, 0.01, 0.001), min_length=1, description="of the pull of stacking, of which folds choose one"
    )

    takes = {
        "data": Port("Prepared", many=True),
        "models": Port("Package", many=True),
        "baselines": Port("Package", many=True, required=False),
    }
    gives: ClassVar[str] = "Ensemble"
    version: ClassVar[int] = 1

    def run(self, job: Job) -> None:
        from ...evaluation.ensembling import learn, nested

        data = Prepared.of(job.inputs["data"])
        windows = data.labelled()
        job.subjects.update(data.subjects)
        said = gather(job, windows)
        rows, fold = said.rows()
        p, windows = said.probability[rows], windows.select(rows)
        votes = votes_of(windows, len(data.classes))
        names, n_members = said.names, said.n_members
        weight = (votes.sum(1) > 0).astype(np.float64) if self.alike == "windows" else None
        learning: dict[str, Any] = {
            "weight": weight,
            "shrink": self.shrink,
            "strengths": self.strengths,
            "seed": job.seed,
        }
        made = nested(p[:, :n_members], votes, windows.subject, fold, names=names[:n_members], **learning)
        whole = np.asarray(np.isfinite(p[:, :n_members]).all((0, 2)))  # deployed are those that spoke of every fold
        if not whole.any():
            given = "No model spoke of all folds, so that none can be deployed"
            raise DataError(given, remedy="Look at `left_out` of the folds: fit the models that failed again")
        members = [n for n, there in zip(names[:n_members], whole.tolist(), strict=True) if there]
        final = learn(p[:, :n_members][:, whole], votes, windows.subject, **learning)
        scores, arrays = self._scored(job, data, windows, fold, p, votes, said, made)
        value = {
            "classes": list(data.classes),
            "method": self.method,
            "members": names[:n_members],
            "final": {"members": members, **final.value()},
            "by_fold": {
                str(f): {"members": [names[m] for m in made.members[f]], **blend.value()}
                for f, blend in made.blends.items()
            },
            "left_out": [left._asdict() for left in made.left_out],
            "failed": said.failed,
            "votes": windows.votes is not None,
            "n_unvoted": int((votes.sum(1) == 0).sum()),
            "scores": scores,
        }
        write_json(job.folder / "ensemble.json", value)
        save_arrays(job.folder / "oof.npz", arrays)

    def _scored(
        self,
        job: Job,
        data: Prepared,
        windows: WindowSet,
        fold: Array,
        p: Array,
        votes: Array,
        said: Said,
        made: Nested,
    ) -> tuple[dict[str, Any], dict[str, Array]]:
        from ...evaluation.ensemble_scores import Voted, ensemble_scores

        truth = true_probabilities(data, windows)
        references = {"class frequency": made.frequency, "uniform": np.full_like(votes, 1 / votes.shape[1])}
        references |= {} if truth is None else {"truth": truth}
        entropy, disagreement = _unsure(p, fold, made)
        voted = votes.sum(1) > 0
        on = Voted(votes[voted], windows.target[voted], windows.subject[voted], fold[voted], job.seed)
        named = dict(zip(said.names, p.transpose(1, 0, 2), strict=True))
        members, baselines = said.names[: said.n_members], said.names[said.n_members :]
        scores = ensemble_scores(
            on,
            {n: named[n][voted] for n in members if np.isfinite(named[n][voted]).any()},
            {n: v[voted] for n, v in made.probability.items()},
            baselines={n: named[n][voted] for n in baselines if np.isfinite(named[n][voted]).any()},
            references={n: v[voted] for n, v in references.items()},
        )
        scores["uncertainty"] = _uncertainty(on, made.probability[self.method][voted], entropy, disagreement, voted)
        arrays = {
            "members": np.array(members),
            "baselines": np.array(baselines, dtype=np.str_),
            "probability": p[:, : said.n_members],
            "baseline_probability": p[:, said.n_members :],
            **{f"ensemble_{n}": v for n, v in made.probability.items()},
            **{f"reference_{n.replace(' ', '_')}": v for n, v in references.items() if n != "uniform"},
            "votes": votes,
            "target": windows.target,
            "patient": windows.subject,
            "session": windows.session,
            "trial": windows.trial,
            "start": windows.start,
            "fold": fold,
            "entropy": entropy,
            "disagreement": disagreement,
        }
        return scores, arrays


@dataclass
class Said:
    """What models said of the windows their folds held out.

    probability : (n, M, K), members first, the mean of a model's seeds; NaN where it said nothing. fold : (n,), -1
    where nobody said anything. failed : packages that gave no numbers.
    """

    names: list[str]
    n_members: int
    probability: Array
    fold: NDArray[np.int64]
    failed: list[dict[str, Any]] = field(default_factory=list)

    def rows(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the windows that some fold held out, and their folds; DataError where there are none."""
        rows = np.flatnonzero(self.fold >= 0)
        if not len(rows):
            raise DataError("No model gave numbers for a window it was not fitted on", remedy="Fit the models again")
        return rows, self.fold[rows]


def gather(job: Job, windows: WindowSet) -> Said:
    """Return the out-of-fold probabilities of the models and baselines of a stage.

    DataError where two folds hold out one window; SpecError where a name is both a member's and a baseline's.
    """
    outputs = [*job.inputs["models"], *job.inputs.get("baselines", [])]
    members = _names(job.inputs["models"])
    baselines = _names(job.inputs.get("baselines", []))
    both = [n for n in baselines if n in members]
    if both:
        raise SpecError(f"{one_of(both)} is both a member of the ensemble and a baseline", remedy="Leave it out of one")
    names = [*members, *baselines]
    place = {key: i for i, key in enumerate(_keys(windows))}
    total: Array | None = None
    counts = np.zeros((len(windows), len(names)), np.int64)
    said = Said(names, len(members), np.zeros(0), np.full(len(windows), -1))
    for done, output in enumerate(outputs):
        job.progress(done, len(outputs), f"deciding with {output.stage} {output.item}")
        fold = Fold.model_validate(read_json(output.path("fold.json")))
        rows = np.array([place[key] for key in _keys(fold.choose(windows, "test"))], np.int64)
        found, m = predict(output, windows), names.index(model_name(output))
        _in_one_fold(said.fold, rows, found.fold)
        said.fold[rows] = found.fold
        p = found.probability
        total = np.zeros((len(windows), len(names), p.shape[1])) if total is None else total
        bad = int((~np.isfinite(p).all(1)).sum())
        if bad:  # a seed that failed says nothing; the others speak for the model
            said.failed.append({"model": names[m], "item": output.item, "windows": bad})
            continue
        total[rows, m] += p / p.sum(1, keepdims=True)
        counts[rows, m] += 1
    assert total is not None
    said.probability = np.where(counts[..., None] > 0, total / np.maximum(counts, 1)[..., None], np.nan)
    return said


def votes_of(windows: WindowSet, n_classes: int) -> NDArray[np.float64]:
    """Return the votes (n, K) of windows; one vote for the label where no experts were asked."""
    if windows.votes is None:
        return np.eye(n_classes)[windows.target]
    return np.asarray(windows.votes, np.float64)


def true_probabilities(data: Prepared, windows: WindowSet) -> Array | None:
    """Return the probabilities (n, K) that votes were drawn from, where the data was simulated and they were kept."""
    made = np.full((len(windows), len(data.classes)), np.nan)
    for file, (output, facts) in enumerate(zip(data.outputs, data.facts, strict=True)):
        mine = windows.file == file
        if not mine.any():
            continue
        path = output.path(f"{facts['recording']}-truth.npz")
        known = load_arrays(path).get("probabilities") if path.is_file() else None
        if known is None or known.ndim != 2 or known.shape[1] != made.shape[1]:
            return None
        if len(known) <= windows.trial[mine].max():
            return None
        made[mine] = known[windows.trial[mine]]
    return np.asarray(made / made.sum(1, keepdims=True))


def _names(outputs: Sequence[Output]) -> list[str]:
    return list(dict.fromkeys(model_name(o) for o in outputs))


def _keys(windows: WindowSet) -> list[tuple[int, int, int]]:
    columns = (windows.file.tolist(), windows.start.tolist(), windows.trial.tolist())
    return list(zip(*columns, strict=True))


def _in_one_fold(known: Array, rows: Array, fold: Array) -> None:
    other = (known[rows] >= 0) & (known[rows] != fold)
    if other.any():
        raise DataError(
            f"{int(other.sum())} windows are held out by two folds ({known[rows][other][0]} and {fold[other][0]})",
            remedy="Fit all members on the folds of one split",
        )


def _unsure(p: Array, fold: Array, made: Nested) -> tuple[Array, Array]:
    """Return entropy and disagreement (n,) of the members of each fold's ensemble, by its weights."""
    from ...evaluation.ensembling import uncertainty
    from ...evaluation.ensembling_solvers import tempered

    entropy, disagreement = np.zeros(len(p)), np.zeros(len(p))
    for f, members in made.members.items():
        mine, blend = fold == f, made.blends[f]
        warm = tempered(p[mine][:, members], blend.temperatures)
        entropy[mine], disagreement[mine] = uncertainty(warm, blend.weights)
    return entropy, disagreement


def _uncertainty(on: Voted, p: Array, entropy: Array, disagreement: Array, voted: Array) -> dict[str, Any]:
    from ...evaluation.ensemble_scores import uncertainty_scores
    from ...evaluation.ensembling import Uncertainty

    return uncertainty_scores(on, p, Uncertainty(entropy[voted], disagreement[voted]))
