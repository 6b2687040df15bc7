"""Layouts: what is refused, and in whose words; where they are looked for; YAML 1.2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neural_foundation.core.errors import RecordingError, SpecError
from neural_foundation.recordings.layout import Layout, find_layout, read_layout
from neural_foundation.recordings.tables import Npy

SIGNAL = {"values": "x", "sfreq": 250, "unit": "uV"}


def test_a_layout_is_frozen_and_equal_to_its_like() -> None:
    layout = Layout.of({"signals": {"lfp": SIGNAL}})
    assert layout == Layout.of({"signals": {"lfp": dict(SIGNAL)}})
    assert Layout.of(layout) is layout
    with pytest.raises(Exception, match="frozen"):
        layout.signals = {}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "it names nothing"),
        ([], "layout is list. Allowed: a mapping"),
        ({"subject": "Anna"}, "has a 'subject'.*never read from a file"),
        ({"signal": {}}, "unknown field 'signal'. Did you mean 'signals'"),
        ({"signals": {"a": {**SIGNAL, "sfrq": 1}}}, "unknown field 'signals.a.sfrq'. Did you mean 'sfreq'"),
        ({"signals": {"a": {"values": "x", "sfreq": 1}}}, "'signals.a.unit' is missing"),
        ({"signals": {"a": {"values": "x", "unit": "V"}}}, "'sfreq' or 'times' is missing"),
        ({"signals": {"a": {"sfreq": 1, "unit": "V"}}}, "'values' is missing"),
        ({"signals": {"a": {**SIGNAL, "sfreq": -1.0}}}, "'sfreq' must be more than 0"),
        ({"signals": {"a": {**SIGNAL, "axes": "time"}}}, "'time channel' or 'channel time', not 'time'"),
        ({"signals": {"a": {**SIGNAL, "times": "t", "start_s": 1}}}, "'start_s' and 'times' both"),
        ({"spikes": {"u": {}}}, "one of 'times' and 'trains' is needed"),
        ({"spikes": {"u": {"times": "t", "trains": "x"}}}, "one of 'times' and 'trains'"),
        ({"spikes": {"u": {"trains": "x", "unit": "y"}}}, "'unit' goes with 'times'"),
        ({"spikes": {"u": {"times": "t", "unit_ids": ["a"]}}}, "'unit_ids' goes with 'trains'"),
        ({"spikes": {"u": {"times": "t", "time_unit": "samples"}}}, "'sfreq' goes with 'time_unit: samples'"),
        ({"spikes": {"u": {"times": "t", "sfreq": 5}}}, "'sfreq' goes with 'time_unit: samples', and only"),
        ({"spikes": {"u": {"times": "t", "first_sample": 1}}}, "'first_sample' goes with"),
        ({"trials": {"start": "a", "end": "b", "duration": "c"}}, "'end' and 'duration' both"),
        ({"trials": {"end": "b"}}, "'trials.start' is missing"),
        ({"series": {"p": {"values": "x"}}}, "'series.p.times' is missing"),
    ],
)
def test_what_is_refused(given: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Layout.of(given)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not a layout in YAML"),
        ("trials: {start: a}\ntrials: {start: b}", "key 'trials' is given twice: keep one.* line 2"),
        ("trials: {1: a}", "key 1 is not a word"),
        ("a: &x {start: b}\nb: *x", "aliases are not allowed"),
        ("a: !!python/object:os.system {}", "is not a layout in YAML"),
        ("- a", "a.yaml is list"),
        ("[" * 5000, "nested too deeply"),
    ],
)
def test_yaml_that_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(SpecError, match=message):
        read_layout(tmp_path / "a.yaml")


def test_yaml_is_of_version_1_2(tmp_path: Path) -> None:
    text = "signals: {a: {values: x, sfreq: 1e3, unit: no, ch_names: [no, on, y, 'null']}}"
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8-sig")
    part = read_layout(tmp_path / "a.yaml").signals["a"]
    assert (part.sfreq, part.unit, part.ch_names) == (1000.0, "no", ("no", "on", "y", "null"))


def test_files_that_are_no_layout(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\0")
    with pytest.raises(SpecError, match="is not text"):
        read_layout(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_text(" " * ((1 << 20) + 1))
    with pytest.raises(SpecError, match="has more than 1048576 bytes"):
        read_layout(tmp_path / "b.yaml")
    with pytest.raises(SpecError, match="cannot be read"):
        read_layout(tmp_path / "c.yaml")


def test_where_a_layout_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.arange(5.0))
    assert find_layout(path, None) == (None, "a.layout.yaml")
    (tmp_path / "layout.yaml").write_text("signals: {all: {values: array, sfreq: 10, unit: V}}")
    with Npy().open(path) as session:
        assert list(session.signals) == ["all"]
    (tmp_path / "a.layout.yaml").write_text("signals: {own: {values: array, sfreq: 10, unit: V}}")
    with Npy().open(path) as session:
        assert list(session.signals) == ["own"]
    given = Layout.of({"signals": {"given": {"values": "array", "sfreq": 10, "unit": "V"}}})
    with Npy(layout=given).open(path, subject="s1") as session:
        assert list(session.signals) == ["given"]
        assert session.subject == session.signal.spec.subject == "s1"


def test_a_wrong_layout_beside_a_recording_is_an_error_of_the_recording(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(5.0))
    (tmp_path / "layout.yaml").write_text("signals: {own: {value: array, sfreq: 10, unit: V}}")
    with pytest.raises(RecordingError, match="layout.yaml: unknown field 'signals.own.value'") as caught:
        Npy().open(tmp_path / "a.npy")
    assert caught.value.path == tmp_path / "a.npy"
