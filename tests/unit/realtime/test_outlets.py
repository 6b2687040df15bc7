"""Outlets: lines of JSON and streams of LSL carry each decision, whole and at once."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from time import monotonic

import local_lsl
import pytest

from neural_foundation.core.errors import MissingExtraError, SpecError, StoreError, StreamError
from neural_foundation.realtime.decision import LiveDecision
from neural_foundation.realtime.outlets import OUTLETS, parse_outlet
from neural_foundation.realtime.outlets.jsonl import Jsonl, line
from neural_foundation.realtime.outlets.lsl import Lsl

CLASSES = ("left", "right")
SURE = LiveDecision(4, 50, 0.5, "right", {"left": 0.125, "right": 0.875}, True, ("right",))
SILENT = LiveDecision(5, 60, 0.6, None, {"left": 0.5, "right": 0.5}, True, CLASSES)
INVALID = LiveDecision(6, 70, 0.7, "left", {"left": float("nan"), "right": 0.25}, False)


def test_a_line_a_decision_is_there_at_once(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with parse_outlet(f"jsonl:{path}").open(CLASSES, 10) as outlet:
        outlet.put(SURE)
        first = json.loads(path.read_text())
        outlet.put(SILENT, 1.0)
        outlet.put(INVALID)
    assert first == {
        "token": 4,
        "sample": 50,
        "time_s": 0.5,
        "probability": {"left": 0.125, "right": 0.875},
        "decision": "right",
        "valid": True,
        "set": ["right"],
    }
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [d["decision"] for d in lines] == ["right", None, "left"]
    assert lines[2]["probability"]["left"] is None
    assert lines[2]["valid"] is False


def test_of_an_ensemble_a_line_says_how_unsure_it_is() -> None:
    single, told = json.loads(line(SURE)), json.loads(line(replace(SURE, entropy=0.5, disagreement=float("nan"))))
    assert list(told) == [*single, "entropy", "disagreement"]
    assert (told["entropy"], told["disagreement"]) == (0.5, None)


def test_standard_output_stays_open(capsys: pytest.CaptureFixture[str]) -> None:
    with Jsonl().open(CLASSES, 10) as outlet:
        outlet.put(SURE)
    assert json.loads(capsys.readouterr().out)["token"] == 4
    assert not sys.stdout.closed


def test_a_file_that_is_there_is_kept_unless_it_is_to_go_on(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("{}\n")
    with pytest.raises(StoreError, match=r"exists. Give another name, or append=true"):
        Jsonl(path=str(path)).open(CLASSES, 10)
    with parse_outlet(f"jsonl:{path},append=true").open(CLASSES, 10) as outlet:
        outlet.put(SURE)
    assert len(path.read_text().splitlines()) == 2
    with pytest.raises(StoreError, match="cannot be written"):
        Jsonl(path=str(tmp_path / "no" / "out.jsonl")).open(CLASSES, 10)


def test_nothing_goes_into_a_closed_outlet(tmp_path: Path) -> None:
    outlet = Jsonl(path=str(tmp_path / "out.jsonl")).open(CLASSES, 10)
    outlet.close()
    outlet.close()
    with pytest.raises(StreamError, match="The outlet is closed"):
        outlet.put(SURE)


def test_lsl_carries_probabilities_and_words_stamped_with_the_sample() -> None:
    pylsl = local_lsl.library()
    name = local_lsl.unique()
    with parse_outlet(f"lsl:{name}").open(CLASSES, 10) as outlet:
        inlets = []
        for stream in (name, f"{name}-decision"):
            (info,) = pylsl.resolve_byprop("name", stream, 1, 5.0)
            inlets.append(pylsl.StreamInlet(info))
            inlets[-1].open_stream(5.0)
        before = monotonic()
        for decision, stamp in ((SURE, 1000.0), (SILENT, 1000.1), (INVALID, None)):
            outlet.put(decision, stamp)
        numbers = [inlets[0].pull_sample(5.0) for _ in range(3)]
        words = [inlets[1].pull_sample(5.0) for _ in range(3)]
        described = inlets[0].info(5.0)
    clock = pylsl.local_clock() - monotonic()
    assert described.get_channel_labels() == ["left", "right", "valid"]
    assert (described.type(), described.nominal_srate()) == ("Probability", 0.0)
    assert numbers[0][0] == [0.125, 0.875, 1.0]
    assert numbers[2][0][1:] == [0.25, 0.0]
    assert [w[0][0] for w in words] == ["right", "", ""]
    for pulled in (numbers, words):
        stamps = [stamp - clock for _, stamp in pulled]
        assert stamps[:2] == pytest.approx([1000.0, 1000.1], abs=1e-3)
        assert stamps[2] >= before - 1e-3  # nobody knew when: now
    for inlet in inlets:
        inlet.close_stream()


def test_in_one_word() -> None:
    assert parse_outlet("lsl:BCI") == Lsl(name="BCI")
    assert parse_outlet("jsonl:-") == Jsonl()
    with pytest.raises(SpecError, match="Unknown kind 'json' for outlets. Did you mean 'jsonl'?"):
        parse_outlet("json:x")
    with pytest.raises(SpecError, match="unknown field 'appnd'. Did you mean 'append'?"):
        parse_outlet("jsonl:x,appnd=true")
    assert set(OUTLETS) == {"jsonl", "lsl"}


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pylsl", None)
    with pytest.raises(MissingExtraError, match=r"neural-foundation\[lsl\]"):
        Lsl(name="x").open(CLASSES, 10)
