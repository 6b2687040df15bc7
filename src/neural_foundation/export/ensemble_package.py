"""An ensemble as one package: its members' packages as they were fitted, and what makes one decision of theirs.

    package.json     what it is: the members' chain, signals and target, which all of them share, and its windows
    ensemble.json    the blend, the method that is deployed, and SHA-256 of each file of each member
    members/         a folder a member, a package a fold and seed in it
    card.md          for people

Shapes: n windows, C channels, T samples, M members, K classes. A member's probability is the mean of its packages'.
The windows hold those of all members: each is given the part of a window that it learned from.
It lies in this room and not among the models since a blend is part of `evaluation`, where it is learned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from ..core.errors import DataError, PackageError, one_of
from ..core.kinds import spec_error
from ..core.specs import Spec
from ..core.store import read_json, sha256, write_json
from ..models.base import ModelSpec
from ..models.package import GRAPH, WINDOW_GRAPH, Facts, Package
from ..models.packed import FACTS, FORMAT_VERSION, WEIGHTS, read_facts
from ..models.reference import REFERENCE

if TYPE_CHECKING:
    from ..evaluation.ensembling import Blend
    from ..sampling.windows import Windows, WindowSet

ENSEMBLE, MEMBERS = "ensemble.json", "members"
DECISIVE = (FACTS, WEIGHTS, GRAPH, WINDOW_GRAPH, REFERENCE)  # what of a package decides what it says
STAGE = "'export_ensemble'"
SHARED = ("raw", "chain", "signal", "target")  # of the facts: what members must have in common
Method = Literal["mean", "weighted", "geometric", "stacked"]
Floats = NDArray[np.float64]
Predict = Callable[[NDArray[np.float32]], Floats]


class Blended(ModelSpec):
    """Stands for the model in an ensemble's facts. Nobody fits it: it is no kind of the table of models."""

    family: ClassVar[Literal["network", "estimator"]] = "estimator"
    kind: Literal["ensemble"] = "ensemble"


class EnsembleFacts(Facts):
    """What `package.json` of an ensemble holds: the facts that its members share. ensemble : their names, in order."""

    model: Blended = Blended()
    ensemble: tuple[str, ...] = Field(min_length=1)


class Part(Spec):
    """One package of a member: its folder in the ensemble's, and the SHA-256 of each of its files by name."""

    folder: str
    files: dict[str, str] = Field(min_length=1)

    @model_validator(mode="after")
    def _inside(self) -> Part:
        for path in (self.folder, *self.files):
            if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or "\\" in path:
                raise ValueError(f"'{path}' leads out of the ensemble's folder")
        return self


class Member(Spec):
    """A member: its name, and its packages, of which it is the mean."""

    name: str
    packages: tuple[Part, ...] = Field(min_length=1)


class Ensembled(Spec):
    """What `ensemble.json` of a deployed ensemble holds; `blend` is the value of an `evaluation.ensembling.Blend`."""

    format_version: int = FORMAT_VERSION
    method: Method
    blend: dict[str, Any]
    members: tuple[Member, ...] = Field(min_length=1)


class Unsure(NamedTuple):
    """In nats, (n,) each: entropy of the members' mixture, and what of it is their disagreement: 0 where all agree."""

    entropy: Floats
    disagreement: Floats


class EnsemblePackage(Package):
    """An opened ensemble: a Package to whoever asks for decisions; members are read when first asked for.

    members : for each, its packages. It has no weights of its own: `network`, `estimator` and `arrays` say so.
    """

    facts: EnsembleFacts

    @classmethod
    def open(cls, folder: Path | str) -> EnsemblePackage:
        """Open an ensemble's folder, and check that its members are whole, as they were written, and of one chain.

        Raises
        ------
        PackageError : no ensemble, of a later version, a member missing or altered, or members that do not go together.
        """
        folder = Path(folder)
        if not (folder / ENSEMBLE).is_file():
            given = f"{folder} is no ensemble: it has no {ENSEMBLE}"
            raise PackageError(given, remedy=f"Give the folder that an {STAGE} stage wrote")
        package = cls(folder, read_facts(folder, EnsembleFacts, stage=STAGE, foreign={}))
        names = tuple(m.name for m in package.ensembled.members)
        if names != package.facts.ensemble:
            raise PackageError(f"{folder}: {FACTS} names {one_of(package.facts.ensemble)}", allowed=one_of(names))
        for member in package.ensembled.members:
            for part in member.packages:
                _check_files(folder, part)
        check_shared([p for packages in package.members for p in packages], package.facts)
        package.blend  # noqa: B018 - read now: it says what is wrong with it
        return package

    @cached_property
    def ensembled(self) -> Ensembled:
        """What `ensemble.json` holds."""
        path = self.folder / ENSEMBLE
        value = read_json(path)
        version = value.get("format_version") if isinstance(value, dict) else None
        if not isinstance(version, int) or version > FORMAT_VERSION:
            given = f"{path} has format_version {version!r}"
            raise PackageError(given, allowed=f"1 to {FORMAT_VERSION}", remedy="Use a newer neural-foundation")
        try:
            return Ensembled.model_validate(value)
        except ValidationError as error:
            raise PackageError(str(spec_error(str(path), error, Ensembled))) from None

    @cached_property
    def members(self) -> tuple[tuple[Package, ...], ...]:
        """The packages of each member, in the order of the blend."""
        return tuple(tuple(Package.open(self.folder / p.folder) for p in m.packages) for m in self.ensembled.members)

    @cached_property
    def blend(self) -> Blend:
        """What the ensemble learned; PackageError where it is not that of so many members and classes."""
        from ..evaluation.ensembling import Blend

        m, k = len(self.ensembled.members), len(self.facts.target.classes) if self.facts.target else 0
        try:
            blend = Blend.of(self.ensembled.blend)
            arrays = (blend.temperatures, blend.weights, blend.geometric, *blend.stack[:2], np.asarray(blend.after))
            finite = all(np.isfinite(a).all() for a in arrays)
            fits = [a.shape for a in arrays] == [(m,), (m,), (m,), (m * k, k), (k,), (2,)]
        except (KeyError, TypeError, ValueError, IndexError):
            finite = fits = False
        if not (finite and fits and (blend.temperatures > 0).all() and min(blend.after) > 0):
            given = f"{self.folder / ENSEMBLE} holds no blend of {m} members and {k} classes"
            raise PackageError(given, remedy="Take the ensemble from its source again")
        return blend

    # ---- deciding ------------------------------------------------------------------------------------------------

    def predict_proba(self, signal: NDArray[np.float32], *, batch: int = 64) -> Floats:
        """Return probabilities (n, K) for windows (n, C, T) that went through the chain, each taken alone."""
        return self.joined(self.each(signal, batch=batch))

    def decide(self, windows: WindowSet, *, batch: int = 64) -> Floats:
        """Return probabilities (n, K) for windows, as each member decides on them."""
        return self.joined(self._each(lambda package: package.decide(windows, batch=batch)))

    def uncertainty(self, signal: NDArray[np.float32], *, batch: int = 64) -> Unsure:
        """Return how unsure the ensemble is of windows (n, C, T), and how much of that its members disagree about."""
        return self.unsure(self.each(signal, batch=batch))

    def each(self, signal: NDArray[np.float32], *, batch: int = 64) -> Floats:
        """Return what each member says of windows (n, C, T): (n, M, K)."""
        return self._each(lambda package: package.predict_proba(signal[..., self.part(package)], batch=batch))

    def part(self, package: Package) -> slice:
        """Return the samples of a window (n, C, T) that a member's package decides on."""
        return self.facts.windows.samples(package.facts.windows, self.facts.signal.sfreq)

    def joined(self, each: Floats) -> Floats:
        """Return the ensemble's probabilities (n, K) of its members' (n, M, K)."""
        return self.blend.apply(each)[self.ensembled.method]

    def unsure(self, each: Floats) -> Unsure:
        """Return the uncertainty of members' probabilities (n, M, K): those of tempered members, by their weights."""
        from ..evaluation.ensembling import uncertainty
        from ..evaluation.ensembling_solvers import tempered

        return Unsure(*uncertainty(tempered(each, self.blend.temperatures), self.blend.weights))

    def _each(self, decide: Callable[[Package], Floats]) -> Floats:
        return _together([[partial(decide, p) for p in packages] for packages in self.members])

    # ---- what it does not have -------------------------------------------------------------------------------------

    def arrays(self) -> NoReturn:
        raise self._none("weights of its own")

    def network(self) -> NoReturn:
        raise self._none("network of its own")

    def estimator(self) -> NoReturn:
        raise self._none("estimator of its own")

    def _none(self, what: str) -> PackageError:
        return PackageError(f"{self.folder} is an ensemble and has no {what}", remedy="Take those of its 'members'")


class JoinedPredict:
    """What gives an ensemble's probabilities (n, K) of windows (n, C, T), its members' weights read once.

    predictor : gives the same for one package.
    """

    def __init__(self, package: EnsemblePackage, predictor: Callable[[Package], Predict]) -> None:
        self.package = package
        self.n_members = len(package.members)
        self._predict = [[(predictor(p), package.part(p)) for p in packages] for packages in package.members]

    def __call__(self, windows: NDArray[np.float32]) -> Floats:
        return self.package.joined(self.each(windows))

    def each(self, windows: NDArray[np.float32]) -> Floats:
        """Return what each member says (n, M, K); DataError where one cannot decide."""
        return _together([[partial(p, windows[..., part]) for p, part in packages] for packages in self._predict])


def _together(members: Sequence[Sequence[Callable[[], Floats]]]) -> Floats:
    """Return (n, M, K): each member the mean of its packages, each of which sums to 1; DataError for no number."""
    made = []
    for packages in members:
        said = [np.asarray(p(), np.float64) for p in packages]
        made.append(np.mean([p / p.sum(1, keepdims=True) for p in said], 0))
    each = np.stack(made, 1)
    if not np.isfinite(each).all():
        m = int(np.argmin(np.isfinite(each).all((0, 2))))
        raise DataError(f"Member {m + 1} of {len(members)} gives no number for a window", remedy="Look at that window")
    return each


def open_package(folder: Path | str) -> Package:
    """Open the package in a folder, one model's or an ensemble's; PackageError says what is wrong with it."""
    folder = Path(folder)
    whole = (folder / ENSEMBLE).is_file() and (folder / FACTS).is_file()
    return EnsemblePackage.open(folder) if whole else Package.open(folder)


def check_shared(packages: Sequence[Package], facts: Facts | None = None) -> None:
    """Raise PackageError unless packages take the same raw signal through one chain to windows and one target.

    facts : of the ensemble, whose windows must hold those of each package.
    """
    first = facts or packages[0].facts.model_copy(update={"windows": covering(packages)})
    if first.target is None or not first.target.classes:
        raise PackageError(f"{packages[0].folder} does not decide between classes")
    for package in packages:
        other = package.facts
        differs = [name for name in SHARED if getattr(other, name) != getattr(first, name)]
        differs += [] if first.windows.has_part(other.windows) else ["windows"]
        if differs:
            given = f"'{other.name}' in {package.folder} has another {differs[0]} than '{first.name}': " + _short(
                getattr(other, differs[0]), getattr(first, differs[0])
            )
            raise PackageError(given, remedy="Fit all members on one 'prepare' stage: live, they share one chain")
        if other.model.context == "stream":
            raise PackageError(
                f"'{other.name}' carries its state along a stream, and an ensemble decides on windows",
                allowed="context: trial",
            )


def covering(packages: Sequence[Package]) -> Windows:
    """Return windows that hold those of all packages: one of them that does, or from first start to last end."""
    every = [p.facts.windows for p in packages]
    if whole := next((w for w in every if all(w.has_part(other) for other in every)), None):
        return whole
    start, end = min(w.start_s for w in every), max(w.end_s for w in every)
    past = end - max(w.end_s - w.past_s for w in every)  # no trial is shorter
    place = {"start_s": start, "length_s": round(end - start, 9), "past_s": round(past, 9)}
    return every[0].model_copy(update=place)


def _short(one: Any, other: Any) -> str:
    if isinstance(one, tuple):  # chains: what differs first
        one, other = next((a, b) for a, b in zip_longest(one, other) if a != b)
    return " against ".join("nothing" if v is None else f"{type(v).__name__}({v})"[:120] for v in (one, other))


def save_ensemble(
    folder: Path, facts: EnsembleFacts, blend: Blend, method: Method, members: dict[str, Sequence[Path]]
) -> EnsemblePackage:
    """Write the facts and the blend of an ensemble beside its members; return it, opened.

    members : by name, the folders of their packages, inside `folder`; each of their files is part of the ensemble.
    """
    parts = tuple(Member(name=n, packages=tuple(_part(folder, f) for f in found)) for n, found in members.items())
    made = Ensembled(method=method, blend=blend.value(), members=parts)
    write_json(folder / ENSEMBLE, made.model_dump(mode="json"))
    write_json(folder / FACTS, facts.dumped())
    return EnsemblePackage.open(folder)


def _part(folder: Path, package: Path) -> Part:
    files = {p.name: sha256(p) for p in sorted(package.iterdir()) if p.is_file() and not p.name.startswith(".")}
    return Part(folder=package.relative_to(folder).as_posix(), files=files)


def _check_files(folder: Path, part: Part) -> None:
    where = folder / part.folder
    remedy = "Take the ensemble from its source again, or run its stage again"
    for name, digest in part.files.items():
        if not (where / name).is_file():
            raise PackageError(f"{where / name} is missing: the ensemble is not whole", remedy=remedy)
        if sha256(where / name) != digest:
            raise PackageError(f"{where / name} is not as the ensemble was written", remedy=remedy)
    unknown = [n for n in DECISIVE if (where / n).is_file() and n not in part.files]
    if unknown:
        raise PackageError(f"{where / unknown[0]} is no part of the ensemble", remedy=remedy)
