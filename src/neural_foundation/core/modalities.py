"""What only the data knows about binned sessions of several modalities; handed to every model that is built on them.

A modality is `counts` (events a bin: spikes), `continuous` (behaviour, LFP) or `classes` (one word a trial: choice,
block). Sessions share the modalities' names, not their channels: each has its own units.

Its role is `neural` (what the brain did: counts, and what is said to be, as LFP) or `behaviour` (all else): encoding
tells the first from the second, decoding the second from the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from .errors import SpecError, did_you_mean, one_of
from .specs import Spec

ModalityKind = Literal["counts", "continuous", "classes"]
Role = Literal["neural", "behaviour"]


class ModalitySpec(Spec):
    """One modality. unit : of its values ("cm/s"). classes : the words, in the order of a model's outputs.

    neural : of a continuous one, that it is of the brain, not behaviour; counts are so without saying it.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    kind: ModalityKind
    unit: str = ""
    classes: tuple[str, ...] = ()
    neural: bool = False

    @property
    def role(self) -> Role:
        """Whether it is neural activity or behaviour."""
        return "neural" if self.neural or self.kind == "counts" else "behaviour"

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Return the fields; what is not said to be neural is written as it was before there were roles."""
        made: dict[str, Any] = dump(self)
        return made if self.neural else {k: v for k, v in made.items() if k != "neural"}

    @model_validator(mode="after")
    def _classes_are_named(self) -> ModalitySpec:
        if self.neural and self.kind != "continuous":
            raise ValueError(f"modality '{self.name}' of kind '{self.kind}' cannot say neural: only a continuous one")
        if (self.kind == "classes") != bool(self.classes):
            raise ValueError(f"modality '{self.name}' of kind '{self.kind}' has {len(self.classes)} classes")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"modality '{self.name}' has a class twice: {one_of(self.classes)}")
        return self


def told_modality(m: ModalitySpec) -> str:
    """Return a modality in words: "lfp (neural continuous)", "choice (classes: left, right)"."""
    return f"{m.name} ({'neural ' if m.neural else ''}{m.kind}{': ' if m.classes else ''}{', '.join(m.classes)})"


class BinnedSessionSpec(Spec):
    """One session: who it is of, and the channels of each modality, in the order of the modalities.

    channels : unit ids of counts, names of continuous channels, (name,) of classes; () where the session lacks the
    modality. regions : one a channel of the first modality of counts ("" unknown), or none at all.
    """

    name: str
    subject: str
    channels: tuple[tuple[str, ...], ...]
    regions: tuple[str, ...] = ()


class BinnedSpec(Spec):
    """Windows of `n_bins` bins of `bin_s` seconds, over sessions. Raises SpecError where counts do not match."""

    bin_s: float = Field(gt=0)
    n_bins: int = Field(ge=1)
    modalities: tuple[ModalitySpec, ...] = Field(min_length=1)
    sessions: tuple[BinnedSessionSpec, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> BinnedSpec:
        for what, names in (("modality", self.names), ("session", tuple(s.name for s in self.sessions))):
            if len(set(names)) != len(names):
                raise ValueError(f"a {what} occurs twice: {one_of(names)}")
        for session in self.sessions:
            if len(session.channels) != len(self.modalities):
                raise ValueError(f"session '{session.name}' has channels of {len(session.channels)} modalities")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the modalities."""
        return tuple(m.name for m in self.modalities)

    def of_kind(self, *kinds: ModalityKind) -> tuple[str, ...]:
        """Return the names of the modalities of some kinds, in order."""
        return tuple(m.name for m in self.modalities if m.kind in kinds)

    def of_role(self, role: Role, *kinds: ModalityKind) -> tuple[str, ...]:
        """Return the names of the modalities of a role, of some kinds where they are given, in order."""
        return tuple(m.name for m in self.modalities if m.role == role and (not kinds or m.kind in kinds))

    def modality(self, name: str) -> ModalitySpec:
        """Return a modality by name; SpecError names those there are."""
        if name not in self.names:
            raise SpecError(
                f"There is no modality '{name}'.{did_you_mean(name, self.names)}", allowed=one_of(self.names)
            )
        return self.modalities[self.names.index(name)]

    def differing(self, other: BinnedSpec) -> list[str]:
        """Return the modalities in which the two differ, or which one of them lacks, by name.

        A unit counts where both have a session with that modality: one that no session has says no unit.
        """
        mine, theirs = ({m.name: m for m in spec._told(self._held() & other._held())} for spec in (self, other))
        return sorted(name for name in {*mine, *theirs} if mine.get(name) != theirs.get(name))

    def _held(self) -> set[str]:
        return {n for s in self.sessions for n, channels in zip(self.names, s.channels, strict=True) if channels}

    def _told(self, units_of: set[str]) -> list[ModalitySpec]:
        return [m if m.name in units_of else m.model_copy(update={"unit": ""}) for m in self.modalities]

    def channels(self, session: int, name: str) -> tuple[str, ...]:
        """Return the channels of a modality in a session; () where it lacks it."""
        self.modality(name)
        return self.sessions[session].channels[self.names.index(name)]

    def only(self, sessions: Sequence[str]) -> BinnedSpec:
        """Return the facts of some sessions, in the order they are named; SpecError for an unknown one."""
        known = {s.name: s for s in self.sessions}
        for name in sessions:
            if name not in known:
                raise SpecError(f"There is no session '{name}'.{did_you_mean(name, known)}", allowed=one_of(known))
        return self.model_copy(update={"sessions": tuple(known[name] for name in sessions)})
