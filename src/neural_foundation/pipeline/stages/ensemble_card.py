"""The card of a deployed ensemble, for people: what it decides, from what, how well on others, its limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ...export.ensemble_package import EnsemblePackage
from ...models.package import channel_list

METHODS = {
    "mean": "the mean of the members",
    "weighted": "the weighted mean of the members, each with a temperature of its own",
    "geometric": "the weighted geometric mean of the members, each with a temperature of its own",
    "stacked": "a regression on the members' log probabilities",
}


def card(package: EnsemblePackage, value: Mapping[str, Any]) -> str:
    """Return the card. value : what the `ensemble` stage wrote. No measured time is in it."""
    facts = package.facts
    classes = facts.target.classes if facts.target else ()
    parts = [
        f"# {facts.name}",
        f"For each {facts.windows.length_s:g} s of {_types(facts.raw.ch_types)}: the probability of "
        f"{', '.join(classes[:-1])} and {classes[-1]}, how unsure it is, and how far its members disagree.",
        _table(("", ""), _about(package)),
        "## On people it had not seen",
        _judged(value),
        _table(("", "KL divergence (95 % interval)", "Accuracy (95 % interval)"), _scores(package, value)),
        "## Members",
        _table(("Member", "Model", "Packages", "Temperature", "Weight"), _members(package)),
        "## Limits",
        "\n".join(f"- {line}" for line in _limits(package, value)),
    ]
    return "\n\n".join(parts) + "\n"


def _types(types: tuple[str, ...]) -> str:
    return " and ".join(t.upper() for t in dict.fromkeys(types)) or "signal"


def _about(package: EnsemblePackage) -> list[tuple[str, str]]:
    facts, windows = package.facts, package.facts.windows
    return [
        (
            "Expects",
            f"{facts.raw.n_chans} channels, {facts.raw.sfreq:g} Hz, raw, in volts: {channel_list(facts.raw.ch_names)}",
        ),
        ("Chain", " -> ".join(op.kind for op in facts.chain) or "none"),
        ("Window", f"{windows.length_s:g} s{_labelled(windows.start_s)}"),
        ("Trained on", f"{_people(len(facts.subjects))}, {facts.trained.get('dataset', 'data without a name')}"),
        ("Licence of the data", str(facts.trained.get("licence", "not known"))),
        ("Decides by", METHODS[package.ensembled.method]),
    ]


def _people(n: int) -> str:
    return f"{n} {'person' if n == 1 else 'people'}"


def _labelled(start_s: float) -> str:
    return f"; what it speaks of begins {-start_s:g} s into it" if start_s < 0 else ""


def _judged(value: Mapping[str, Any]) -> str:
    scores = value["scores"]
    truth = "experts' votes" if value["votes"] else "labels"
    return (
        f"{scores['n_windows']} windows of {_people(scores['n_patients'])}, against {truth}. Each person was held out: "
        "by the members, and by the temperatures and weights of the ensemble. Members that spoke of the other folds, "
        "from which these were learned, have themselves learned from the judged people. Intervals are over people."
    )


def _scores(package: EnsemblePackage, value: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    scores, method = value["scores"], package.ensembled.method
    rows = [("This ensemble", scores["ensembles"][method])]
    rows += [(n, scores["members"][n]) for n in package.facts.ensemble if n in scores["members"]]
    rows += [(n, scores["baselines"][n]) for n in scores["baselines"]]
    rows += [(n.capitalize(), scores["references"][n]) for n in scores["references"]]
    return [(n, _interval(s["kl"], 3), _interval(s["accuracy"], 3)) for n, s in rows]


def _interval(found: Mapping[str, Any], digits: int) -> str:
    mean, low, high = (found[k] for k in ("mean", "low", "high"))
    return f"{mean:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _members(package: EnsemblePackage) -> Iterable[tuple[str, ...]]:
    blend = package.blend
    weights = blend.geometric if package.ensembled.method == "geometric" else blend.weights
    used = package.ensembled.method in ("weighted", "geometric")
    for i, (name, packages) in enumerate(zip(package.facts.ensemble, package.members, strict=True)):
        weight = f"{weights[i]:.2f}" if used else "-"
        warm = "-" if package.ensembled.method == "mean" else f"{blend.temperatures[i]:.2f}"
        yield name, packages[0].facts.model.kind, str(len(packages)), warm, weight


def _limits(package: EnsemblePackage, value: Mapping[str, Any]) -> list[str]:
    lines = [
        "Research use. Not a medical device. No decision about a patient may rest on it.",
        "It has learned from the people of one data set. It may be worse on other people, devices and montages, "
        "and differs from person to person; see the report.",
        "It knows no other classes than these: whatever it is shown, their probabilities sum to 1.",
        "A decision belongs to the end of its window. A window of which half or more cannot be trusted says nothing.",
    ]
    if any(len(packages) > 1 for packages in package.members):
        lines.append(
            "A member is the mean of the packages of several folds or seeds. The scores above are of folds one by one: "
            "this very mean was tested on nobody, since each person was in the training of some of it, and its "
            "temperatures were learned on the probabilities of single folds."
        )
    else:
        lines.append("The scores above are of all folds; what is deployed here is one of them.")
    streaming = [n for n, ps in zip(package.facts.ensemble, package.members, strict=True) if not ps[0].whole_windows]
    if streaming:
        lines.append(
            f"Live, {' and '.join(streaming)} takes each window alone, as a person's first. It was scored with what it "
            "may have kept of the person from earlier windows."
        )
    if value["scores"]["references"].get("truth") is not None:
        lines.append("The data is simulated: nothing is said here about people.")
    return lines


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
