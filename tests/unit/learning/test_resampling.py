"""Counts taken from bins of like behaviour: only from training bins, only near ones, and never without need."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neural_foundation.core.errors import DataError, SpecError
from neural_foundation.core.modalities import BinnedSessionSpec, ModalitySpec
from neural_foundation.learning.resampling import Resample, Resampler
from neural_foundation.sampling.binned import BinnedSession, BinnedSet, Spans

N, T = 400, 20


def walked(gap: bool = False) -> BinnedSession:
    """Return a session whose two units count the bin's number and the half of the track it is on."""
    position = np.tile(np.linspace(0, 1, 100), N // 100)[:, None].astype(np.float32)
    if gap:
        position[10:15] = np.nan
    counts = np.stack([np.arange(N), (position[:, 0] > 0.5) + 7], 1).astype(np.uint16)
    modalities = (ModalitySpec(name="spikes", kind="counts"), ModalitySpec(name="position", kind="continuous"))
    spec = BinnedSessionSpec(name="walk", subject="a", channels=(("0", "1"), ("x",)))
    values = {"spikes": counts, "position": position}
    return BinnedSession(spec, 0.1, modalities, values, np.array([0]), np.array([N]), np.array([0.0]))


def windows(session: BinnedSession, stop: int = 300) -> BinnedSet:
    span = Spans(*(np.array([v]) for v in (0, 0, 0, stop)))
    return BinnedSet.cut([session], span, T)


def applied(session: BinnedSession, **fields: object) -> tuple[np.ndarray, np.ndarray]:
    """Return the recorded and the resampled counts of all windows, (n, T, 2)."""
    chosen = windows(session)
    batch = chosen.source((), 2**20).batch(np.arange(len(chosen)), seed=3, step=0)
    made = Resampler(Resample.model_validate({"by": ("position",), **fields}), chosen).apply(batch)
    return batch.groups[0].values["spikes"].numpy(), made.groups[0].values["spikes"].numpy()


def test_counts_come_from_training_bins_where_the_animal_was_near() -> None:
    before, after = applied(walked(), share=1.0, neighbours=3)
    place = before[..., 0] % 100
    assert after[..., 0].max() < 300, "bins after the training part are never used"
    assert np.abs(after[..., 0] % 100 - place).max() <= 1
    assert (after[..., 0] != before[..., 0]).mean() > 0.5
    inside = (place > 51) | (place < 48)
    assert (after[..., 1] == before[..., 1])[inside].all()


def test_units_are_drawn_each_for_itself() -> None:
    session = walked()
    session.values["spikes"][:, 1] = np.arange(N)
    _, after = applied(session, share=1.0, neighbours=3)
    assert (after[..., 0] != after[..., 1]).mean() > 0.3


def test_only_a_share_of_the_windows_changes() -> None:
    before, after = applied(walked(), share=0.5)
    changed = (before != after).any((1, 2))
    assert 0 < changed.sum() < len(changed)


def test_bins_of_unknown_behaviour_keep_their_counts() -> None:
    before, after = applied(walked(gap=True), share=1.0)
    unknown = (before[..., 0] >= 10) & (before[..., 0] < 15)
    assert unknown.any()
    assert (before == after)[unknown].all()
    assert not np.isin(after[..., 0][~unknown], np.arange(10, 15)).any()


def test_the_same_step_gives_the_same_counts() -> None:
    assert np.array_equal(applied(walked())[1], applied(walked())[1])


def test_a_spliced_path_is_continuous_and_stays_in_training() -> None:
    session = walked()
    chosen = windows(session)
    batch = chosen.source((), 2**20).batch(np.arange(len(chosen)), seed=3, step=0)
    spec = Resample(by=("position",), share=1.0, neighbours=3, splice=0.2)
    made = Resampler(spec, chosen).apply(batch).groups[0].values
    place = made["position"][..., 0].numpy()
    # a step is one bin of the path, or of its neighbours; the track's end is its beginning
    steps = np.abs(np.diff(place, axis=1))
    assert np.minimum(steps, 1 - steps).max() < 0.05
    assert (np.diff(place, axis=1) < -0.005).any(), "some go backward"
    assert made["spikes"][..., 0].max() < 300
    assert not np.array_equal(place, batch.groups[0].values["position"][..., 0].numpy())


def test_a_trial_with_classes_cannot_be_spliced() -> None:
    session = walked()
    choice = ModalitySpec(name="choice", kind="classes", classes=("a", "b"))
    spec = session.spec.model_copy(update={"channels": (*session.spec.channels, ("choice",))})
    values = {**session.values, "choice": np.array([0], np.int16)}
    told = replace(session, spec=spec, modalities=(*session.modalities, choice), values=values)
    with pytest.raises(SpecError, match="splice is 0.1, but a trial's 'choice'"):
        applied(told, splice=0.1)


def test_what_cannot_be_resampled_by_is_named() -> None:
    with pytest.raises(SpecError, match=r"resample.by: 'spikes'.*position"):
        applied(walked(), by=("spikes",))
    with pytest.raises(DataError, match="300 training bins of known behaviour"):
        applied(walked(), neighbours=300)
    session = walked()
    lacking = replace(session, values={"spikes": session.values["spikes"]})
    with pytest.raises(DataError, match="'walk' has no 'position' to resample by"):
        applied(lacking)
