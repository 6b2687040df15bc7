"""The `tune:` part of a recipe: which settings a search may change, and by what it judges them.

The k-th draw is a function of (seed, k) alone: a longer search begins with the trials of a shorter one.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from ..core.seeds import generator
from ..core.specs import Spec

NOT_JUDGED = ("epoch", "step", "learning_rate")  # of a history's row; all else is of training or of validation
FORMS = ("choice", "uniform", "loguniform", "quniform", "randint")


class Range(Spec):
    """The values of one setting: exactly one of the forms. Upper ends belong to it, but for `randint`."""

    choice: tuple[Any, ...] | None = Field(None, min_length=1)
    uniform: tuple[float, float] | None = Field(None, description="lowest, highest")
    loguniform: tuple[float, float] | None = Field(None, description="lowest, highest; uniform in its logarithm")
    quniform: tuple[float, float, float] | None = Field(None, description="lowest, highest, step")
    randint: tuple[int, int] | None = Field(None, description="lowest, and one more than the highest")

    @model_validator(mode="after")
    def _one_form(self) -> Range:
        given = [form for form in FORMS if getattr(self, form) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of {', '.join(FORMS)}, not {' and '.join(given) or 'none'}")
        ends = getattr(self, given[0])
        if given[0] != "choice" and not ends[0] < ends[1]:
            raise ValueError(f"{given[0]}: {ends[0]:g} is not below {ends[1]:g}")
        if self.loguniform and self.loguniform[0] <= 0:
            raise ValueError("loguniform: the lowest must be above 0")
        if self.quniform and self.quniform[2] <= 0:
            raise ValueError("quniform: the step must be above 0")
        return self

    def draw(self, rng: np.random.Generator) -> Any:
        """Return one value, of Python's own types."""
        if self.choice is not None:
            return self.choice[int(rng.integers(len(self.choice)))]
        if self.randint is not None:
            return int(rng.integers(*self.randint))
        if self.uniform is not None:
            return float(rng.uniform(*self.uniform))
        if self.loguniform is not None:
            low, high = self.loguniform
            return float(np.clip(math.exp(rng.uniform(math.log(low), math.log(high))), low, high))
        assert self.quniform is not None
        low, high, step = self.quniform
        lowest, highest = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        return float(f"{int(rng.integers(lowest, highest + 1)) * step:.12g}")

    def ends(self) -> list[Any]:
        """Return the values that tell whether all of it is allowed: each choice, or lowest and highest."""
        if self.choice is not None:
            return list(self.choice)
        if self.randint is not None:
            return [self.randint[0], self.randint[1] - 1]
        found = self.uniform or self.loguniform or self.quniform
        assert found is not None
        return list(found[:2])


class Tune(Spec):
    """A search for the settings of one fit stage, judged by its validation part."""

    stage: str = Field(description="the fit stage that is judged")
    metric: str = Field("validation_loss", description="a figure of the validation part")
    mode: Literal["min", "max"] = "min"
    space: dict[str, Range] = Field(min_length=1, description="stage.field -> its values")
    grace_epochs: int = Field(1, ge=1, description="no trial is stopped before so many epochs")
    reduction: int = Field(3, ge=2, description="of the trials that get to a check, one in so many goes on")
    items: Literal["first", "all"] = Field("first", description="judge by the stage's first fold, or by all, averaged")
    max_concurrent: int | None = Field(
        None, ge=1, description="trials at once; as many as there is room for by default"
    )
    cpus: float = Field(1, gt=0, description="of a trial")
    gpus: float | None = Field(None, ge=0, description="of a trial; null: one, where there is one")

    @field_validator("metric")
    @classmethod
    def _of_the_validation_part(cls, metric: str) -> str:
        if metric in NOT_JUDGED or metric.startswith(("train", "test")):
            raise ValueError("a search judges by the validation part: validation_loss or another figure of it")
        return metric


def draws(tune: Tune, seed: int, samples: int) -> list[dict[str, Any]]:
    """Return at most `samples` sets of settings, none of them twice."""
    found: list[dict[str, Any]] = []
    for k in range(samples):
        rng = generator(seed, "tune", k)
        settings = {name: values.draw(rng) for name, values in tune.space.items()}
        if settings not in found:
            found.append(settings)
    return found
