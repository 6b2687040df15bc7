"""The table at the end of a run."""

from __future__ import annotations

from rich.console import Console

from neural_foundation.evaluation import report as r


def rendered(scores: r.HeldOutScores) -> str:
    console = Console(width=120, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as capture:
        console.print(r.terminal_table(scores))
    return capture.get()


def scores(name: str = "ours") -> r.HeldOutScores:
    ours = r.ModelScores(model=name, by_subject=(0.7, float("nan"), 0.9), mean=r.Estimate(0.8, 0.7, 0.9), role="model")
    weak = r.ModelScores(model="weak", by_subject=(0.5, 0.5, 0.6), mean=r.Estimate(0.55, 0.5, 0.6))
    strong = r.ModelScores(model="strong", by_subject=(0.8, 0.8, 0.9), mean=r.Estimate(0.85, 0.8, 0.9))
    return r.HeldOutScores(subjects=("a", "b", "c"), models=(weak, strong, ours), chance=r.Estimate(0.5, 0.4, 0.6))


def test_rows_hold_mean_interval_chance_and_reach_ours_first() -> None:
    text = rendered(scores())
    assert "balanced accuracy, 3 held-out subjects" in text
    rows = [line for line in text.splitlines() if "0." in line]
    assert [next(w for w in ("ours", "strong", "weak") if w in line) for line in rows] == ["ours", "strong", "weak"]
    assert all(word in rows[0] for word in ("0.80", "0.70 to 0.90", "0.50 (0.40 to 0.60)"))


def test_a_name_in_brackets_is_not_read_as_style() -> None:
    assert "[red]x[/nonsense]" in rendered(scores("[red]x[/nonsense]"))
