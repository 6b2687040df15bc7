import json
from typing import Any

import pytest

from neural_foundation.serving.hello import LONGEST, parse_hello
from neural_foundation.serving.protocol import ProtocolError


def said(**fields: Any) -> str:
    return json.dumps({"type": "hello", "format_version": 1, **fields})


def test_hello_needs_nothing_but_its_type() -> None:
    hello = parse_hello(said())
    assert (hello.task, hello.dtype, hello.signal, hello.resume, hello.adapt) == ("", "float32", None, "", False)


def test_hello_takes_a_signal() -> None:
    hello = parse_hello(said(task="x", signal={"sfreq": 250, "ch_names": ["C3", "C4"]}, dtype="int16", step=1e-7))
    assert hello.signal is not None
    assert hello.signal.ch_names == ("C3", "C4")


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ("", "hello is not JSON"),
        ("[1]", "hello is not a JSON object"),
        ("\x00" * 30, "hello is not JSON"),
        ("[" * 5000, "hello is not JSON"),
        (said(dtype="float64"), "field 'dtype'"),
        (said(dtype="int16"), "int16 samples need 'step'"),
        (said(signal={"sfreq": 0, "ch_names": []}), "field 'signal.sfreq'"),
        (said(signal={"sfreq": 250, "ch_names": ["A", "A"]}), "channel names repeat"),
        (said(tsk="x"), "unknown field 'tsk'. Did you mean 'task'"),
        (said(format_version=2), "hello says format_version 2. Allowed: 1"),
        (" " * (LONGEST + 1), f"hello has {LONGEST + 1} characters"),
    ],
)
def test_a_wrong_hello_is_one_clear_error(message: str, wanted: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_hello(message)
    assert wanted in str(caught.value)
