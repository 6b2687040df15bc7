"""The learner of models that fit themselves: all windows at once, no epochs."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from ..core.errors import SpecError
from ..core.modalities import BinnedSpec
from ..core.seeds import derive
from .base import Fitted, Learner, Task
from .checks import labelled_part


class EstimatorLearner(Learner):
    """Read the labelled training windows and call the estimator's own `fit_from`, with their votes where it takes them.

    All windows are in memory at once, but for estimators that say how many they read.

    One of binned sessions is given the sets of windows as they are; it may choose its penalty on those of validation.
    """

    kind: Literal["estimator"] = "estimator"
    family: ClassVar[Literal["network", "estimator"]] = "estimator"

    def fit(self, task: Task) -> Fitted:
        """Return the fitted estimator; the device is not used, validation windows only for binned sessions.

        Raises
        ------
        SpecError : no target, or a pre-trained start. DataError : no labelled windows, one class only.
        """
        if isinstance(task.signal, BinnedSpec):
            return _fit_binned(task, task.signal)
        if task.target is None:
            raise SpecError("An estimator needs a target to learn", remedy="Give the recipe classes to decode")
        if task.start is not None:
            raise SpecError("An estimator cannot start from a pre-trained network", remedy="Remove inputs.start")
        train: Any = labelled_part(task.train, task.target)
        estimator = task.model.estimator(task.signal, task.target)
        task.progress(0, 1, f"fitting {len(train)} windows")
        estimator.seed = derive(task.seed, "estimator")
        votes = getattr(train, "votes", None) if estimator.takes_votes else None
        fitted = estimator.fit_from(train.load, np.asarray(train.target), np.asarray(train.subject), votes)
        task.progress(1, 1, f"fitted {len(train)} windows")
        return Fitted(fitted)


def _fit_binned(task: Task, spec: BinnedSpec) -> Fitted:
    if task.start is not None:
        raise SpecError("An estimator cannot start from a pre-trained network", remedy="Remove inputs.start")
    train: Any = task.train
    validation: Any = task.validation
    task.progress(0, 1, f"fitting {len(train)} windows")
    fitted = task.model.binned_estimator(spec, seed=derive(task.seed, "estimator")).fit(train, validation)
    task.progress(1, 1, f"fitted {len(train)} windows")
    return Fitted(fitted)
