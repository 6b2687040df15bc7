"""stream: the test client; sends a source through a server, or decodes it here, and says how quick and how whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import SpecError, StoreError

if TYPE_CHECKING:
    from ..realtime.sources.base import Source

KEY = "NEURAL_FOUNDATION_KEY"
_Url = Annotated[str | None, typer.Option("--url", metavar="URL", help="The server; ws://127.0.0.1:8080 by default.")]
_Package = Annotated[
    Path | None, typer.Option("--package", metavar="FOLDER", help="Decode here with this package, without a server.")
]
_Task = Annotated[str, typer.Option("--task", help="What to decode; needed where the server has several tasks.")]
_Source = Annotated[
    str | None,
    typer.Option(
        "--source",
        metavar="KIND:WORD",
        help="file:PATH, simulated, lsl:NAME or brainflow:BOARD; by default the simulator, as the model expects it.",
        show_default=False,
    ),
]
_Out = Annotated[
    list[str], typer.Option("--out", metavar="KIND:WORD", help="Also put decisions out: jsonl:PATH, lsl:NAME.")
]
_Speed = Annotated[str, typer.Option("--speed", help="Of what is played: 1 is real time; max does not wait.")]
_Block = Annotated[float, typer.Option("--block-s", min=0.001, max=10, help="Seconds of signal a block.")]
_Seconds = Annotated[
    float | None, typer.Option("--seconds", min=0, help="Stop after so much signal; else at its end, or Ctrl-C.")
]
_Connections = Annotated[int, typer.Option("--connections", min=1, help="Send it over so many connections at once.")]
_KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file", metavar="FILE", help=f"Holds the key; else {KEY} of the environment.", show_default=False
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Print the summary as one line of JSON.")]


def add(app: typer.Typer) -> None:
    @app.command("stream")
    def stream(
        url: _Url = None,
        package: _Package = None,
        task: _Task = "",
        source: _Source = None,
        out: _Out = [],  # noqa: B006 - typer reads the default, nothing changes it
        speed: _Speed = "1",
        block_s: _Block = 0.02,
        seconds: _Seconds = None,
        connections: _Connections = 1,
        key_file: _KeyFile = None,
        as_json: _Json = False,
    ) -> None:
        """Stream a source through a server, or decode it here; say latency, throughput, and what was lost."""
        from ..realtime.outlets import parse_outlet
        from .stream_run import Job, run
        from .stream_show import Line, say

        if url is not None and package is not None:
            raise SpecError("--url and --package are both given", remedy="Give one: a server, or a package")
        if package is not None and connections > 1:
            raise SpecError(f"--connections {connections} needs a server", remedy="Give --url, not --package")
        job = Job(
            url=url or "ws://127.0.0.1:8080",
            package=package,
            task=task,
            source=None if source is None else played(source, speed, block_s),
            settings={"speed": speed, "block_s": block_s},
            seconds=seconds,
            connections=connections,
            key=key_of(key_file),
            outlets=tuple(parse_outlet(o) for o in out),
        )
        with Line(quiet=as_json) as line:
            found = run(job, line.show)
        say(found, as_json)


def played(text: str, speed: str, block_s: float) -> Source:
    """Return a source at the pace of the options; what its own text says wins. SpecError where it has no pace."""
    from ..realtime.sources import SOURCES, parse_source

    source = parse_source(text)
    changes: dict[str, object] = {} if "block_s" in source.model_fields_set else {"block_s": block_s}
    if "speed" in type(source).model_fields:
        changes |= {} if "speed" in source.model_fields_set else {"speed": speed}
    elif speed != "1":
        raise SpecError(f"--speed {speed}: '{source.kind}' comes at a pace of its own", remedy="Leave --speed out")
    given = {n: getattr(source, n) for n in source.model_fields_set}
    made = SOURCES.parse({"kind": source.kind, **given, **changes})
    assert isinstance(made, type(source))
    return made


def key_of(file: Path | None) -> str | None:
    """Return the key in a file, or that of the environment, or None; never an option, which others could see."""
    import os

    if file is None:
        return os.environ.get(KEY) or None
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"The key file {file} cannot be read ({type(error).__name__})") from None
    if not key or "\n" in key:
        raise SpecError(f"The key file {file} holds no key", allowed="one line, the key")
    return key
