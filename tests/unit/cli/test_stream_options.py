"""The verb `stream`: what it counts, what it says, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_package
from typer.testing import CliRunner

from neural_foundation.cli import app
from neural_foundation.cli import stream_run as module
from neural_foundation.cli.stream import key_of, played
from neural_foundation.cli.stream_run import Found, Job, blocks, run, stopping
from neural_foundation.cli.stream_show import latency, line, summary
from neural_foundation.core.errors import SignalMismatchError, SpecError, StoreError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import Chunk
from neural_foundation.datasets.simulated.head import MONTAGES
from neural_foundation.models.package import Package
from neural_foundation.realtime.decision import LiveDecision
from neural_foundation.realtime.sources.file import File
from neural_foundation.realtime.sources.lsl import Lsl
from neural_foundation.realtime.sources.simulated import Simulated
from neural_foundation.recordings import Intervals, write_session


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seconds of what the small package decodes; 0.2 s of them are not valid."""
    path = tmp_path_factory.mktemp("stream") / "anna.h5"
    valid = np.ones(500, bool)
    valid[100:120] = False
    chunks = [Chunk(small_package.signal(500), valid)]
    write_session(path, session_id="a", subject="anna", spec=small_package.RAW, chunks=chunks, trials=Intervals())
    return path


def said(*words: str) -> Any:
    return CliRunner().invoke(app, ["stream", *words], catch_exceptions=False)


def decided(token: int, *, word: str | None = "left", valid: bool = True) -> LiveDecision:
    return LiveDecision(token, 10 * token + 10, 0.1, word, {"left": 0.75, "right": 0.25}, valid)


class TestHere:
    def test_decodes_a_recording_and_says_how_quick_it_was(self, exported_package: Package, recording: Path) -> None:
        done = said("--package", str(exported_package.folder), "--source", f"file:{recording}", "--speed", "max")
        lines = done.output.splitlines()
        assert lines[0].startswith("5.0 s of signal in ")
        assert lines[1].startswith("250 blocks, 50 decisions: ")
        assert lines[1].endswith("2 not valid")
        assert lines[2].startswith("a decision took  p50 ")
        assert lines[3] == "lost 0, reordered 0, connected again 0 times"

    def test_as_json_with_its_decisions_in_a_file(
        self, exported_package: Package, recording: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out.jsonl"
        source = f"file:{recording},loop=true"
        words = ["--package", str(exported_package.folder), "--source", source, "--speed", "max", "--seconds", "7.05"]
        told = json.loads(said(*words, "--out", f"jsonl:{out}", "--json").output)
        assert (told["blocks"], told["samples"], told["decisions"]) == (353, 705, 70)
        assert (told["lost"], told["reordered"], told["invalid"], told["abstained"]) == (0, 0, 4, 0)
        assert set(told["latency_ms"]) == {"p50", "p95", "p99", "max"}
        assert sum(told["by_class"].values()) == 70
        assert [json.loads(text)["token"] for text in out.read_text().splitlines()] == list(range(70))

    def test_a_model_that_no_simulator_serves(self, exported_package: Package) -> None:
        with pytest.raises(SignalMismatchError, match="no signal of 3 such channels at 100 Hz. Give --source"):
            said("--package", str(exported_package.folder))

    def test_ctrl_c_still_tells_what_was_found(self, exported_package: Package, recording: Path) -> None:
        job = Job("", exported_package.folder, "", File(path=recording, loop=True), {}, None, 1, None)
        threading.Timer(0.3, signal.raise_signal, [signal.SIGINT]).start()
        found = run(job, lambda found, stalled_s: None)
        assert 0 < found.samples < 500
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def test_a_second_ctrl_c_interrupts(self) -> None:
        with stopping() as stop:
            signal.raise_signal(signal.SIGINT)
            assert stop.is_set()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)


class Fake:
    """A client whose server answers each token of ten samples, and misbehaves as it is told."""

    def __init__(self, tokens: list[int] | None = None) -> None:
        self.welcome = {"hop_s": 0.1, "signal": {"sfreq": 100, "ch_names": MONTAGES[8]}, "limits": {"block_samples": 8}}
        self.classes = ("left", "right")
        self.latencies_s = [0.001, 0.003]
        self.resumed, self.notices = 1, [{"type": "notice", "message": "drift"}]
        self.blocks: list[tuple[int, int, bool]] = []
        self.tokens = tokens
        self.ended = asyncio.Event()

    async def send(self, values: np.ndarray, *, valid: Any = None, start: int | None = None) -> int:
        self.blocks.append((start or 0, values.shape[1], valid is None))
        return len(self.blocks)

    async def end(self) -> None:
        self.ended.set()

    async def decisions(self) -> AsyncIterator[LiveDecision]:
        await self.ended.wait()
        samples = sum(n for _, n, _ in self.blocks)
        for token in self.tokens or range(samples // 10):
            yield decided(token)


class TestServer:
    def through(self, monkeypatch: pytest.MonkeyPatch, clients: list[Fake], job: Job) -> tuple[Found, list[Any]]:
        asked: list[Any] = []
        waiting = list(clients)

        @asynccontextmanager
        async def connect(url: str, **options: Any) -> AsyncIterator[Fake]:
            asked.append((url, options))
            yield waiting.pop(0)

        monkeypatch.setattr("neural_foundation.serving.client.connect", connect)
        return run(job, lambda found, stalled_s: None), asked

    def test_every_connection_gets_every_block_in_pieces_that_the_server_takes(
        self, monkeypatch: pytest.MonkeyPatch, recording: Path
    ) -> None:
        source = File(path=recording, speed="max", block_s=0.2)
        clients = [Fake(), Fake()]
        job = Job("ws://there", None, "hands", source, {}, None, 2, "secret")
        found, asked = self.through(monkeypatch, clients, job)
        assert clients[0].blocks == clients[1].blocks
        assert [b[:2] for b in clients[0].blocks[:4]] == [(0, 8), (8, 8), (16, 4), (20, 8)]
        assert [start for start, _, whole in clients[0].blocks if not whole] == [100, 108, 116]
        assert (found.blocks, found.samples, found.decisions, found.lost) == (75, 500, 100, 0)
        assert (found.resumed, found.notes) == (2, ["drift", "drift"])
        assert found.latencies_s == [0.001, 0.003] * 2
        assert [url for url, _ in asked] == ["ws://there"] * 2
        told = asked[0][1]
        assert (told["task"], told["key"]) == ("hands", "secret")
        assert (told["signal"].sfreq, told["signal"].ch_names) == (100, ("C3", "Cz", "C4"))

    def test_what_is_lost_and_out_of_order_is_counted(self, monkeypatch: pytest.MonkeyPatch, recording: Path) -> None:
        source = File(path=recording, speed="max")
        job = Job("ws://there", None, "", source, {}, None, 1, None)
        found, _ = self.through(monkeypatch, [Fake([0, 1, 4, 3, 5])], job)
        assert (found.lost, found.reordered, found.decisions) == (2, 1, 5)

    def test_without_a_source_the_simulator_is_what_the_server_expects(self, monkeypatch: pytest.MonkeyPatch) -> None:
        client = Fake()
        job = Job("ws://there", None, "", None, {"speed": "max", "block_s": 0.05}, 2.0, 1, None)
        found, asked = self.through(monkeypatch, [client], job)
        assert found.samples == 200
        assert asked[0][1]["signal"] is None

    def test_a_server_that_ends_it_is_told(self, monkeypatch: pytest.MonkeyPatch, recording: Path) -> None:
        class Refusing(Fake):
            async def decisions(self) -> AsyncIterator[LiveDecision]:
                await asyncio.sleep(0.01)
                raise StoreError("The server is full")
                yield

        job = Job("ws://there", None, "", File(path=recording, loop=True), {}, None, 1, None)
        with pytest.raises(StoreError, match="The server is full"):
            self.through(monkeypatch, [Refusing()], job)


class TestOptions:
    def test_the_options_are_the_pace_unless_the_source_says_otherwise(self) -> None:
        assert played("file:a.edf", "max", 0.05) == File(path=Path("a.edf"), speed="max", block_s=0.05)
        assert played("file:a.edf,speed=2,block_s=0.1", "max", 0.05) == File(path=Path("a.edf"), speed=2, block_s=0.1)
        assert played("lsl:Amp", "1", 0.02) == Lsl(name="Amp", block_s=0.02)
        assert played("simulated", "4", 0.02) == Simulated(speed=4, block_s=0.02)

    def test_what_comes_live_has_a_pace_of_its_own(self) -> None:
        with pytest.raises(SpecError, match="--speed max: 'lsl' comes at a pace of its own"):
            played("lsl:Amp", "max", 0.02)
        with pytest.raises(SpecError, match="field 'speed"):
            played("simulated", "quick", 0.02)

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (["--url", "ws://x", "--package", "p"], "--url and --package are both given"),
            (["--package", "p", "--connections", "2"], "--connections 2 needs a server"),
            (["--source", "lls:x"], "Did you mean 'lsl'?"),
            (["--out", "json:x"], "Did you mean 'jsonl'?"),
        ],
    )
    def test_refuses(self, words: list[str], says: str) -> None:
        with pytest.raises(SpecError) as caught:
            said(*words)
        assert says in str(caught.value)

    def test_the_key_comes_from_a_file_or_the_environment(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("NEURAL_FOUNDATION_KEY", raising=False)
        assert key_of(None) is None
        monkeypatch.setenv("NEURAL_FOUNDATION_KEY", "of-the-environment")
        assert key_of(None) == "of-the-environment"
        file = tmp_path / "key"
        file.write_text("of-the-file\n")
        assert key_of(file) == "of-the-file"
        file.write_text("\n")
        with pytest.raises(SpecError, match="holds no key"):
            key_of(file)
        with pytest.raises(StoreError, match="cannot be read .FileNotFoundError"):
            key_of(tmp_path / "none")


class TestWords:
    def test_the_live_line(self) -> None:
        found = Found("here", ("left", "right"), 100.0, samples=250, latencies_s=[0.001, 0.002, 0.003])
        assert line(found, 0.0) == "    2.5 s  p50 2.00 ms"
        found.take(0, decided(0))
        assert line(found, 3.2) == f"    2.5 s  left           0.75 {'█' * 15:<20}  p50 2.00 ms  nothing came for 3 s"
        found.take(0, decided(1, word=None, valid=False))
        assert "(silent)" in line(found, 0.0)
        assert "not valid" in line(found, 0.0)

    def test_percentiles_are_numpy_s(self) -> None:
        values = np.random.default_rng(0).exponential(size=500)
        found = latency(values.tolist())
        assert found["p99"] == pytest.approx(1e3 * np.percentile(values, 99))
        assert found["max"] == pytest.approx(1e3 * values.max())
        assert latency([]) == {}

    def test_the_summary_is_json(self) -> None:
        found = Found("here", samples=100, sfreq=50.0, seconds=1.0, connections=3, blocks=2)
        told = json.loads(json.dumps(summary(found)))
        assert (told["times_real_time"], told["blocks"], told["samples"]) == (6.0, 6, 300)


def test_a_rate_that_lies_is_noted(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with File(path=recording, speed="max").open() as source:
        monkeypatch.setattr(type(source), "measured_sfreq", 90.0)
        found = Found("here").finish(source, 0.0)
    assert found.notes == ["the source gives 90.0 samples a second, but says 100"]


def test_blocks_end_with_the_seconds_asked_for(recording: Path) -> None:
    with File(path=recording, speed="max", block_s=0.3).open() as source:
        got = [c.n_times for c in blocks(source, 1.0, threading.Event()) if c is not None]
    assert got == [30, 30, 30, 10]


def test_the_simulator_is_chosen_by_its_channels() -> None:
    job = Job("", None, "", None, {"speed": "max"}, 5.0, 1, None)
    made = module.simulator_for(SignalSpec(sfreq=500, ch_names=tuple(MONTAGES[22])), job)
    assert made == Simulated(channels=22, sfreq=500, seconds=5.0, speed="max")
