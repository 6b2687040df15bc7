"""The page in a browser: a headless Chromium watches streams; what it shows is what the server said."""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from browser import CHROMIUM, PATIENCE_S, Tab, running, tab
from small_package import signal
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as open_socket

from neural_foundation.models.confidence import Confidence
from neural_foundation.models.package import Package, with_confidence
from neural_foundation.serving import protocol
from neural_foundation.serving.keys import new_key
from neural_foundation.serving.server import served
from neural_foundation.serving.settings import Served, ServeSettings

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("chromium")) as address:
        if address is None:
            pytest.skip("Chromium does not start on this machine")
        yield address


class Stream:
    """A client that sends blocks of 50 ms in real time until it is told to stop; it keeps what was decided."""

    def __init__(self, socket: ClientConnection, values: np.ndarray, sfreq: float) -> None:
        self.socket, self.values, self.sfreq = socket, values, sfreq
        socket.send('{"type": "hello"}')
        self.welcome = orjson.loads(self.socket.recv(timeout=PATIENCE_S))
        self.rows: list[Any] = []
        self.invalid, self.skip = False, 0
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=t, daemon=True) for t in (self.send, self.hear)]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        self.stopping.set()
        self.threads[0].join()

    def send(self) -> None:
        n, begun, at, sent = round(0.05 * self.sfreq), time.monotonic(), 0, 0
        while not self.stopping.wait(max(0.0, begun + sent * n / self.sfreq - time.monotonic())):
            at, self.skip = at + self.skip, 0
            block = np.take(self.values, range(at, at + n), axis=1, mode="wrap")
            valid = np.zeros(n, np.bool_) if self.invalid else None
            sent += 1
            self.socket.send(protocol.samples(block, sequence=sent, start=at, valid=valid))
            at += n

    def hear(self) -> None:
        with suppress(ConnectionClosed):
            for message in self.socket:
                if isinstance(message, bytes) and (frame := protocol.unpack(message)).type == protocol.DECISIONS:
                    self.rows += list(protocol.read_decisions(frame, len(self.welcome["classes"])))

    @property
    def last(self) -> str:
        """The last decision as the page words it."""
        row = self.rows[-1]
        return "No decision" if row["abstained"] else str(self.welcome["classes"][int(row["probability"].argmax())])


@contextmanager
def streaming(url: str, values: np.ndarray, sfreq: float, key: str = "") -> Iterator[Stream]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with open_socket(url.replace("http", "ws") + "/v1/stream", additional_headers=headers) as socket:
        made = Stream(socket, values, sfreq)
        made.start()
        try:
            yield made
        finally:
            made.stop()
    made.threads[1].join()


def settings_of(package: Package, **more: Any) -> ServeSettings:
    return ServeSettings(packages=(Served(folder=package.folder),), port=0, **more)


def filled(name: str) -> str:
    """Return a script that counts the colours of a canvas."""
    return f"""(() => {{
        const canvas = document.getElementById("{name}");
        const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", {{ willReadFrequently: true }});
        copy.drawImage(canvas, 0, 0);
        const data = copy.getImageData(0, 0, canvas.width, canvas.height).data;
        const seen = new Set();
        for (let i = 0; i < data.length; i += 4) seen.add(data[i] << 16 | data[i + 1] << 8 | data[i + 2]);
        return seen.size;
    }})()"""


def rate(shown: Tab, seconds: float = 2.0) -> float:
    """Return animation frames a second."""
    script = """new Promise((done) => {
        const begun = performance.now(); let n = 0;
        const over = (t) => t - begun > SECONDS * 1e3;
        const step = (t) => over(t) ? done(1e3 * n / (t - begun)) : (n++, requestAnimationFrame(step));
        requestAnimationFrame(step);
    })"""
    return float(shown.eval(script.replace("SECONDS", str(seconds))))


def settled(stream: Stream, shown: Tab) -> None:
    """Stop sending; the page comes to say the last decision, with its probabilities."""
    shown.until("document.getElementById('decision').textContent !== 'No decision yet'")
    stream.stop()
    time.sleep(0.5)
    percents = [f"{int(100 * float(p) + 0.5)} %" for p in stream.rows[-1]["probability"]]
    numbers = "[...document.querySelectorAll('#bars .number')].map((n) => n.textContent).join()"
    shown.until(f"document.getElementById('decision').textContent === '{stream.last}'")
    shown.until(f"{numbers} === '{','.join(percents)}'")


def test_the_page_shows_a_small_stream_as_it_is_decided(exported_package: Package, browser: str) -> None:
    with served(settings_of(exported_package)) as url, tab(browser, "tablet", "light") as shown:
        shown.go(url)
        shown.until("document.getElementById('status-text').textContent === 'No stream yet'")
        assert url.replace("http", "ws") in shown.text("how")
        shown.picture("waiting-tablet-light")
        with streaming(url, signal(1000), 100) as stream:
            shown.until("document.getElementById('status-text').textContent === 'Live'")
            assert shown.text("task") == "hands"
            assert shown.eval("[...document.querySelectorAll('#labels .name')].map(n => n.textContent)") == [
                "C3",
                "Cz",
                "C4",
            ]
            shown.until(f"{filled('traces')} > 3 && {filled('history')} > 3 && {filled('latency')} > 1")
            time.sleep(2)
            stream.skip = 60
            time.sleep(1)
            stream.invalid = True
            shown.until("document.getElementById('decision-panel').dataset.doubt === 'invalid'")
            time.sleep(0.5)
            stream.invalid = False
            marks = shown.until("[...document.querySelectorAll('#marks li')].map(n => n.textContent).join('; ')")
            assert "Missing" in marks
            shown.picture("small-tablet-light")
            settled(stream, shown)
            lights = shown.eval("[...document.querySelectorAll('#lights li')].map(n => n.dataset.kind)")
            assert sorted(lights) == ["input", "output", "quality", "rate"]
            assert "ms" in shown.text("p50") or "µs" in shown.text("p50")
            assert shown.text("n-connections") == "1"
        shown.until("document.getElementById('status-text').textContent === 'The stream has ended'")
        shown.picture("ended-tablet-light")
        shown.eval("document.getElementById('open-model').click()")
        shown.until("document.querySelectorAll('#cards td').length")
        assert "Research use. Not a medical device." in shown.text("cards")
        assert shown.eval("document.getElementById('simulated').hidden")
        shown.picture("model-tablet-light")
        assert not shown.complaints()


@pytest.fixture(scope="module")
def wide_package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """64 channels at 1 kHz, of the benchmark of the live step."""
    path = Path(__file__).parents[2] / "benchmarks" / "live_step.py"
    spec = importlib.util.spec_from_file_location("live_step", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.package(tmp_path_factory.mktemp("plain"))[0]
    folder = tmp_path_factory.mktemp("wide")
    doubtful = with_confidence(made, folder, Confidence(temperature=5, thresholds=(0.7,), abstain="set"))
    card = folder / "card.md"
    card.write_text(card.read_text().replace("Research use", "Trained on simulated data. Research use"))
    return doubtful


def simulated_head(seconds: int = 20, sfreq: int = 1000) -> np.ndarray:
    """Return noise (64, n) as a head makes it: slow, shared by neighbours, with an alpha rhythm at the back."""
    rng = np.random.default_rng(5)
    n = seconds * sfreq
    frequency = np.fft.rfftfreq(n, 1 / sfreq)
    pink = rng.standard_normal((12, len(frequency))) + 1j * rng.standard_normal((12, len(frequency)))
    sources = np.fft.irfft(pink / np.maximum(frequency, 1.0), n)
    t = np.arange(n) / sfreq
    sources[0] = np.sin(2 * np.pi * 10 * t) * (1 + np.sin(2 * np.pi * 0.2 * t)) * sources[1:].std() * 2
    mixed = rng.standard_normal((64, 12)) @ (sources / sources.std(1, keepdims=True))
    mixed[:, :] += 0.25 * rng.standard_normal((64, n)) * mixed.std()
    mixed[20] = 0.0  # a flat channel
    return (8e-6 * mixed / mixed[:10].std()).astype(np.float32)


def test_64_channels_at_1_khz_are_drawn_as_they_come(wide_package: Package, browser: str) -> None:
    values = simulated_head()
    with (
        served(settings_of(wide_package)) as url,
        streaming(url, values, 1000) as stream,
        tab(browser) as shown,
    ):
        shown.go(url)
        shown.until("document.getElementById('status-text').textContent === 'Live'")
        assert not shown.eval("document.getElementById('simulated').hidden")
        for rows in ("all", "16"):
            choose(shown, "rows", rows)
            for motion in ("sweep", "scroll"):
                choose(shown, "motion", motion)
                sys.stdout.write(f"\n{rows} of 64 channels at 1 kHz, {motion}: {rate(shown):.0f} frames a second\n")
        assert shown.text("page-text") == "1–16 of 64"
        shown.eval("document.getElementById('page-on').click()")
        assert shown.text("page-text") == "17–32 of 64"
        shown.until("document.querySelector('#labels .bad')?.textContent.includes('flat')")
        shown.until(f"{filled('traces')} > 20")
        for rows, shape, scheme in (("auto", "desktop", "dark"), ("all", "desktop", "light")):
            choose(shown, "rows", rows)
            shown.look(shape, scheme)
            time.sleep(1.5)
            shown.picture(f"wide-{shape}-{scheme}-{rows}")
        if os.environ.get("NEURAL_FOUNDATION_SCREENSHOTS"):
            gallery(shown)
        settled(stream, shown)
        assert shown.text("left-out") == ""
        assert not shown.complaints()


def choose(shown: Tab, name: str, value: str) -> None:
    shown.eval(f"document.getElementById('{name}').value = '{value}'")
    shown.eval(f"document.getElementById('{name}').dispatchEvent(new Event('change'))")


def gallery(shown: Tab) -> None:
    for shape, scheme in (("desktop", "light"), ("tablet", "dark"), ("upright", "light"), ("phone", "dark")):
        choose(shown, "rows", "auto")
        shown.look(shape, scheme)
        time.sleep(2)
        shown.picture(f"gallery-{shape}-{scheme}")
    shown.look("desktop", "dark")
    shown.eval("document.getElementById('open-connections').click()")
    time.sleep(0.5)
    shown.picture("connections-desktop-dark")
    shown.eval("document.getElementById('connections').close()")
    choose(shown, "motion", "sweep")
    time.sleep(2)
    shown.picture("sweep-desktop-dark")


def test_one_of_two_streams_is_chosen_and_keys_do_what_the_controls_do(exported_package: Package, browser: str) -> None:
    with (
        served(settings_of(exported_package)) as url,
        streaming(url, signal(1000), 100) as old,
        streaming(url, signal(1000, seed=1), 100) as new,
        tab(browser) as shown,
    ):
        shown.go(url)
        shown.until("document.getElementById('status-text').textContent === 'Live'")
        assert (
            shown.until("document.querySelector('.choice[aria-current] .name').textContent")
            == new.welcome["connection"]
        )
        names = [stream.welcome["connection"] for stream in (new, old)]
        assert shown.eval("[...document.querySelectorAll('.choice .name')].map(n => n.textContent)") == names
        shown.eval("document.querySelectorAll('.choice')[1].click()")
        shown.until(f"document.querySelector('.choice[aria-current] .name').textContent === '{names[1]}'")
        settled(old, shown)
        shown.eval("document.getElementById('traces').focus()")
        for key, script in (
            (" ", "document.getElementById('pause').getAttribute('aria-pressed') === 'true'"),
            ("ArrowRight", "document.getElementById('span').value === '20'"),
            ("ArrowDown", "document.getElementById('gain').value !== 'auto'"),
        ):
            shown.ask("Input.dispatchKeyEvent", type="keyDown", key=key)
            assert shown.eval(script), key
        shown.eval("document.getElementById('channels-none').click()")
        assert shown.eval("document.querySelectorAll('#labels li').length") == 0
        shown.eval("document.querySelectorAll('#channel-list input')[1].click()")
        assert shown.eval("document.getElementById('labels').textContent") == "Cz"
        assert not shown.complaints()


def test_a_key_is_asked_for_and_kept_in_the_tab(exported_package: Package, browser: str, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    right = new_key(keys, "a", ["stream", "watch"])[0]
    with (
        served(settings_of(exported_package, keys=keys)) as url,
        streaming(url, signal(1000), 100, right) as stream,
        tab(browser) as shown,
    ):
        shown.go(url)
        shown.until("document.getElementById('login').open")
        assert shown.text("login-error") == ""
        shown.picture("login-desktop-dark")
        give(shown, "nf_wrong")
        shown.until("document.getElementById('login-error').textContent.includes('not accepted')")
        give(shown, right)
        shown.until("document.getElementById('status-text').textContent === 'Live'")
        assert not shown.eval("document.getElementById('login').open")
        shown.until(f"{filled('traces')} > 3")
        settled(stream, shown)
        assert right not in shown.eval("document.documentElement.outerHTML + location.href")
        assert right in shown.eval("JSON.stringify(sessionStorage)")
        assert right not in shown.eval("JSON.stringify(localStorage)")
        shown.eval("document.getElementById('forget-key').click()")
        shown.until("document.getElementById('login')?.open")
        assert not shown.complaints(of_network=False), "a 401 is said by the browser too"


def give(shown: Tab, key: str) -> None:
    shown.eval(f"document.getElementById('key').value = '{key}'")
    shown.eval("document.querySelector('#login-form button').click()")


def test_a_lost_server_is_said_and_found_again(exported_package: Package, browser: str) -> None:
    said: Callable[[str], str] = "document.getElementById('status-text').textContent.startsWith('{}')".format
    with tab(browser) as shown:
        with served(settings_of(exported_package)) as url, streaming(url, signal(1000), 100) as stream:
            shown.go(url)
            shown.until(said("Live"))
            stream.stop()
        shown.until(said("Connection lost"))
        port = int(url.rsplit(":", 1)[1])
        with (
            served(settings_of(exported_package).model_copy(update={"port": port})) as url,
            streaming(url, signal(1000), 100) as stream,
        ):
            shown.until(said("Live"))
            settled(stream, shown)
        assert not shown.complaints(of_network=False)


@pytest.fixture
def blank(exported_package: Package, browser: str) -> Iterator[Tab]:
    """A page without a stream, for its modules alone."""
    with served(settings_of(exported_package)) as url, tab(browser) as shown:
        shown.go(url)
        shown.until("document.getElementById('status-text').textContent === 'No stream yet'")
        yield shown
        assert not shown.complaints()


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        ("valid: true, abstained: false, set: 2", ["right", "60 %", "", ["right"], ""]),
        ("valid: true, abstained: true, set: 6", ["No decision", "", "Abstained", ["right", "rest"], "abstained"]),
        ("valid: false, abstained: false, set: 0", ["right", "60 %", "not valid", ["none given"], "invalid"]),
    ],
)
def test_doubt_is_told_in_words(blank: Tab, told: str, wanted: list[Any]) -> None:
    script = f"""import('/page/decision.js').then(({{ DecisionPanel }}) => {{
        const panel = new DecisionPanel();
        panel.start(["left", "right", "rest"]);
        panel.show({{ time_s: 65, probability: [0.1, 0.6, 0.3], {told} }});
        const text = (id) => document.getElementById(id).textContent;
        const set = [...document.getElementById("set").children].map((n) => n.textContent);
        return [text("decision"), text("confidence"), text("decision-note"), set,
            document.getElementById("decision-panel").dataset.doubt, text("decision-time")];
    }})"""
    decision, confidence, note, names, doubt, at = blank.eval(script)
    blank.picture(f"doubt-{wanted[4] or 'none'}")
    assert [decision, confidence, names, doubt] == [wanted[0], wanted[1], wanted[3], wanted[4]]
    assert wanted[2] in note
    assert at == "at 1:05"


def test_the_ring_keeps_what_came_last_and_knows_what_is_missing(blank: Tab) -> None:
    script = """import('/page/ring.js').then(({ Ring }) => {
        const ring = new Ring(2, 100, 50), gaps = [];
        const block = (n) => Float32Array.from({ length: 2 * n }, (_, i) => i < n ? 5 + Math.sin(i) : 0);
        for (const [start, n] of [[0, 30], [30, 30], [70, 10], [80, 5]]) gaps.push(ring.push(start, n, block(n)));
        const at = (c, i) => ring.data[c * 50 + i % 50];
        const missing = [...Array(10).keys()].every((i) => Number.isNaN(at(0, 60 + i)));
        const before = [ring.oldest, ring.end, missing, Math.abs(at(0, 59)) < 2, at(1, 84), ring.spread(0, 40)];
        return [gaps, before, ring.push(3, 5, block(5)), ring.first, ring.end];
    })"""
    gaps, (oldest, end, missing, level, flat, spread), again, first, last = blank.eval(script)
    assert gaps == [None, None, [60, 70], None]
    assert (oldest, end, missing, level, flat) == (35, 85, True, True, 0)
    assert spread == pytest.approx(0.7, abs=0.1), "of a sine without its level"
    assert (again, first, last) == (None, 3, 8), "a stream that starts again"


def test_quantiles_of_delays_are_those_of_the_delays(blank: Tab) -> None:
    edges = np.geomspace(1e-5, 1.0, 51)
    delays = np.random.default_rng(0).lognormal(np.log(2e-3), 0.8, 5000)
    counts = np.bincount(np.searchsorted(edges, delays), minlength=52)
    told = orjson.dumps([edges.tolist(), counts.tolist()]).decode()
    script = f"""import('/page/latency.js').then(({{ quantile }}) => {{
        const [edges, counts] = {told};
        const none = counts.map(() => 0), over = [...none.slice(1), 3];
        const found = [0.5, 0.95, 0.99].map((q) => quantile(edges, counts, q));
        return [found, Number.isNaN(quantile(edges, none, 0.5)), quantile(edges, over, 0.5) === Infinity];
    }})"""
    found, none, over = blank.eval(script)
    np.testing.assert_allclose(found, np.quantile(delays, [0.5, 0.95, 0.99]), rtol=0.05)
    assert none
    assert over


def test_foreign_text_stays_text(blank: Tab) -> None:
    card = "# <img src=x onerror=alert(1)> **bold** `code`\n\n| | |\n|---|---|\n| A | <b>b</b> |\n\n"
    card += "- one\n- [two](javascript:x)\n"
    script = f"""import('/page/card.js').then((card) => {{
        const box = document.createElement('div');
        box.append(card.rendered({orjson.dumps(card).decode()}));
        return [box.innerHTML, card.simulated('On simulated data.'), card.simulated('On people.')];
    }})"""
    html, simulated, real = blank.eval(script)
    refused = blank.eval("(() => { try { document.body.innerHTML = '<b>x</b>'; } catch (e) { return e.name; } })()")
    assert "TrustedHTML" in str(blank.complaints())
    blank.events.clear()
    assert html == (
        "<h3>&lt;img src=x onerror=alert(1)&gt; <strong>bold</strong> <code>code</code></h3>"
        '<table><tbody><tr><th scope="row">A</th><td>&lt;b&gt;b&lt;/b&gt;</td></tr></tbody></table>'
        "<ul><li>one</li><li>two</li></ul>"
    )
    assert (simulated, real) == (True, False)
    assert refused == "TypeError", "the policy lets no markup in"
