"""The learner of models that fit themselves: all windows at once, no epochs."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from ..core.errors import SpecError
from .base import Fitted, Learner, Task
from .checks import labelled_part


class EstimatorLearner(Learner):
    """Load every labelled training window into memory and call the estimator's own `fit`."""

    kind: Literal["estimator"] = "estimator"
    family: ClassVar[Literal["network", "estimator"]] = "estimator"

    def fit(self, task: Task) -> Fitted:
        """Return the fitted estimator; validation windows, seed and device are not used.

        Raises
        ------
        SpecError : no target, or a pre-trained start. DataError : no labelled windows, one class only.
        """
        if task.target is None:
            raise SpecError("An estimator needs a target to learn", remedy="Give the recipe classes to decode")
        if task.start is not None:
            raise SpecError("An estimator cannot start from a pre-trained network", remedy="Remove inputs.start")
        train = labelled_part(task.train, task.target)
        estimator = task.model.estimator(task.signal, task.target)
        task.progress(0, 1, f"fitting {len(train)} windows")
        fitted = estimator.fit(train.load(np.arange(len(train))), np.asarray(train.target), np.asarray(train.subject))
        task.progress(1, 1, f"fitted {len(train)} windows")
        return Fitted(fitted)
