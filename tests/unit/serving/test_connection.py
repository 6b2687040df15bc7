"""A connection without a socket: what it answers depends on the frames alone, and it goes on from any saved state."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_package import signal

from neural_foundation.core.errors import StreamError
from neural_foundation.core.stream import run
from neural_foundation.models.package import Package
from neural_foundation.realtime.adaptation_journal import read_journal
from neural_foundation.realtime.live_model import LiveModel
from neural_foundation.serving import protocol
from neural_foundation.serving.connection import Answer, Connection, opened
from neural_foundation.serving.hello import Hello
from neural_foundation.serving.protocol import ProtocolError
from neural_foundation.serving.settings import Limits

VALUES = signal(1000)
EDGES = [85, 93, 170, 260, 333, 420, 480, 570, 660, 750, 840, 930]


@pytest.fixture(scope="module")
def model(exported_package: Package) -> LiveModel:
    return LiveModel.open(exported_package.folder)


def fresh(model: LiveModel, limits: Limits | None = None, **hello: Any) -> Connection:
    return Connection(model, Hello(**hello), "key:lab", limits or Limits())


def give(connection: Connection, type_: int, start: int = 0, count: int = 0, sequence: int | None = None) -> Answer:
    number = connection.sequence + 1 if sequence is None else sequence
    frame = protocol.unpack(protocol.pack(type_, sequence=number, start=start, count=count))
    return connection.take(frame, 0.0)


def block(connection: Connection, values: np.ndarray, start: int | None = None, **how: Any) -> Answer:
    at = connection.n_samples if start is None else start
    data = protocol.samples(values, sequence=connection.sequence + 1, start=at, **how)
    return connection.take(protocol.unpack(data), at / 100)


def rows(answers: list[Answer]) -> np.ndarray:
    found = [protocol.unpack(f) for a in answers for f in a.frames if isinstance(f, bytes)]
    assert [f.start for f in found] == list(itertools.accumulate([f.count for f in found[:-1]], initial=0))
    return np.concatenate([protocol.read_decisions(f, 2) for f in found])


def cut(values: np.ndarray, edges: list[int]) -> list[np.ndarray]:
    at = sorted({0, values.shape[1], *(e for e in edges if e < values.shape[1])})
    return [values[:, a:b] for a, b in itertools.pairwise(at)]


def test_decisions_are_those_of_the_decoder_however_the_stream_is_cut(model: LiveModel) -> None:
    wanted = run(model.decoder(), VALUES)

    @settings(deadline=None, max_examples=10)
    @given(st.lists(st.integers(1, 999), max_size=20))
    def holds(edges: list[int]) -> None:
        connection = fresh(model)
        found = rows([block(connection, part) for b in cut(VALUES, edges) for part in cut(b, list(range(0, 999, 90)))])
        np.testing.assert_allclose(found["probability"].T, wanted.values, atol=1e-5)
        np.testing.assert_array_equal(found["sample"], np.arange(1, 101) * 10)

    holds()


def test_a_connection_goes_on_from_its_snapshot_to_the_bit(model: LiveModel) -> None:
    whole, first = fresh(model), fresh(model)
    wanted = [block(whole, b) for b in cut(VALUES, EDGES)]
    found = []
    for part in cut(VALUES, EDGES):
        found.append(block(first, part))
        saved, head = opened(first.snapshot())
        first = Connection.restored(saved, head, model, Limits())
    np.testing.assert_array_equal(rows(found), rows(wanted))
    assert (first.sequence, first.n_samples, first.n_tokens) == (whole.sequence, 1000, whole.n_tokens)


def test_a_snapshot_holds_no_secret_and_bytes_that_are_none_are_refused(model: LiveModel) -> None:
    connection = fresh(model)
    data = connection.snapshot()
    assert connection.secret.encode() not in data
    with pytest.raises(StreamError, match="not a saved state"):
        opened(data[:-40])


def test_a_frame_that_comes_again_changes_nothing(model: LiveModel) -> None:
    connection = fresh(model)
    block(connection, VALUES[:, :50])
    data = protocol.unpack(protocol.samples(VALUES[:, :50], sequence=1, start=0))
    assert not connection.take(data, 0.0).frames
    assert connection.n_samples == 50


def test_a_short_gap_is_masked_and_a_long_one_starts_anew(model: LiveModel) -> None:
    connection = fresh(model, answer="block")
    first = block(connection, VALUES[:, :100])
    short = block(connection, VALUES[:, 150:160], start=150)
    assert short.rows is not None
    assert short.rows["sample"].tolist() == [110, 120, 130, 140, 150, 160]
    assert short.rows["valid"].tolist() == [0, 0, 0, 0, 0, 1]
    long = block(connection, VALUES[:, :100], start=5000)
    assert long.rows is not None
    assert long.rows["sample"].tolist() == list(range(5010, 5101, 10))
    assert first.rows is not None
    np.testing.assert_array_equal(long.rows["probability"], first.rows["probability"])
    assert connection.n_tokens == 26


def test_reset_starts_a_trial_and_the_chain_goes_on(model: LiveModel) -> None:
    connection, decoder = fresh(model), model.decoder()
    block(connection, VALUES[:, :95])
    assert not give(connection, protocol.RESET, 95).frames
    found = rows_of(block(connection, VALUES[:, 95:195]))
    state = decoder.start()
    from neural_foundation.core.stream import Chunk

    _, state = decoder.step(Chunk.of(VALUES[:, :95]), state)
    out, _ = decoder.step(Chunk.of(VALUES[:, 95:195], 95), decoder.reset(state))
    np.testing.assert_allclose(found["probability"].T, out.values, atol=1e-6)
    assert found["sample"].tolist() == list(range(105, 196, 10))


def rows_of(answer: Answer) -> np.ndarray:
    assert answer.rows is not None
    return answer.rows


def test_feedback_is_compared_with_the_decision_at_its_sample(model: LiveModel) -> None:
    connection = fresh(model)
    said = rows_of(block(connection, VALUES[:, :100]))["probability"].argmax(1)
    assert give(connection, protocol.FEEDBACK, 34, int(said[2])).feedback is True
    assert give(connection, protocol.FEEDBACK, 34, 1 - int(said[2])).feedback is False
    assert give(connection, protocol.FEEDBACK, 5, 0).feedback is None


def test_end_flushes_and_nothing_may_follow(model: LiveModel) -> None:
    connection = fresh(model)
    answer = give(connection, protocol.END)
    assert answer.ended
    assert isinstance(answer.frames[0], bytes)
    assert protocol.unpack(answer.frames[0]).flags == protocol.LAST
    with pytest.raises(ProtocolError, match="A frame after END"):
        block(connection, VALUES[:, :10])


def test_answers_come_with_tokens_or_with_every_block(model: LiveModel) -> None:
    token, every = fresh(model), fresh(model, answer="block")
    assert [len(block(token, VALUES[:, i : i + 5]).frames) for i in range(0, 40, 5)] == [0, 1] * 4
    assert [len(block(every, VALUES[:, i : i + 5]).frames) for i in range(0, 40, 5)] == [1] * 8


def test_int16_decides_nearly_the_same(model: LiveModel) -> None:
    fine, coarse = fresh(model), fresh(model, dtype="int16", step=1e-8)
    a = rows_of(block(fine, VALUES[:, :100]))
    b = rows_of(block(coarse, VALUES[:, :100], dtype="int16", step=1e-8))
    assert np.abs(a["probability"] - b["probability"]).max() < 0.01


def test_values_that_are_not_finite_harm_nothing_after_them(model: LiveModel) -> None:
    wild, calm = fresh(model), fresh(model)
    dirt = VALUES[:, :100].copy()
    dirt[1, 20:40], dirt[0, 25], dirt[2, 31] = np.nan, np.inf, -np.inf
    assert rows_of(block(wild, dirt))["valid"].tolist() == [1, 1, 0, 0, *[1] * 6]
    block(calm, VALUES[:, :100])
    for at in range(100, 1000, 100):
        after = rows_of(block(wild, VALUES[:, at : at + 100]))
        block(calm, VALUES[:, at : at + 100])
        assert np.isfinite(after["probability"]).all()
        assert after["valid"].all()


@pytest.mark.parametrize(
    ("frame", "code", "wanted"),
    [
        ({"type_": 9}, "frame", "Frame type 9. Allowed: SAMPLES 1, RESET 2"),
        ({"type_": 2, "sequence": 5}, "sequence", "Frame 5 came after 1. Allowed: 2"),
        ({"type_": 2, "start": 99}, "order", "RESET at sample 99. Allowed: 50"),
        ({"type_": 3, "count": 2}, "class", "FEEDBACK of class 2. Allowed: 0 to 1"),
        ({"type_": 3, "start": 51}, "order", "FEEDBACK at sample 51. Allowed: up to 50"),
        ({"type_": 1, "count": 0}, "size", "A block of 0 samples. Allowed: 1 to 100"),
        ({"type_": 1, "count": 2**32 - 1}, "size", "A block of 4294967295 samples"),
        ({"type_": 1, "count": 1, "start": 50}, "size", "A SAMPLES frame of 1 samples has 0 bytes"),
    ],
)
def test_what_may_not_come_is_refused_and_changes_nothing(
    model: LiveModel, frame: dict[str, int], code: str, wanted: str
) -> None:
    connection = fresh(model)
    block(connection, VALUES[:, :50])
    before = connection.snapshot()
    with pytest.raises(ProtocolError) as caught:
        give(connection, **frame)
    assert wanted in str(caught.value)
    assert caught.value.code == code
    assert connection.snapshot() == before


@pytest.mark.parametrize("start", [49, (1 << 62) + 1])
def test_a_block_from_the_past_or_from_nowhere_is_refused(model: LiveModel, start: int) -> None:
    connection = fresh(model)
    block(connection, VALUES[:, :50])
    with pytest.raises(ProtocolError, match=f"A block starts at sample {start}. Allowed: 50"):
        block(connection, VALUES[:, :10], start=start)


def test_welcome_says_where_to_go_on_and_what_is_allowed(model: LiveModel) -> None:
    connection = fresh(model)
    block(connection, VALUES[:, :50])
    told = json.loads(connection.welcome())
    assert (told["next_sequence"], told["n_samples"], told["n_tokens"]) == (2, 50, 5)
    assert told["classes"] == ["left", "right"]
    assert told["limits"]["block_samples"] == 100
    assert told["resume"] == connection.token


def test_an_adapting_connection_writes_its_updates_down_and_goes_on_from_a_snapshot(
    model: LiveModel, tmp_path: Path
) -> None:
    whole = Connection(model, Hello(adapt=True), "x", Limits(), tmp_path / "whole")
    parts = Connection(model, Hello(adapt=True), "x", Limits(), tmp_path / "parts")
    louder = np.concatenate([VALUES, np.tile(VALUES * [[1.0], [3.0], [0.5]], 9)], 1).astype(np.float32)
    wanted, found, updates = [], [], []
    for at in range(0, 10_000, 100):
        block_ = louder[:, at : at + 100]
        wanted.append(rows_of(block(whole, block_)))
        if at % 700 == 0:
            saved, head = opened(parts.snapshot())
            parts.close()
            parts = Connection.restored(saved, head, model, Limits(), tmp_path / "parts")
        answer = block(parts, block_)
        found.append(rows_of(answer))
        updates += answer.updates
        right = int(found[-1][-1]["probability"].argmax())
        for connection in (whole, parts):
            give(connection, protocol.FEEDBACK, at + 95, right)
    np.testing.assert_array_equal(np.concatenate(found), np.concatenate(wanted))
    whole.close()
    parts.close()
    written = [e["kind"] for e in read_journal(tmp_path / "parts" / f"{parts.name}.jsonl")]
    assert "alignment" in updates
    assert set(updates) <= set(written)
    frozen = fresh(model)
    plain = [rows_of(block(frozen, louder[:, at : at + 100])) for at in range(0, 10_000, 100)]
    assert not np.array_equal(np.concatenate(plain), np.concatenate(found)), "it adapted to nothing"
