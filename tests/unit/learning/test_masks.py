"""Each scheme of hiding: what a network may see and may not see, and where the loss counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from binned import made_session, made_set
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_foundation.learning.masks import SCHEMES, Facts, choose, hide, possible, stacked

FACTS = Facts(20, ("spikes",), ("speed", "energy"), ("choice", "block"))
BEHAVIOUR = {"speed", "energy", "choice", "block"}


def draw(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def unseen(hidden: Any) -> set[str]:
    """Return the modalities of which something is hidden."""
    return {name for name, mask in hidden.items() if mask.any()}


def test_encoding_sees_all_behaviour_and_no_spike() -> None:
    hidden, scored = hide("encoding", FACTS, 0.3, draw())
    assert unseen(hidden) == unseen(scored) == {"spikes"}
    assert hidden["spikes"].all()
    assert scored["spikes"].all()


def test_decoding_sees_all_spikes_and_no_behaviour() -> None:
    hidden, scored = hide("decoding", FACTS, 0.3, draw())
    assert unseen(hidden) == unseen(scored) == BEHAVIOUR
    assert all(hidden[n].all() and scored[n].all() for n in BEHAVIOUR)
    assert hidden["choice"].shape == (1,)
    assert hidden["speed"].shape == (20,)


def test_neural_hides_bins_of_the_counts_alone() -> None:
    hidden, scored = hide("neural", FACTS, 0.3, draw())
    assert unseen(hidden) == {"spikes"}
    assert hidden["spikes"].sum() == 6
    assert (scored["spikes"] == hidden["spikes"]).all()


def test_behavioural_hides_the_same_bins_of_all_behaviour_and_no_spike() -> None:
    pairs = [hide("behavioural", FACTS, 0.3, draw(i)) for i in range(400)]
    for hidden, scored in pairs:
        assert "spikes" not in hidden
        assert hidden["speed"].sum() == 6
        assert (hidden["speed"] == hidden["energy"]).all()
        assert all((scored[n] == hidden[n]).all() for n in hidden)
    assert np.mean([hidden["choice"][0] for hidden, _ in pairs]) == pytest.approx(0.3, abs=0.07)
    assert any(h["choice"][0] != h["block"][0] for h, _ in pairs)


def test_within_modality_tells_one_from_itself_alone() -> None:
    told = Counter[str]()
    for i in range(60):
        hidden, scored = hide("within_modality", FACTS, 0.3, draw(i))
        ((name, bins),) = scored.items()
        told[name] += 1
        assert bins.sum() == 6
        assert (hidden[name] == bins).all()
        assert all(hidden[other].all() for other in FACTS.names if other != name)
    assert set(told) == {"spikes", "speed", "energy"}  # a class cannot be told from itself


def test_random_token_hides_any_token() -> None:
    pairs = [hide("random_token", FACTS, 0.3, draw(i)) for i in range(60)]
    assert all(sum(int(m.sum()) for m in hidden.values()) == round(0.3 * 62) for hidden, _ in pairs)
    assert set().union(*(unseen(hidden) for hidden, _ in pairs)) == set(FACTS.names)
    assert not (pairs[0][0]["speed"] == pairs[0][0]["energy"]).all()
    assert all((scored[n] == hidden[n]).all() for hidden, scored in pairs for n in hidden)


def test_causal_sees_only_bins_before_the_one_that_counts() -> None:
    firsts = set()
    for i in range(200):
        hidden, scored = hide("causal", FACTS, 0.3, draw(i))
        (first,) = np.flatnonzero(scored["spikes"])
        firsts.add(int(first))
        for name in FACTS.dynamic:
            assert not hidden[name][:first].any()
            assert hidden[name][first:].all()
            assert np.flatnonzero(scored[name]).tolist() == [first]
        assert all(hidden[name].all() and name not in scored for name in FACTS.classes)
    assert firsts == set(range(1, 20))


class TestWithLFP:
    """LFP is neural: hidden with the spikes, seen with the spikes."""

    FACTS = Facts(20, ("spikes",), ("lfp", "speed"), ("choice",), signals=("lfp",))

    def test_encoding_sees_behaviour_alone(self) -> None:
        hidden, scored = hide("encoding", self.FACTS, 0.3, draw())
        assert unseen(hidden) == unseen(scored) == {"spikes", "lfp"}
        assert all(mask.all() for mask in hidden.values())

    def test_decoding_sees_spikes_and_lfp(self) -> None:
        hidden, scored = hide("decoding", self.FACTS, 0.3, draw())
        assert unseen(hidden) == unseen(scored) == {"speed", "choice"}
        assert all(mask.all() for mask in hidden.values())

    def test_neural_hides_the_same_bins_of_both(self) -> None:
        hidden, _ = hide("neural", self.FACTS, 0.3, draw())
        assert set(hidden) == {"spikes", "lfp"}
        assert hidden["spikes"].sum() == 6
        assert (hidden["spikes"] == hidden["lfp"]).all()

    def test_behavioural_hides_neither(self) -> None:
        for i in range(50):
            hidden, _ = hide("behavioural", self.FACTS, 0.3, draw(i))
            assert set(hidden) == {"speed", "choice"}

    def test_lfp_is_told_from_itself_and_in_time_as_the_others_are(self) -> None:
        told = {next(iter(hide("within_modality", self.FACTS, 0.3, draw(i))[1])) for i in range(60)}
        assert told == {"spikes", "lfp", "speed"}
        hidden, _ = hide("causal", self.FACTS, 0.3, draw())
        assert (hidden["lfp"] == hidden["spikes"]).all()

    def test_spikes_and_lfp_alone_have_no_direction(self) -> None:
        neural = Facts(20, ("spikes",), ("lfp",), (), signals=("lfp",))
        assert possible(dict.fromkeys(SCHEMES, 1.0), neural) == ["within_modality", "random_token", "causal"]
        lfp = Facts(20, (), ("lfp", "speed"), (), signals=("lfp",))
        assert possible({"encoding": 1.0, "decoding": 1.0}, lfp) == ["encoding", "decoding"]

    def test_facts_of_a_session_know_its_role(self) -> None:
        a = made_session("a")
        modalities = tuple(m.model_copy(update={"neural": m.name == "motion_energy"}) for m in a.modalities)
        windows = made_set([replace(a, modalities=modalities)])
        facts = Facts.of(windows.spec, 0, 20)
        assert facts.signals == ("motion_energy",)
        assert facts.neural == ("spikes", "motion_energy")
        assert facts.moving == ("wheel_speed",)


@pytest.mark.parametrize("ratio", [0.05, 0.1, 0.3, 0.5, 0.75, 0.95])
def test_the_share_hidden_is_the_ratio(ratio: float) -> None:
    facts = Facts(100, ("spikes",), ("speed",), ("choice",))
    assert hide("neural", facts, ratio, draw())[0]["spikes"].mean() == pytest.approx(ratio, abs=0.005)
    assert hide("behavioural", facts, ratio, draw())[0]["speed"].mean() == pytest.approx(ratio, abs=0.005)
    assert next(iter(hide("within_modality", facts, ratio, draw())[1].values())).mean() == pytest.approx(
        ratio, abs=0.005
    )
    hidden = hide("random_token", facts, ratio, draw())[0]
    assert sum(int(m.sum()) for m in hidden.values()) / 201 == pytest.approx(ratio, abs=0.005)


@given(st.sampled_from(SCHEMES), st.integers(2, 30), st.floats(0.01, 0.99), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_what_counts_is_hidden_and_something_counts(scheme: Any, n_bins: int, ratio: float, seed: int) -> None:
    facts = Facts(n_bins, ("spikes",), ("speed",), ("choice",))
    hidden, scored = hide(scheme, facts, ratio, draw(seed))
    assert all(not (mask & ~hidden[name]).any() for name, mask in scored.items())
    assert scheme == "behavioural" or any(mask.any() for mask in scored.values())
    assert all(mask.shape == (facts.size(name),) for name, mask in hidden.items())


class TestWhichScheme:
    def test_by_their_weights(self) -> None:
        mix: Any = {"encoding": 3.0, "decoding": 1.0, "causal": 0.0}
        drawn = Counter(choose(mix, FACTS, draw(i)) for i in range(800))
        assert set(drawn) == {"encoding", "decoding"}
        assert drawn["encoding"] / 800 == pytest.approx(0.75, abs=0.05)

    def test_only_those_that_a_session_can_be_asked(self) -> None:
        mix: Any = dict.fromkeys(SCHEMES, 1.0)
        assert possible(mix, FACTS) == list(SCHEMES)
        spikes_alone = Facts(20, ("spikes",), (), ())
        assert possible(mix, spikes_alone) == ["within_modality", "random_token", "causal"]
        assert possible({"encoding": 1.0}, spikes_alone) == []

    def test_facts_of_a_session_leave_out_what_it_lacks(self) -> None:
        windows = made_set([made_session("a"), made_session("b", without=("wheel_speed", "block"))])
        facts = Facts.of(windows.spec, 1, 20)
        assert facts == Facts(20, ("spikes",), ("motion_energy",), ("choice",))


def test_windows_are_put_together_by_name() -> None:
    pairs = [hide("encoding", FACTS, 0.3, draw()), hide("decoding", FACTS, 0.3, draw()), ({}, {})]
    hidden, scored = stacked(pairs, {name: FACTS.size(name) for name in FACTS.names})
    assert hidden["spikes"].all(1).tolist() == [True, False, False]
    assert hidden["choice"].shape == (3, 1)
    assert scored["speed"].any(1).tolist() == [False, True, False]
