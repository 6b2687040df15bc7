"""report: the section on alarms, from scores.json."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...evaluation.report import Alarms, Provenance
from .report_confidence import estimate


def alarms(made: dict[str, Any], main: str, provenance: Provenance) -> Alarms | None:
    """Return how the main model does as a predictor of events; None where that was not asked for."""
    if "alarms" not in made:
        return None
    entry, curve = made["alarms"]["models"][main], made["alarms"]["models"][main]["curve"]
    return Alarms(
        model=main,
        event=made["alarms"]["rule"]["event"],
        events=entry["events"],
        foreseen=entry["foreseen"],
        sensitivity=estimate(entry["sensitivity"]),
        false_per_hour=entry["false_per_hour"],
        hours=entry["hours"],
        warning_s=entry["warning_s"]["median"],
        chance=entry["chance"]["sensitivity"],
        chance_level=entry["chance"]["level_95"],
        chance_p=entry["chance"]["p"],
        curve_false=np.array(curve["false_per_hour"]),
        curve_sensitivity=np.array(curve["sensitivity"]),
        curve_chance=np.array(curve["chance"]),
        people=tuple(
            (name, s["foreseen"], s["events"], s["false"], s["hours"]) for name, s in entry["subjects"].items()
        ),
        others=tuple(
            (name, e["foreseen"] / e["events"], e["false_per_hour"], e["chance"]["sensitivity"])
            for name, e in made["alarms"]["models"].items()
            if name != main
        ),
        provenance=provenance,
    )
