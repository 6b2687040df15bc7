import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_foundation.serving import protocol
from neural_foundation.serving.protocol import ProtocolError

BLOCK = (np.arange(12, dtype=np.float32).reshape(3, 4) - 6) * 1e-6


def test_a_frame_is_24_bytes_of_header_and_its_payload() -> None:
    data = protocol.pack(protocol.FEEDBACK, sequence=7, start=1 << 40, count=2, flags=1, payload=b"xy")
    assert len(data) == 26
    assert data[:2] == b"\x01\x03"
    frame = protocol.unpack(data)
    assert (frame.type, frame.flags, frame.count, frame.sequence, frame.start) == (3, 1, 2, 7, 1 << 40)
    assert bytes(frame.payload) == b"xy"


@pytest.mark.parametrize("valid", [None, np.array([True, False, True, True])])
def test_float_samples_come_back_as_they_were(valid: np.ndarray | None) -> None:
    frame = protocol.unpack(protocol.samples(BLOCK, sequence=1, start=0, valid=valid))
    values, ok = protocol.read_samples(frame, 3, "float32", 1.0)
    np.testing.assert_array_equal(values, BLOCK)
    assert (ok is None) == (valid is None)
    if valid is not None:
        np.testing.assert_array_equal(ok, valid)


def test_int16_samples_come_back_within_half_a_step_and_what_is_not_finite_is_not_valid() -> None:
    block = BLOCK.copy()
    block[1, 2] = np.nan
    frame = protocol.unpack(protocol.samples(block, sequence=1, start=0, dtype="int16", step=0.5e-6))
    values, ok = protocol.read_samples(frame, 3, "int16", 0.5e-6)
    assert ok is not None
    assert ok.tolist() == [True, True, False, True]
    assert np.abs(values[:, ok] - BLOCK[:, ok]).max() <= 0.25e-6


def test_int16_cuts_off_at_its_ends() -> None:
    frame = protocol.unpack(protocol.samples(np.array([[1.0, -1.0]]), sequence=1, start=0, dtype="int16", step=1e-6))
    values, _ = protocol.read_samples(frame, 1, "int16", 1e-6)
    np.testing.assert_allclose(values, [[0.032767, -0.032768]], rtol=1e-6)


@pytest.mark.parametrize("cut", [-1, 1, 100])
def test_samples_of_another_size_are_refused(cut: int) -> None:
    data = protocol.samples(BLOCK, sequence=1, start=0)
    data = data[:cut] if cut < 0 else data + bytes(cut)
    with pytest.raises(ProtocolError, match=r"A SAMPLES frame of 4 samples has \d+ bytes.*Allowed: 48: 3 channels"):
        protocol.read_samples(protocol.unpack(data), 3, "float32", 1.0)


def test_another_version_and_a_short_frame_are_refused() -> None:
    with pytest.raises(ProtocolError, match="A frame says version 2. Allowed: 1"):
        protocol.unpack(b"\x02" + bytes(23))
    with pytest.raises(ProtocolError, match="A frame has 3 bytes. Allowed: at least 24"):
        protocol.unpack(b"abc")


@settings(deadline=None, max_examples=50)
@given(st.lists(st.booleans(), min_size=1, max_size=64), st.integers(1, 5))
def test_prediction_sets_come_back_from_their_bits(members: list[bool], n: int) -> None:
    sets = np.array([members] * n).T
    names = [str(i) for i in range(len(members))]
    wanted = tuple(name for name, there in zip(names, members, strict=True) if there)
    assert [protocol.names_of(int(b), names) for b in protocol.bits(sets)] == [wanted] * n


def test_decisions_come_back_and_a_wrong_size_is_refused() -> None:
    rows = np.zeros(2, protocol.row_type(3))
    rows["probability"] = [[0.2, 0.3, 0.5], [1, 0, 0]]
    rows["sample"], rows["valid"] = [100, 200], 1
    frame = protocol.unpack(protocol.decisions(rows, sequence=9, first=4, last=True))
    assert (frame.start, frame.count, frame.flags) == (4, 2, protocol.LAST)
    np.testing.assert_array_equal(protocol.read_decisions(frame, 3), rows)
    with pytest.raises(ProtocolError, match="A DECISIONS frame of 2 tokens"):
        protocol.read_decisions(frame, 2)


def test_an_ensemble_s_decisions_say_how_unsure_it_is_and_a_model_s_are_as_long_as_ever() -> None:
    assert (protocol.row_type(3).itemsize, protocol.row_type(3, unsure=True).itemsize) == (32, 40)
    rows = np.zeros(1, protocol.row_type(3, unsure=True))
    rows["probability"], rows["entropy"], rows["disagreement"] = [[0.25, 0.25, 0.5]], 1.25, 0.5
    frame = protocol.unpack(protocol.decisions(rows, sequence=1, first=0))
    assert frame.flags == protocol.UNSURE
    (row,) = protocol.read_decisions(frame, 3)
    told = protocol.decision(row, 0, ("a", "b", "c"), 100.0)
    assert (told.decision, told.entropy, told.disagreement) == ("c", 1.25, 0.5)
    single = protocol.decision(np.zeros(1, protocol.row_type(3))[0], 0, ("a", "b", "c"), 100.0)
    assert (single.entropy, single.disagreement) == (None, None)
