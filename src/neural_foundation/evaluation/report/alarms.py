"""The section on alarms: sensitivity against false alarms an hour, beside what chance reaches."""

from __future__ import annotations

from functools import partial

from .content import Alarms
from .markup import Html, count, el, interval, number, percent, sentence, table
from .svg import Scale, both, curve, label, mark, svg, x_axis, y_axis

_HEIGHT = 300.0


def alarms_figure(a: Alarms) -> Html:
    """Return the curve over all thresholds, chance (dashed) and the point at the threshold that others set."""
    return both(partial(_figure, a))


def _figure(a: Alarms, width: float) -> Html:
    most = min(max(4 * a.false_per_hour, 1.0), max(float(a.curve_false.max()), 1e-3))
    shown = a.curve_false <= most * (1 + 1e-9)
    x, y = Scale(0, most, 46, width - 12), Scale(0, 1, _HEIGHT - 44, 30)
    where = f"{number(a.false_per_hour)} false alarms an hour, {percent(a.sensitivity.value)} foreseen"
    parts = [
        label(0, 14, "events foreseen", class_="strong"),
        y_axis(y, x.start, x.end, percent, 5),
        x_axis(x, y.start, y.end, "false alarms an hour", partial(number, digits=1), 5),
        curve([x(v) for v in a.curve_false[shown]], [y(v) for v in a.curve_chance[shown]], "chance", "by chance"),
        curve([x(v) for v in a.curve_false[shown]], [y(v) for v in a.curve_sensitivity[shown]], "fold", a.model),
        mark(0, x(min(a.false_per_hour, most)), y(a.foreseen / a.events), "main", where, 5.5),
    ]
    text = f"Share of {count(a.events, 'event')} foreseen, against false alarms an hour, with chance below."
    return svg(width, _HEIGHT, text, *parts)


def alarms_reading(a: Alarms) -> str:
    text = (
        f"{sentence(a.model)} foresees {a.foreseen} of {count(a.events, 'event')} at {number(a.false_per_hour)} false "
        f"alarms an hour ({number(a.hours, 1)} hours in which an alarm is false); mean over people "
        f"{percent(a.sensitivity.value)}, 95 % interval {interval(a.sensitivity.low, a.sensitivity.high)}."
    )
    if a.warning_s is not None:
        text += f" Warnings come {number(a.warning_s / 60, 1)} minutes before, in the median."
    chance = "p < 0.001" if a.chance_p < 0.001 else f"p = {number(a.chance_p, 3)}"
    beyond = "more than" if a.chance_p < 0.05 else "not clearly more than"
    return (
        f"{text} Alarms by chance, as often false, would foresee {percent(a.chance)} (95 in 100 times at most "
        f"{percent(a.chance_level)}): this is {beyond} chance ({chance}). That takes "
        f"events as independent, though several are of one person. The threshold that counts for a person was set on "
        f"the others, whose models had learned from that person. The lower line is chance."
    )


def alarms_table(a: Alarms) -> Html:
    rows = [
        [name, f"{foreseen} of {events}", f"{false}", number(hours, 1)]
        for name, foreseen, events, false, hours in a.people
    ]
    caption = f"Alarms within '{a.event}' are right, all others false"
    made = table(["Held out", "Foreseen", "False alarms", "Hours without"], rows, caption=caption)
    if not a.others:
        return made
    beside = [[name, percent(s), number(rate), percent(chance)] for name, s, rate, chance in a.others]
    head = ["Beside it", "Foreseen", "False alarms an hour", "Chance at that rate"]
    return el("div", made, table(head, beside, caption="The other models under the same rule"))
