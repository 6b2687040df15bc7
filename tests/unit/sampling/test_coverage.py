"""What training knows of each behaviour: nothing of it is an error, a class it never saw is stated."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from binned import made_session

from neural_foundation.core.errors import DataError
from neural_foundation.sampling.binned import BinnedSession
from neural_foundation.sampling.coverage import check_learnable, not_in_training, said_of_lacking
from neural_foundation.sampling.roles import TrialFold

FIRST = TrialFold(name="0", hold_out="block")  # of 20 trials: 0-3 tested, 4-7 for validation


def session(**values: Any) -> BinnedSession:
    made = made_session("a")
    return replace(made, values={**made.values, **values})


def classes(*codes: int) -> np.ndarray:
    return np.asarray(codes, np.int16)


def test_a_class_that_only_the_test_has_is_found() -> None:
    block = classes(*[0] * 4, *[1, 2] * 8)
    assert not_in_training(FIRST, session(block=block)) == {"block": {"test": ["low"]}}
    assert not_in_training(TrialFold(name="1", hold_out="block", block=1), session(block=block)) == {}


def test_a_class_that_test_and_validation_have_is_found_in_both() -> None:
    found = not_in_training(FIRST, session(block=classes(*[0] * 6, *[1, 2] * 7)))
    assert found == {"block": {"test": ["low"], "validation": ["low"]}}
    assert said_of_lacking(found) == [
        "Class 'low' of 'block' is tested, but training never saw it",
        "Class 'low' of 'block' is in the validation part, but training never saw it",
    ]


def test_a_trial_without_a_class_is_no_class() -> None:
    assert not_in_training(FIRST, session(block=classes(*[-1] * 4, *[1, 2] * 8))) == {}


def test_one_class_in_training_is_refused() -> None:
    with pytest.raises(DataError, match="'choice' has 'right' alone in the training part of fold '0' of 'a'") as error:
        check_learnable(FIRST, session(choice=classes(*[0] * 8, *[1] * 12)))
    assert "other folds, or hold_out: trial, or leave the behaviour out" in str(error.value)
    with pytest.raises(DataError, match="'choice' has no class in the training part"):
        check_learnable(FIRST, session(choice=classes(*[0, 1] * 4, *[-1] * 12)))
    check_learnable(FIRST, session(choice=classes(*[0] * 8, *[1] * 11, 0)))


def test_a_behaviour_that_training_knows_nothing_of_is_refused() -> None:
    speed = np.full((400, 1), np.nan, np.float32)
    speed[:160] = 1.0  # the tested part and that for validation
    with pytest.raises(DataError, match="'wheel_speed' is known in no bin of the training part of fold '0' of 'a'"):
        check_learnable(FIRST, session(wheel_speed=speed))
    speed[200] = 1.0
    check_learnable(FIRST, session(wheel_speed=speed))


def test_one_channel_of_several_is_named() -> None:
    energy = np.ones((400, 2), np.float32)
    energy[:, 1] = np.nan
    with pytest.raises(DataError, match="Channel 'right' of 'motion_energy' is known in no bin"):
        check_learnable(FIRST, session(motion_energy=energy))


def test_what_a_session_lacks_is_not_asked_for() -> None:
    bare = made_session("a", without=("wheel_speed", "motion_energy", "choice", "block"))
    check_learnable(FIRST, bare)
    assert not_in_training(FIRST, bare) == {}
