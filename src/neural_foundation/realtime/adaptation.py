"""A decoder that adapts while it decodes, beside the same decoder frozen; off unless it is asked for.

Shapes: C channels of the cleaned signal, K classes, T tokens, M kept decisions. State is float64 throughout.

At each full `every_s` of the raw stream, and nowhere else, it takes in the feedback that has come, brings the channels
nearer to a reference (`adaptation_alignment`), moves scale and bias of the logits (`adaptation_readout`), and asks the
guard (`guard`) whether to go back: of feedback, whether decisions err more than the frozen decoder's; of the signal,
whether the covariance fits the reference less well than it would unaligned. So how the stream is cut changes nothing,
and feedback may come at any time within the same `every_s`. The network's own weights are never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import exp
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..core.errors import DataError, PackageError
from ..core.specs import SignalSpec, Spec
from ..core.stream import Chunk, State, copy_state, join
from ..models.package import Package
from ..models.reference import checked, load_reference
from . import adaptation_readout as readout
from . import guard
from .adaptation_alignment import Float, alignment
from .adaptation_journal import Journal
from .decoder import LiveDecoder, StreamDecoder
from .live_model import LiveModel
from .sliding import SlidingDecoder

PENDING = 256  # outcomes that wait for the stream to reach them
LOUD = 3.0  # times the running power: a louder block counts as one of that power
LONGEST_WAIT = 64  # times wait_s
CONFIRM_BLOCKS = 60
FLAGS = "valid", "told"  # of a kept decision: may it be judged; was an outcome counted for it


class Adaptation(Spec):
    """How a decoder adapts.

    reference 'auto': the covariance that was given, else the package's, else the session's own beginning.
    """

    alignment: bool = Field(True, description="bring the covariance of the channels back, without labels")
    readout: bool = Field(True, description="learn a scale and a bias of the logits from feedback")
    reference: Literal["auto", "package", "own"] = Field("auto", description="what alignment steers back to")
    reference_s: float = Field(60.0, gt=0, description="valid signal that makes the session's own reference")
    every_s: float = Field(1.0, gt=0, description="an update this often")
    time_constant_s: float = Field(120.0, gt=0, description="memory of the covariance")
    warmup_s: float = Field(20.0, ge=0, description="valid signal before the first alignment")
    ramp_s: float = Field(10.0, ge=0, description="time constant with which a new alignment comes into force")
    shrinkage: float = Field(0.05, gt=0, le=1, description="share of the identity in the covariances")
    strength: float = Field(0.75, gt=0, le=1, description="how far to go back: 1 is all the way to the reference")
    most_gain: float = Field(3.0, ge=1, description="largest and, inverted, smallest gain of a direction")
    feedback_memory_s: float = Field(600.0, gt=0, description="an outcome so old weighs 1/e")
    match_s: float = Field(1.0, gt=0, description="feedback speaks of the last decision, if it is no older than this")
    keep_s: float = Field(120.0, gt=0, description="feedback may come so late")
    false_rollback: float = Field(
        0.1, gt=0, lt=1, description="chance of a first rollback without cause; half of it for each of the two tests"
    )
    confirm: int = Field(10, ge=1, description="outcomes after which what was not worse is a good state")
    wait_s: float = Field(60.0, ge=0, description="no updates so long after a rollback; twice as long after the next")


class AdaptingDecoder(LiveDecoder):
    """Decode a live stream, and adapt to it.

    Parameters
    ----------
    model : the opened package.
    signal : what the stream is; must have the package's rate and channels.
    settings : how it adapts. reference : covariance (C, C) of the cleaned signal to steer back to, as `snapshot` gave
        it on another day. journal : where each update is written. name : of the stream, part of each entry.
    resets_s : seconds at which the model's state starts anew, as `StreamDecoder` has them.

    Output and interface are those of the decoder that it replaces; `frozen` decodes beside it. `on_update` is called
    with the kind of each update and rollback.

    Raises
    ------
    SignalMismatchError : another rate or other channels. PackageError : the package lacks a reference that was asked
    for, or has a damaged one. StreamError : a chain that cannot run live.
    """

    def __init__(
        self,
        model: LiveModel,
        signal: SignalSpec | None = None,
        *,
        settings: Adaptation | None = None,
        reference: NDArray[np.float64] | None = None,
        journal: Journal | None = None,
        name: str = "",
        resets_s: Sequence[float] = (),
    ) -> None:
        whole: Any = model.decoder(signal)
        self.settings, self.journal, self.name = settings or Adaptation(), journal, name
        self.on_update: Callable[[str], None] | None = None
        self.input, self.output, self.lookahead_s = whole.input, whole.output, whole.lookahead_s
        self.classes, self.hop, self.chain = whole.classes, whole.hop, whole.chain
        session = None if model.whole_windows else whole.engine.session
        self.frozen = _behind_the_chain(model.package, self.chain.output, session, resets_s)
        self.adapted: Any = self.frozen
        if self.settings.alignment:
            self.adapted = _behind_the_chain(model.package, self.chain.output, session, resets_s)
        self._reference = self._chosen(model.package, reference)
        self._ratio = self.input.sfreq / self.chain.output.sfreq
        self._every = max(1, round(self.settings.every_s * self.input.sfreq))
        self._kept = max(1, int(np.ceil(self.settings.keep_s * self.output.sfreq)))
        self._settle = self._samples(float(getattr(self.chain, "settle_s", 0.0)))
        self._ahead = int(np.ceil(self.lookahead_s * self.input.sfreq))

    def _samples(self, seconds: float) -> int:
        return round(seconds * self.input.sfreq)

    def _chosen(self, package: Package, given: NDArray[np.float64] | None) -> Float | None:
        """Return the reference to begin with; None where the session makes its own."""
        n = self.chain.output.n_chans
        if self.settings.reference == "own":
            return None
        if given is not None:
            return checked(np.asarray(given, np.float64), n)
        found = load_reference(package.folder, n)
        if found is None and self.settings.reference == "package":
            raise PackageError(
                f"{package.folder} holds no reference", remedy="Export it again, or use the reference 'own'"
            )
        return found

    # ---- the stream ------------------------------------------------------------------------------------------------

    def start(self) -> State:
        raw, c, k, m = self.input.n_chans, self.chain.output.n_chans, len(self.classes), self._kept
        own = self._reference is None
        tokens = {n: np.zeros((m, k)) for n in ("frozen", "base", "said")}
        frozen = self.frozen.start()
        return {
            "chain": self.chain.start(),
            "frozen": frozen,
            **{name: frozen[name] for name in ("members",) if name in frozen},  # of an ensemble
            "adapted": self.adapted.start() if self.settings.alignment else {},
            "ends": np.zeros(0, np.int64),
            "n_raw": 0,
            "n_clean": 0,
            "raw": {"last": np.full(raw, np.nan), "moved": np.zeros(raw, np.bool_)},
            "block": {"cov": np.zeros((c, c)), "valid": 0, "n": 0},
            "cov": {"now": np.zeros((c, c)), "n": 0, "weight": 0.0, "mean": np.zeros((c, c))},
            "reference": {"cov": np.zeros((c, c)) if self._reference is None else self._reference.copy(), "own": own},
            "mix": np.eye(c),
            "mixed": False,
            "readout": readout.fresh(k),
            "tokens": {**tokens, "sample": np.zeros(m, np.int64), **{n: np.zeros(m, np.bool_) for n in FLAGS}, "n": 0},
            "pending": {"sample": np.zeros(PENDING, np.int64), "right": np.zeros(PENDING, np.int64), "n": 0},
            "good": _nothing(c, k),
            "tried": _nothing(c, k),
            "guard": {"heard": guard.fresh(), "seen": guard.fresh(), "since": 0, "wait_until": 0, "rollbacks": 0},
        }

    def step(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        """Return the probabilities of the tokens that `chunk` completes, (K, T), float64."""
        out, told = [], []
        for piece in self._pieces(chunk, state):
            out.append(self._piece(piece, state))
            told.append({name: state[name] for name in ("ends", "members") if name in state})
        state |= {name: np.concatenate([t[name] for t in told]) for name in told[0]}
        return join(out), state

    def flush(self, state: State) -> Chunk:
        """Return the tokens that the chain's look-ahead still held back when the stream ended."""
        return self._decided(self.chain.flush(state["chain"]), state)

    def reset(self, state: State, at: int | None = None) -> State:
        """Return a state whose model starts a trial at the next raw sample; the chain goes on, and what was learned."""
        at = round(state["n_raw"] * self.chain.output.sfreq / self.input.sfreq) if at is None else at
        state["frozen"] = self.frozen.reset(state["frozen"], at)
        if self.settings.alignment:
            state["adapted"] = self.adapted.reset(state["adapted"], at)
        return state

    def anew(self, state: State) -> State:
        """Return the state to begin with after a gap: samples count from 0 again, and what was learned stays.

        Outcomes of decisions before the gap that have not been taken in are lost.
        """
        n, learned, judged = state["n_raw"], state["readout"], state["guard"]
        self._write(state, "gap", outcomes_lost=state["pending"]["n"])
        kept = {name: state[name] for name in ("cov", "reference", "mix", "mixed", "good", "tried")}
        since = {"since": 0, "wait_until": max(0, judged["wait_until"] - n)}
        fresh = {"readout": {**learned, "sample": learned["sample"] - n}, "guard": {**judged, **since}}
        return {**self.start(), **copy_state({**kept, **fresh})}

    def moved(self, state: State) -> bool:
        """Return whether the readout changes probabilities: sets of classes then no longer hold what they promise."""
        learned = state["readout"]
        return bool(learned["scale"] != 1.0 or learned["bias"].any())

    def last_samples(self, state: State, n: int) -> NDArray[np.int64]:
        ends: NDArray[np.int64] = state["ends"]
        return ends[len(ends) - n :]

    def last_members(self, state: State, n: int) -> NDArray[np.float64] | None:
        each: NDArray[np.float64] | None = state.get("members")
        return None if each is None else each[len(each) - n :]

    def feedback(self, sample: int, right: int, state: State) -> State:
        """Learn that class `right` was the right one at raw sample `sample`, at the next update.

        It may come late, up to `keep_s`, or before the stream has reached it. DataError for a class there is none of.
        """
        if not 0 <= right < len(self.classes):
            raise DataError(f"Feedback of class {right}", allowed=f"0 to {len(self.classes) - 1}")
        pending = state["pending"]
        if pending["n"] == PENDING:
            self._write(state, "feedback ignored", of=int(sample), why="too many wait")
            return state
        pending["sample"][pending["n"]], pending["right"][pending["n"]] = sample, right
        pending["n"] += 1
        return state

    def snapshot(self, state: State) -> Float:
        """Return the mean covariance (C, C) of all valid cleaned signal so far: another day's `reference`."""
        if not state["cov"]["n"]:
            raise DataError("No valid signal was heard yet, so there is no snapshot")
        return np.array(state["cov"]["mean"])

    def _pieces(self, chunk: Chunk, state: State) -> Iterator[Chunk]:
        """Yield the chunk cut where updates are due."""
        at, n = 0, chunk.n_times
        while True:
            take = min(n - at, self._every - state["n_raw"] % self._every)
            yield Chunk(chunk.values[:, at : at + take], chunk.valid[at : at + take], chunk.start + at)
            at += take
            if at >= n:
                return

    def _piece(self, chunk: Chunk, state: State) -> Chunk:
        self._watch(chunk, state["raw"])
        clean, state["chain"] = self.chain.step(chunk, state["chain"])
        out = self._decided(clean, state)
        state["n_raw"] += chunk.n_times
        if chunk.n_times and state["n_raw"] % self._every == 0:
            self._update(state)
        return out

    def _watch(self, chunk: Chunk, raw: State) -> None:
        """Note which raw channels have moved since the last update."""
        if not chunk.n_times:
            return
        values = np.concatenate([raw["last"][:, None], chunk.values], 1)
        known = ~np.isnan(values[:, 0])
        raw["moved"] |= (np.diff(values[:, 1:]) != 0).any(1) | (known & (values[:, 1] != values[:, 0]))
        raw["last"] = np.asarray(values[:, -1], np.float64)

    def _decided(self, clean: Chunk, state: State) -> Chunk:
        """Return the adapted decisions on cleaned samples; keep them, the frozen ones, and the block's covariance."""
        clean = Chunk(clean.values, clean.valid, state["n_clean"])
        state["n_clean"] += clean.n_times
        frozen, state["frozen"] = self.frozen.step(clean, state["frozen"])
        base, core = frozen, state["frozen"]
        if self.settings.alignment:
            self._gather(clean, state["block"])
            self.adapted.mix = state["mix"] if state["mixed"] else None
            base, core = self.adapted.step(clean, state["adapted"])
            state["adapted"] = core
        ends = self.adapted.last_samples(core, base.n_times)
        state["ends"] = np.asarray(np.rint(ends * self._ratio), np.int64)
        if "members" in state:
            state["members"] = core["members"]
        said = self._read(base, state)
        self._keep(frozen.values.T, base.values.T, said, base.valid, state)
        return Chunk(said.T, base.valid, base.start)

    def _gather(self, clean: Chunk, block: State) -> None:
        x = clean.values[:, clean.valid].astype(np.float64)
        block["cov"] = block["cov"] + x @ x.T
        block["valid"], block["n"] = block["valid"] + x.shape[1], block["n"] + clean.n_times

    def _read(self, base: Chunk, state: State) -> Float:
        """Return the probabilities (T, K) after the readout; what is not valid stays as it is."""
        probability, learned = np.asarray(base.values, np.float64).T, state["readout"]
        if not len(probability) or not self.moved(state):
            return probability
        changed = readout.apply(readout.centred(probability), learned["scale"], learned["bias"])
        return np.where(base.valid[:, None], changed, probability)

    def _keep(self, frozen: Float, base: Float, said: Float, valid: NDArray[np.bool_], state: State) -> None:
        tokens, n = state["tokens"], min(len(said), self._kept)
        at = (tokens["n"] + len(said) - n + np.arange(n)) % self._kept
        for name, rows in (("frozen", frozen), ("base", base), ("said", said)):
            tokens[name][at] = rows[len(rows) - n :]
        tokens["sample"][at], tokens["valid"][at] = state["ends"][len(said) - n :], valid[len(said) - n :]
        tokens["told"][at] = False
        tokens["n"] += len(said)

    # ---- updates ---------------------------------------------------------------------------------------------------

    def _update(self, state: State) -> None:
        """Take in what has come since the last update."""
        for sample, right in self._due(state):
            self._heard(sample, right, state)
        lost = self._lost(state)
        if self.settings.alignment:
            self._see(lost, state)

    def _due(self, state: State) -> list[tuple[int, int]]:
        """Return the outcomes that the stream has reached, in the order of their samples; the others stay."""
        pending, n = state["pending"], state["pending"]["n"]
        both = sorted(zip(pending["sample"][:n].tolist(), pending["right"][:n].tolist(), strict=True))
        due = [p for p in both if p[0] + self._ahead <= state["n_raw"]]
        rest = both[len(due) :]
        for i, (sample, right) in enumerate(rest):
            pending["sample"][i], pending["right"][i] = sample, right
        pending["n"] = len(rest)
        return due

    def _lost(self, state: State) -> NDArray[np.bool_]:
        """Return which cleaned channels (C,) were flat in the raw signal since the last update."""
        flat = {n for n, moved in zip(self.input.ch_names, state["raw"]["moved"], strict=True) if not moved}
        state["raw"]["moved"] = np.zeros_like(state["raw"]["moved"])
        return np.array([n in flat for n in self.chain.output.ch_names])

    def _heard(self, sample: int, right: int, state: State) -> None:
        """Compare what was said with what was right, then learn from it; of a decision, the first outcome counts."""
        i = self._said_at(sample, state)
        if i is None:
            self._write(state, "feedback ignored", of=sample, why="no decision to match")
            return
        tokens, judged = state["tokens"], state["guard"]
        if tokens["told"][i]:
            self._write(state, "feedback ignored", of=sample, why="that decision has its outcome")
            return
        tokens["told"][i] = True
        if tokens["sample"][i] > judged["since"]:
            wrong = [float(tokens[n][i].argmax() != right) for n in ("said", "frozen")]
            verdict = self._judge(judged["heard"], wrong[0] - wrong[1], self.settings.confirm)
            if verdict == "worse":
                self._roll_back(state, "feedback")
                return
            if verdict == "good":
                self._confirm(state)
        if self.settings.readout:
            readout.remember(state["readout"], readout.centred(tokens["base"][i]), right, int(tokens["sample"][i]))
            if state["n_raw"] >= judged["wait_until"]:
                memory = self.settings.feedback_memory_s * self.input.sfreq
                moved = readout.learn(state["readout"], state["n_raw"], memory)
                self._write(state, "readout", of=sample, size=moved, scale=state["readout"]["scale"])

    def _said_at(self, sample: int, state: State) -> int | None:
        """Return the place of the last valid decision up to a sample; None where it is too old, or forgotten."""
        tokens = state["tokens"]
        n = min(tokens["n"], self._kept)
        at = (tokens["n"] - n + np.arange(n)) % self._kept  # oldest first
        j = int(np.searchsorted(tokens["sample"][at], sample, side="right")) - 1
        if j < 0 or sample - tokens["sample"][at[j]] > self._samples(self.settings.match_s):
            return None
        return int(at[j]) if tokens["valid"][at[j]] else None

    def _see(self, lost: NDArray[np.bool_], state: State) -> None:
        """Take the block into the covariance, and move the channels towards the reference."""
        block, c = state["block"], self.chain.output.n_chans
        state["block"] = {"cov": np.zeros((c, c)), "valid": 0, "n": 0}
        if not block["valid"] or 2 * block["valid"] < block["n"] or state["n_raw"] <= self._settle:
            return
        now = block["cov"] / block["valid"]
        if not np.trace(now) > 0:
            return
        if state["mixed"] and self._worse_fit(now, state):
            self._roll_back(state, "signal")
        self._estimate(now, state)
        if self._ready(state):
            self._align(lost, state)

    def _worse_fit(self, now: Float, state: State) -> bool:
        """Return whether blocks, each before it is learned from, show that alignment leads away from the reference.

        That tests how the covariance fits, not whether decisions are worse.
        """
        mix, reference = state["mix"], state["reference"]["cov"]
        difference = guard.closer(guard.misfit(now, reference), guard.misfit(mix @ now @ mix.T, reference))
        verdict = self._judge(state["guard"]["seen"], difference, CONFIRM_BLOCKS)
        if verdict == "good" and not state["guard"]["heard"]["n"]:
            self._confirm(state)
        return verdict == "worse"

    def _estimate(self, now: Float, state: State) -> None:
        """Take a block's covariance into the running one, and into the session's own reference while that is made."""
        cov, s = state["cov"], self.settings
        if cov["n"]:
            now = now * min(1.0, LOUD * float(np.trace(cov["now"])) / float(np.trace(now)))
        cov["n"] += 1
        alpha = 1 - exp(-s.every_s / s.time_constant_s)
        cov["weight"] += alpha * (1 - cov["weight"])
        cov["now"] = cov["now"] + alpha / cov["weight"] * (now - cov["now"])
        cov["mean"] = cov["mean"] + (now - cov["mean"]) / cov["n"]
        if state["reference"]["own"] and cov["n"] * s.every_s <= s.reference_s:
            state["reference"]["cov"] = cov["mean"].copy()

    def _ready(self, state: State) -> bool:
        s, heard_s = self.settings, state["cov"]["n"] * self.settings.every_s
        least = s.reference_s if state["reference"]["own"] else s.warmup_s
        return bool(heard_s >= least and state["n_raw"] >= state["guard"]["wait_until"])

    def _align(self, lost: NDArray[np.bool_], state: State) -> None:
        s = self.settings
        target = alignment(
            state["cov"]["now"],
            state["reference"]["cov"],
            lost,
            shrinkage=s.shrinkage,
            most_gain=s.most_gain,
            strength=s.strength,
        )
        share = 1 - exp(-s.every_s / s.ramp_s) if s.ramp_s else 1.0
        step = share * (target - state["mix"])
        state["mix"], state["mixed"] = state["mix"] + step, True
        self._write(state, "alignment", size=float(np.linalg.norm(step)), lost=int(lost.sum()))

    # ---- the guard -------------------------------------------------------------------------------------------------

    def _judge(self, test: State, difference: float, confirm: int) -> str:
        """Return a test's verdict; there are two, so each may err half as often (Bonferroni)."""
        return guard.judge(test, difference, alpha=self.settings.false_rollback / 2, confirm=confirm)

    def _confirm(self, state: State) -> None:
        """What was in force at the beginning of the span that just ended was not worse: it is a good state."""
        state["good"], state["tried"] = state["tried"], _in_force(state)
        state["guard"]["rollbacks"] = 0
        self._write(state, "confirmed")

    def _roll_back(self, state: State, why: str) -> None:
        """Go back to the last good state, and from there, the next time, to the frozen decoder; then wait."""
        before, good, judged = _in_force(state), state["good"], state["guard"]
        k, c = len(self.classes), self.chain.output.n_chans
        state["mix"], state["mixed"] = good["mix"].copy(), not np.array_equal(good["mix"], np.eye(c))
        state["readout"] = {**readout.fresh(k), "scale": good["scale"], "bias": good["bias"].copy()}
        state["good"], state["tried"] = _nothing(c, k), _in_force(state)
        wait = min(2 ** judged["rollbacks"], LONGEST_WAIT) * self.settings.wait_s
        state["guard"] = {
            "heard": guard.fresh(),
            "seen": guard.fresh(),
            "since": state["n_raw"],
            "wait_until": state["n_raw"] + self._samples(wait),
            "rollbacks": judged["rollbacks"] + 1,
        }
        size = float(np.linalg.norm(before["mix"] - good["mix"]) + np.linalg.norm(before["bias"] - good["bias"]))
        self._write(state, "rollback", why=why, size=size, wait_s=wait)

    def _write(self, state: State, kind: str, **facts: Any) -> None:
        if self.on_update is not None:
            self.on_update(kind)
        if self.journal is not None:
            named = {"stream": self.name} if self.name else {}
            self.journal.append(kind, sample=state["n_raw"], **named, **facts)


def _behind_the_chain(package: Package, clean: SignalSpec, session: Any, resets_s: Sequence[float]) -> LiveDecoder:
    """Return a decoder of the cleaned signal: the package's own, without its chain."""
    bare = type(package)(package.folder, package.facts.model_copy(update={"chain": (), "raw": clean}))
    if package.whole_windows:
        return SlidingDecoder(bare, resets_s=resets_s)
    return StreamDecoder(bare, resets_s=resets_s, session=session)


def _nothing(n_chans: int, n_classes: int) -> State:
    """Return the state of a decoder that has not adapted."""
    return {"mix": np.eye(n_chans), "scale": 1.0, "bias": np.zeros(n_classes)}


def _in_force(state: State) -> State:
    learned = state["readout"]
    return {"mix": state["mix"].copy(), "scale": learned["scale"], "bias": learned["bias"].copy()}
