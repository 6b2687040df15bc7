"""What a run shows: bars where there is a terminal, plain lines where there is none; exit codes of the command."""

from __future__ import annotations

import io
import sys

import pytest

from neural_foundation import cli
from neural_foundation.cli.show_progress import Display
from neural_foundation.core.errors import DataError, Interrupted


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_each_finished_item_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Display(["a", "b"], "toy") as display:
        display.report("a", 1, 4, "cleaning")
        display.report("a", 4, 4, "done")
        display.report("b", 4, 4, "done")
    lines = capsys.readouterr().err.splitlines()
    assert lines[-2:] == ["[1/2] a", "[2/2] b"]
    assert "  a: cleaning 1/4" in lines


def test_plain_lines_do_not_flood(capsys: pytest.CaptureFixture[str]) -> None:
    with Display(["a"], "toy") as display:
        for k in range(50):
            display.report("a", k, 50, "training")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_terminal_has_a_bar_for_all_and_one_for_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Display(["a", "b"], "toy") as display:
        assert display.progress is not None
        display.report("a", 0, 0, "reading")
        display.report("a", 2, 4, "cleaning")
        shown = {task.description: (task.completed, task.total) for task in display.progress.tasks}
        assert shown == {"toy": (0, 2), "  a: cleaning": (2, 4)}
        display.report("a", 4, 4, "done")
        display.report("b", 4, 4, "done")  # done at once: it never had a bar
        display.report("a", 3, 4, "cleaning")  # from a worker, after its end
        shown = {task.description: (task.completed, task.total) for task in display.progress.tasks}
        assert shown == {"toy": (2, 2)}


def test_time_left_is_what_others_of_the_stage_took(monkeypatch: pytest.MonkeyPatch) -> None:
    from neural_foundation.cli import show_progress

    now = [0.0]
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(show_progress.time, "monotonic", lambda: now[0])
    with Display(["fit/0", "fit/1", "fit/2", "report"], "toy") as display:
        assert display.progress is not None

        def said(task: str, done: int, text: str, at: float) -> str:
            now[0] = at
            display.report(task, done, 4, text)
            assert display.progress is not None
            return str(display.progress.tasks[-1 if text != "done" else 0].fields["left"])

        assert said("fit/0", 0, "training", 0) == ""
        assert said("fit/0", 1, "training", 30) == "1:30 left"
        assert said("fit/0", 4, "done", 100) == "", "nobody knows yet what a report takes"
        assert said("report", 4, "done", 100) == "3:20 left"
        said("fit/1", 0, "training", 100)
        assert said("fit/1", 4, "done", 180) == "1:30 left"


def test_nothing_to_do_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Display([], "toy") as display:
        assert display.progress is None


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (DataError("No recordings", remedy="Check `path`"), 1, "Error: No recordings. Check `path`."),
        (Interrupted("2 items were finished"), 130, "2 items were finished"),
        (KeyboardInterrupt(), 130, "Nothing finished is lost"),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_every_end_has_its_exit_code(
    error: BaseException,
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == code
    assert words in capsys.readouterr().err
