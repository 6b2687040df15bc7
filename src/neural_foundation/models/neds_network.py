"""The network of `neds`: tokens of every modality, one transformer, read-outs of every modality.

Shapes: b windows of one session, B of a batch, T bins, C channels of a modality in one session, K classes of a word,
D width, N tokens, W bins that a causal token sees, m new bins of a stream.

Tokens of counts and continuous modalities are one a bin, at that bin. A trial's class is one token in the middle of
the window, or one a bin. A token is what its modality's map makes of the values, or where they are hidden or not
known the modality's mask vector; to both are added vectors of the modality, the session and (`bin_embedding`) the bin.
Where `local_bins` is set, every token is also told by one filter what is seen, of all modalities, in the bins about it.
Of a continuous modality in which some channels of a bin are not known, these count as their training mean.

Causal: a token sees bins that are not later and at most W - 1 before, of all modalities. A class would be seen by all
and see all, so it has no token: its vector is added to every token, and it is read from the last bin.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..core.errors import PackageError, SignalMismatchError, SpecError, one_of
from ..core.modalities import BinnedSessionSpec, BinnedSpec
from ..sampling.binned import BinnedBatch, BinnedSet, Group
from .layers.local import Local
from .layers.stitching import Basis, Channels, Classes, Counts, Scale, key_of, transformed
from .layers.transformer import Transformer
from .neds import Neds
from .neds_parts import SessionPart, channels_key, drawn, of_a_name
from .neds_scales import calibrate
from .network import State

Hidden = Mapping[str, Tensor]


@dataclass
class _Piece:
    """A group on its way: its rows in the batch, the names of its tokens' modalities and their tokens."""

    group: Group
    names: tuple[str, ...]
    bins: int
    tokens: Tensor


class NedsNetwork(nn.Module):
    """The network of a `Neds` spec, bound to sessions; `Group.session` counts `signal.sessions`.

    spec : of the model. signal : the sessions it knows, which `grow` adds to.
    """

    # roles of parameters in learning: of each session, of what a new target needs anew, of the front end's own rate
    session_names: tuple[str, ...] = ("sessions",)
    head_names: tuple[str, ...] = ()
    subject_names: tuple[str, ...] = ()
    front_end_names: tuple[str, ...] = ("sessions", "channels")

    def __init__(self, spec: Neds, signal: BinnedSpec, *, seed: int = 0) -> None:
        super().__init__()
        self.spec, self.signal, self.seed = spec, signal.model_copy(update={"sessions": ()}), seed
        width = spec.sized("width")
        with drawn(seed, "neds"):
            self.core = Transformer(
                width,
                spec.sized("layers"),
                spec.sized("heads"),
                dropout=spec.dropout,
                attention_dropout=spec.attention_dropout,
            )
            self.modality, self.mask, self.bins = nn.ParameterDict(), nn.ParameterDict(), nn.ParameterDict()
            self.basis, self.classes = nn.ModuleDict(), nn.ModuleDict()
            for name in signal.names:
                self._know(name, width)
            self.local = Local(width, spec.local_bins, causal=spec.causal) if spec.local_bins else None
        self.channels, self.sessions = nn.ModuleDict(), nn.ModuleDict()
        self.grow(signal)

    def _know(self, name: str, width: int) -> None:
        """Make what all sessions share of a modality."""
        spec, modality, key = self.spec, self.signal.modality(name), f"m_{name}"
        self.mask[key] = nn.Parameter(0.2 * torch.randn(width))
        if modality.kind != "classes" or not spec.causal:
            self.modality[key] = nn.Parameter(0.2 * torch.randn(width))
        if spec.numbered and (modality.kind != "classes" or spec.static_tokens == "per_bin"):
            self.bins[key] = nn.Parameter(0.02 * torch.randn(self.signal.n_bins, width))
        if modality.kind == "classes":
            self.classes[key] = Classes(len(modality.classes), width)
        if modality.kind == "counts" and spec.inputs == "units":
            self.basis[key] = Basis(spec.unit_width, width)

    def grow(self, signal: BinnedSpec) -> None:
        """Add the sessions of `signal` that are not known yet; what is there keeps its place and its numbers.

        A session's own part is a function of the network's seed and the session's name. SignalMismatchError where bins
        or modalities are others, or a known session has other channels.
        """
        if _told(signal) != _told(self.signal):
            raise SignalMismatchError(
                f"Sessions with {_told(signal)}", allowed=_told(self.signal), remedy="Bin them in the same way"
            )
        known = {s.name: s for s in self.signal.sessions}
        for session in signal.sessions:
            if session.name in known and known[session.name].channels != session.channels:
                raise SignalMismatchError(
                    f"Session '{session.name}' has other channels than the network knows it with",
                    remedy="Give the other recording a name of its own",
                )
            if session.name not in known:
                self._add(session)
        added = tuple(s for s in signal.sessions if s.name not in known)
        self.signal = self.signal.model_copy(update={"sessions": (*self.signal.sessions, *added)})

    def _add(self, session: BinnedSessionSpec) -> None:
        device = next(self.core.parameters()).device
        for modality, channels in zip(self.signal.modalities, session.channels, strict=True):
            key = channels_key(modality.name, channels)
            if modality.kind == "continuous" and channels and key not in self.channels:
                with drawn(self.seed, "channels", key):
                    self.channels[key] = Channels(len(channels), self.spec.sized("width")).to(device)
        for basis in list(self.basis.values())[:1]:
            assert isinstance(basis, Basis)
            basis.know(session.regions)
            basis.to(device)
        with drawn(self.seed, "session", session.name):
            self.sessions[key_of(session.name)] = SessionPart(self.spec, self.signal, session).to(device)

    def index(self, session: str) -> int:
        """Return the number of a session by its name; SpecError where the network does not know it."""
        names = [s.name for s in self.signal.sessions]
        if session not in names:
            raise SpecError(f"The network does not know session '{session}'", allowed=one_of(names))
        return names.index(session)

    def part(self, session: int) -> SessionPart:
        """Return what is of one session alone."""
        part = self.sessions[key_of(self.signal.sessions[session].name)]
        assert isinstance(part, SessionPart)
        return part

    def n_parameters(self) -> int:
        """Return the number of learned numbers."""
        return sum(p.numel() for p in self.parameters())

    def calibrate_sets(self, windows: BinnedSet) -> None:
        """Set scales, rates and shares from training windows, once, before training."""
        calibrate(self, windows)

    def standardise(self, session: int, name: str, values: Tensor) -> Tensor:
        """Return values (..., C) of a continuous modality in standard deviations about the training mean."""
        scale = self._scale(session, name)
        return (values - scale.mean) / scale.std

    def restore(self, session: int, name: str, values: Tensor) -> Tensor:
        """Return what `standardise` was given: values (..., C) in the channels' units."""
        scale = self._scale(session, name)
        return values * scale.std + scale.mean

    def _scale(self, session: int, name: str) -> Scale:
        if self.signal.modality(name).kind != "continuous":
            raise SpecError(f"Modality '{name}' has no scale", allowed=one_of(self.signal.of_kind("continuous")))
        return self.part(session).of_continuous(name)

    def adopt(self, weights: Mapping[str, Tensor], *, without: Iterable[str] = ()) -> list[str]:
        """Take the weights of all that this network shares with the one they are of; return what keeps its start.

        What only one of the two knows (sessions, channels, regions by name) is left. without : prefixes not taken.
        PackageError where the core does not fit: another size, other modalities or bins.
        """
        own, skip = self.state_dict(), tuple(without)
        wanted = {n: t for n, t in own.items() if not n.startswith(skip or ("\0",))}
        taken = {n: weights[n] for n, t in wanted.items() if n in weights and weights[n].shape == t.shape}
        wrong = [n for n in wanted if n not in taken and (n in weights or not of_a_name(n))]
        if wrong:
            raise PackageError(
                f"The weights do not fit this network: {', '.join(wrong[:4])}{' and more' if len(wrong) > 4 else ''}",
                allowed="weights of the same model and size, over the same modalities and bins",
                remedy="Build the network as the weights' own was, or train from a random start",
            )
        self.load_state_dict(taken, strict=False)
        return [n for n in own if n not in taken]

    def forward(self, batch: BinnedBatch, hidden: Hidden | None = None) -> list[dict[str, Tensor]]:
        """Return, for each group, what is predicted of every modality that its session has.

        hidden : by modality, True where a token is not seen: (B, T), of classes (B, 1), in the order of the batch's
        rows. Log events a bin (b, T, C), standardised values (b, T, C), logits (b, K); finite wherever values are NaN.
        """
        hidden = hidden or {}
        for name in hidden:
            self.signal.modality(name)
        pieces = [self._piece(group, hidden) for group in batch.groups]
        outputs: dict[int, dict[str, Tensor]] = {}
        order = sorted(range(len(pieces)), key=lambda i: (pieces[i].names, pieces[i].bins, i))
        for _, same in groupby(order, key=lambda i: (pieces[i].names, pieces[i].bins)):
            which = list(same)
            head = pieces[which[0]]
            x = head.tokens if len(which) == 1 else torch.cat([pieces[i].tokens for i in which])
            h = self._core(x, head.names, head.bins)
            parts = [h] if len(which) == 1 else torch.split(h, [len(pieces[i].tokens) for i in which])
            for i, rows in zip(which, parts, strict=True):
                outputs[i] = self._read(pieces[i], rows)
        return [outputs[i] for i in range(len(pieces))]

    def start(self, batch: int = 1, session: int = 0) -> State:
        """Return the state before the first bin of a stream of one session; SpecError unless the model is causal.

        age : (B,) int64, bins heard, up to W - 1. cache_00 ... : (B, 2, modalities of bins, W - 1, D), of each layer.
        local : (B, local_bins - 1, D), what was seen in the bins before.
        """
        if not self.spec.causal:
            raise SpecError(
                "A network that sees later bins cannot stream bin by bin",
                remedy="Build it with causal: true, or predict whole windows",
            )
        at = self.part(session).embedding
        width, kept, names = len(at), self.spec.context_bins - 1, self._streamed(session)
        state = {"age": torch.zeros(batch, dtype=torch.int64, device=at.device)}
        for i in range(len(self.core.blocks)):
            state[f"cache_{i:02d}"] = at.new_zeros(batch, 2, len(names), kept, width)
        if self.local is not None:
            state["local"] = at.new_zeros(batch, self.spec.local_bins - 1, width)
        return state

    def step_bins(
        self, values: Tensor | Mapping[str, Tensor], state: State, session: int = 0
    ) -> tuple[dict[str, Tensor], State]:
        """Return what is predicted at each of m new bins, and the state after them; `state` itself is not changed.

        values : counts (B, m, C) of the session's first modality of counts; or what is known by modality, continuous
        (B, m, C) and classes (B,) too. What is not given is hidden. Outputs are those of `forward` for the bins so
        far, classes' logits at each bin: (B, m, K).
        """
        names = self._streamed(session)
        if isinstance(values, Tensor):
            values = {names[0]: values}
        batch, m = next(v.shape[:2] for n, v in values.items() if n in names)
        tokens, seen, after = [], [], dict(state)
        for name in names:
            if name in values:
                made = self._tokens(session, name, values[name], None)
                tokens.append(made[0])
                seen.append(made[1])
            else:
                tokens.append((self.mask[f"m_{name}"] + self._vector(session, name)).expand(batch, m, -1))
        if self.local is not None:
            told, after["local"] = self.local(torch.stack(seen).sum(0), state["local"])
            tokens = [t + told for t in tokens]
        x = torch.cat(tokens, 1) + self._classes_for_all(session, values, {})
        layers = [f"cache_{i:02d}" for i in range(len(self.core.blocks))]
        h, caches = self.core.step(x, [state[n] for n in layers], state["age"])
        after.update(zip(layers, caches, strict=True))
        after["age"] = (state["age"] + m).clamp(max=self.spec.context_bins - 1)
        rows = dict(zip(names, torch.split(h, m, 1), strict=True))
        outputs = {n: self._read_bins(session, n, rows[n]) for n in names}
        for name in self.signal.of_kind("classes"):
            if self.signal.channels(session, name):
                outputs[name] = self.of_classes(name).read(rows[names[0]])
        return outputs, after

    def _streamed(self, session: int) -> tuple[str, ...]:
        """Return the modalities of a session that have a token a bin; counts first."""
        names = (*self.signal.of_kind("counts"), *self.signal.of_kind("continuous"))
        return tuple(n for n in names if self.signal.channels(session, n))

    def _piece(self, group: Group, hidden: Hidden) -> _Piece:
        # no length is asked for where nothing is hidden, so that a graph of any number of windows can be exported
        mine = {n: mask[group.first_row : group.first_row + len(group)] for n, mask in hidden.items()}
        self._check(group)
        names = [n for n in self._streamed(group.session) if n in group.values]
        pairs = [self._tokens(group.session, n, group.values[n], mine.get(n)) for n in names]
        made, bins = [token for token, _ in pairs], pairs[0][0].shape[1]
        told = None if self.local is None else self.local(torch.stack([seen for _, seen in pairs]).sum(0), None)[0]
        if told is not None:
            made = [token + told for token in made]
        if self.spec.causal:
            tokens = torch.cat(made, 1) + self._classes_for_all(group.session, group.values, mine)
            return _Piece(group, tuple(names), bins, tokens)
        words = [n for n in self.signal.of_kind("classes") if n in group.values]
        for name in words:
            token = self._class_token(name, group.values[name], mine.get(name))[:, None]
            length = 1 if self._single(name) else bins
            made.append(token.expand(-1, length, -1) + self._vector(group.session, name))
            if told is not None:
                made[-1] = made[-1] + (told.mean(1, keepdim=True) if self._single(name) else told)
        return _Piece(group, (*names, *words), bins, torch.cat(made, 1))

    def _check(self, group: Group) -> None:
        session = self.signal.sessions[group.session]
        of_bins = set(self.signal.of_kind("counts", "continuous"))
        lengths = set()
        for name, values in group.values.items():
            channels = self.signal.channels(group.session, name)
            if not channels or (name in of_bins and values.shape[-1] != len(channels)):
                raise SignalMismatchError(
                    f"Session '{session.name}' was given '{name}' of shape {tuple(values.shape)}",
                    allowed=f"{len(channels)} channel(s), as the network knows it",
                )
            if name in of_bins:
                lengths.add(values.shape[1])
        allowed = {self.signal.n_bins} if self.spec.numbered else lengths
        if len(lengths) != 1 or lengths != allowed:
            raise SignalMismatchError(
                f"Session '{session.name}' was given windows of {one_of(map(str, sorted(lengths)))} bins",
                allowed=f"counts or continuous values, all of {self.signal.n_bins} bins",
                remedy="Cut windows of that length; bin_embedding: false takes any",
            )

    def _tokens(self, session: int, name: str, values: Tensor, hidden: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return tokens (b, T, D) of counts or a continuous modality, and what is seen of them: zero where hidden."""
        key, part = f"m_{name}", self.part(session)
        if key in part.counts:
            made = self._of_counts(part.of_counts(name), key, values)
        else:
            missing = values.isnan()
            scaled = self.standardise(session, name, values).masked_fill(missing, 0.0)
            nothing = missing.all(-1)
            hidden = nothing if hidden is None else hidden | nothing
            made = self._channels(session, name).embed(scaled)
        made = functional.dropout(made, self.spec.dropout, self.training)
        seen = made if hidden is None else made.masked_fill(hidden[..., None], 0.0)
        return self._masked(name, made, hidden) + self._vector(session, name), seen

    def _of_counts(self, part: Counts, key: str, values: Tensor) -> Tensor:
        values = part.centred(transformed(values, self.spec.transform))
        if self.training and self.spec.unit_dropout:
            values = values * functional.dropout(torch.ones_like(values[:, :1]), self.spec.unit_dropout)
        return part.tokens(values, self._basis(key))

    def _masked(self, name: str, made: Tensor, hidden: Tensor | None) -> Tensor:
        return made if hidden is None else torch.where(hidden[..., None], self.mask[f"m_{name}"].to(made.dtype), made)

    def _vector(self, session: int, name: str) -> Tensor:
        """Return what a token knows besides its values: modality and session (D,), or with the bin (T, D)."""
        key = f"m_{name}"
        vector: Tensor = self.modality[key] + self.part(session).embedding
        return vector + self.bins[key] if key in self.bins else vector

    def _class_token(self, name: str, values: Tensor, hidden: Tensor | None) -> Tensor:
        """Return (b, D) of a trial's class, or of its not being known."""
        unknown = values < 0 if hidden is None else (values < 0) | hidden[:, 0]
        known = functional.dropout(self.of_classes(name).embed(values.clamp(min=0)), self.spec.dropout, self.training)
        return self._masked(name, known, unknown)

    def _classes_for_all(self, session: int, values: Mapping[str, Tensor], hidden: Hidden) -> Tensor:
        """Return (b, 1, D), or (1, D): the classes' vectors, which a causal network adds to every token."""
        total = torch.zeros_like(self.part(session).embedding)[None, None]
        for name in self.signal.of_kind("classes"):
            if name in values:
                total = total + self._class_token(name, values[name], hidden.get(name))[:, None]
            elif self.signal.channels(session, name):
                total = total + self.mask[f"m_{name}"]
        return total

    def _core(self, x: Tensor, names: Sequence[str], bins: int) -> Tensor:
        at = torch.arange(bins, device=x.device, dtype=torch.float32)
        middle = at.new_full((1,), (bins - 1) / 2)
        position = torch.cat([middle if self._single(n) else at for n in names])
        mask = None
        if self.spec.causal:
            back = position[:, None] - position
            mask = (back >= 0) & (back < self.spec.context_bins)
        h: Tensor = self.core(x, position, mask)
        return h

    def _read(self, piece: _Piece, h: Tensor) -> dict[str, Tensor]:
        """Return the predictions of a group from its tokens (b, N, D); in float32 under autocast too."""
        session, made = piece.group.session, {}
        with torch.autocast(h.device.type, enabled=False):
            lengths = [1 if self._single(n) else piece.bins for n in piece.names]
            tokens = dict(zip(piece.names, torch.split(h.float(), lengths, 1), strict=True))
            for name in self.signal.names:
                if self.signal.modality(name).kind != "classes":
                    if name in tokens:
                        made[name] = self._read_bins(session, name, tokens[name])
                elif name in piece.group.values:
                    pooled = tokens[piece.names[0]][:, -1] if self.spec.causal else tokens[name].mean(1)
                    made[name] = self.of_classes(name).read(pooled)
        return made

    def _read_bins(self, session: int, name: str, h: Tensor) -> Tensor:
        key, part = f"m_{name}", self.part(session)
        if key in part.counts:
            return part.of_counts(name).log_rates(h, self._basis(key))
        read: Tensor = self._channels(session, name).read(h)
        return read

    def _single(self, name: str) -> bool:
        return self.spec.static_tokens == "one" and self.signal.modality(name).kind == "classes"

    def _basis(self, key: str) -> Basis | None:
        if key not in self.basis:
            return None
        basis = self.basis[key]
        assert isinstance(basis, Basis)
        return basis

    def _channels(self, session: int, name: str) -> Channels:
        part = self.channels[channels_key(name, self.signal.channels(session, name))]
        assert isinstance(part, Channels)
        return part

    def of_classes(self, name: str) -> Classes:
        """Return the maps of a modality of classes, which all sessions share."""
        part = self.classes[f"m_{name}"]
        assert isinstance(part, Classes)
        return part


def _told(signal: BinnedSpec) -> str:
    kinds = [f"{m.name} ({m.kind}{': ' if m.classes else ''}{', '.join(m.classes)})" for m in signal.modalities]
    return f"{signal.n_bins} bins of {signal.bin_s:g} s of {one_of(kinds)}"
