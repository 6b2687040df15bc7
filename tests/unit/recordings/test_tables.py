"""Tables and plain arrays: .csv and .tsv, .parquet, .npy, against pandas, pyarrow and numpy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neural_foundation.core.errors import MissingExtraError, RecordingError
from neural_foundation.recordings import Session
from neural_foundation.recordings.layout import Layout
from neural_foundation.recordings.mapped import MappedReader
from neural_foundation.recordings.tables import Csv, Npy, Parquet

RNG = np.random.default_rng(9)
AB = {"signals": {"s": {"values": ["a", "b"], "sfreq": 10, "unit": ""}}}


def opened(reader: type[MappedReader], path: Path, layout: dict[str, Any] | None = None) -> Session:
    return reader(layout=Layout.of(layout or AB)).open(path)


def written(folder: Path, text: str | bytes, name: str = "x.csv") -> Path:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / name


def test_a_long_table_equals_that_of_numpy(tmp_path: Path) -> None:
    values = RNG.normal(size=(20_000, 3))
    lines = "\n".join(",".join(map(repr, row)) for row in values.tolist())
    path = written(tmp_path, f"t,a,b\n{lines}\n")
    assert path.stat().st_size > 1_000_000  # several marks and blocks
    expected = np.loadtxt(path, delimiter=",", skiprows=1)[:, 1:].T.astype(np.float32)
    with opened(Csv, path) as session:
        assert session.signal.n_times == 20_000
        assert np.array_equal(session.signal.read(), expected)
        for start, stop in ((0, 1), (1_234, 5_678), (19_999, 20_000), (4_000, 4_000)):
            assert np.array_equal(session.signal.read(start, stop), expected[:, start:stop])
        assert set(session.signal.spec.units) == {""}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_marks_and_quotes(tmp_path: Path, end: str, mark: str) -> None:
    rows = ['"a",b,"the, word"', '1,"2","x ""y"""', "-.5,1e-3,z", "NaN,,"]
    path = written(tmp_path, mark + "".join(row + end for row in rows))
    layout = {**AB, "trials": {"start": "start", "label": "the, word"}}
    with pytest.raises(RecordingError, match="there is no 'start'; there is 'a', 'b', 'the, word'"):
        opened(Csv, path, layout)
    with opened(Csv, path) as session:
        assert np.array_equal(session.signal.read(), np.float32([[1, -0.5, np.nan], [2, 1e-3, np.nan]]), equal_nan=True)
        assert session.signal.valid().tolist() == [True, True, False]


def test_trials_of_a_table(tmp_path: Path) -> None:
    path = written(tmp_path, "onset\tduration\ttrial_type\n2.5\t1\tleft\n1\t0.5\tright\n", "events.tsv")
    with opened(Csv, path, {"trials": {"start": "onset", "duration": "duration", "label": "trial_type"}}) as session:
        assert list(session.trials) == [(1.0, 1.5, "right"), (2.5, 3.5, "left")]


def test_times_of_a_table_give_its_rate(tmp_path: Path) -> None:
    rows = "".join(f"{5 + i / 250:.4f};{i}\n" for i in range(500))
    path = written(tmp_path, rows)
    layout = {"table": {"header": False, "delimiter": ";"}}
    layout["signals"] = {"s": {"values": "c2", "times": "c1", "unit": "mV"}}
    with opened(Csv, path, layout) as session:
        assert (session.signal.spec.sfreq, session.signal.start_s) == (250.0, 5.0)
        assert session.signal.read(10, 12).tolist() == [[np.float32(0.010), np.float32(0.011)]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3\n", "line 3 has 1 cells, the first line has 2"),
        ("a,b\n1,2\n\n", "line 3 has 1 cells"),
        ("a,b\n1,2\n1,x\n", "line 3, column 'b': 'x' is no number.*or '', 'NA', 'NaN' or 'nan'"),
        ('a,b\n1,2\n1,"2,5"\n', "a decimal point, not a comma"),
        ("a,b\n1,2\n1,1_0\n", "'1_0' is no number"),
        ("a,b\n1,2\n1,\u0663\n", "is no number"),
        ("a,b\n1,2\n1,inf\n", "sample 1 of 'a, b' is not finite"),
        ("a,b\n1,2\n1,2", "last line has no end: it is truncated"),
        ("a,b\r\n1,2\n", "1 of its 2 lines end in CR LF"),
        ("a,b\r\r\n1,2\r\r\n", "line-ending conversion .LF to CR LF. damaged it"),
        ("a,b\r1,2\r", "its lines end in CR. Allowed: LF or CR LF"),
        ("a,b\n1,\0\n", "byte 6 is NUL"),
        ("a,b\n1,\x0c2\n", "byte 6 is the control character 0x0c: it is no text"),
        (b"a,b\n1,\xff\n", "not text in UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        ('a,b\n1,2\n"1,2\n', "line 3: its quotes do not match"),
        ("a,a\n1,2\n", "several columns are named 'a'"),
        ("1,2\n3,4\n", "first line holds numbers.*header: false"),
        ("a,b\n", "is empty"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(RecordingError, match=message) as caught, opened(Csv, path) as session:
        session.signal.read()
    assert caught.value.path == path


def test_a_column_is_of_what_its_first_cell_is(tmp_path: Path) -> None:
    path = written(tmp_path, "a,b\n" + "x,1\n" * 150 + "1,1\n")
    with pytest.raises(RecordingError, match=r"'a' \(151,\) text. Allowed: an array of numbers"):
        opened(Csv, path)
    path = written(tmp_path, "a,b\n" + "1,1\n" * 150 + "x,1\n")
    with opened(Csv, path) as session, pytest.raises(RecordingError, match="line 152, column 'a': 'x' is no number"):
        session.signal.read()


@pytest.mark.parametrize("reader", [Csv, Npy, Parquet])
def test_without_a_layout_the_error_shows_one(tmp_path: Path, reader: type[MappedReader]) -> None:
    values = RNG.normal(size=(50, 2))
    path = tmp_path / {Csv: "x.csv", Npy: "x.npy", Parquet: "x.parquet"}[reader]
    if reader is Csv:
        written(tmp_path, "lfp 1,b\n" + "".join(f"{a!r},{b!r}\n" for a, b in values.tolist()))
    elif reader is Npy:
        np.save(path, values)
    else:
        parquet = pytest.importorskip("pyarrow.parquet")
        import pyarrow

        parquet.write_table(pyarrow.table({"lfp 1": values[:, 0], "b": values[:, 1]}), path)
    with pytest.raises(RecordingError, match="no agreed layout") as caught:
        reader().open(path)
    text = str(caught.value).partition("complete it:\n\n")[2]
    assert "sfreq:  # samples a second" in text
    (tmp_path / "x.layout.yaml").write_text(text.replace("sfreq:", "sfreq: 10").replace("unit:", "unit: V"))
    with reader().open(path) as session:
        assert np.array_equal(session.signal.read(), values.T.astype(np.float32))


def test_parquet_types_and_nulls(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    columns: dict[str, Any] = {
        "a": [1, None, 3, 4],
        "b": [0.5, 1.5, None, float("nan")],
        "flag": [True, None, False, True],
    }
    columns |= {"word": ["x", None, "z", "x"], "list": [[1.0], [], [2.0], []], "when": [0.0, 1.0, 2.0, 3.0]}
    path = tmp_path / "x.parquet"
    table = pyarrow.table(columns)
    table = table.set_column(3, "word", table["word"].dictionary_encode())
    parquet.write_table(table, path, row_group_size=3)
    layout = {"signals": {"s": {"values": ["a", "b", "flag"], "sfreq": 10, "unit": ""}}}
    layout["trials"] = {"start": "when", "label": "word"}
    with opened(Parquet, path, layout) as session:
        read = [parquet.read_table(path, columns=[c])[c].to_pylist() for c in ("a", "b", "flag")]
        expected = np.array([[np.nan if v is None else float(v) for v in column] for column in read])
        assert np.array_equal(session.signal.read(), expected, equal_nan=True)
        assert session.signal.valid().tolist() == [True, False, False, False]
        assert session.trials.label == ("x", "", "z", "x")
    with pytest.raises(RecordingError, match="'list' .* neither numbers nor text"):
        opened(Parquet, path, {"signals": {"s": {"values": "list", "sfreq": 10, "unit": ""}}})


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = written(tmp_path, b"PAR1" + b"\0" * 20 + b"\x04\0\0\0PAR1", "x.parquet")
    with pytest.raises(
        MissingExtraError, match=r"'pyarrow' is not installed. Run: pip install 'neural-foundation\[tables\]'"
    ):
        opened(Parquet, path)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("axes", ["time channel", "channel time"])
@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<i2", "|b1", "<f2"])
def test_npy_equals_that_of_numpy(tmp_path: Path, order: Any, axes: str, dtype: str) -> None:
    values = np.asarray((RNG.normal(size=(5, 30)) * 9).astype(dtype), order=order)
    np.save(tmp_path / "x.npy", values)
    layout = {"signals": {"s": {"values": "array", "axes": axes, "sfreq": 10, "unit": ""}}}
    expected = values.T if axes == "time channel" else values
    with opened(Npy, tmp_path / "x.npy", layout) as session:
        assert np.array_equal(session.signal.read(), expected.astype(np.float32))
        assert np.array_equal(session.signal.read(1, 4), expected[:, 1:4].astype(np.float32))


# a pattern that tries each way to cut up the figures would take for ever
HOSTILE_SHAPE = b"{'descr': '<f8', 'fortran_order': False, 'shape': (" + b"1" * 20000 + b"x"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda p: np.save(p, np.array([{}], dtype=object)),
            "the array of it is of type '.O'. Allowed: numbers .*never objects",
        ),
        (lambda p: np.save(p, np.zeros(3, [("a", "f8")])), "not that of an array of numbers or fixed text"),
        (lambda p: np.save(p, np.zeros(3, complex)), "type '<c16'. Allowed: numbers"),
        (lambda p: p.write_bytes(b"\x93NUMPY\x01\x00\xff\xff{    "), "the header of it claims 65535 bytes"),
        (lambda p: np.save(p, np.array(["a", "b"])), "its array is of type '<U1'. Allowed: numbers"),
        (
            lambda p: p.write_bytes(b"\x93NUMPY\x01\x00\x00\x80" + HOSTILE_SHAPE.ljust(32768)),
            "header of it is not that",
        ),
        (lambda p: p.write_bytes(b"\x93NUMPY\x04\x00v\x00{   "), "version 1 to 3"),
    ],
)
def test_npy_that_is_refused(tmp_path: Path, make: Any, message: str) -> None:
    make(tmp_path / "x.npy")
    with pytest.raises(RecordingError, match=message):
        opened(Npy, tmp_path / "x.npy", {"signals": {"s": {"values": "array", "sfreq": 10, "unit": ""}}})
