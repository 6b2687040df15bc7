"""serve: a decoding server for exported packages."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import SpecError

if TYPE_CHECKING:
    from ..serving.settings import ServeSettings

Packages = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="PACKAGE...", help="Exported packages, or the folders of runs with one.", show_default=False
    ),
]
Task = Annotated[str, typer.Option("--task", help="The name to serve a single package's task by.")]
Host = Annotated[str | None, typer.Option("--host", help="Where to listen; this machine alone by default.")]
Port = Annotated[int | None, typer.Option("--port", help="8080 by default.")]
Keys = Annotated[Path | None, typer.Option("--keys", metavar="FILE", help="API keys, made with 'key new'.")]
State = Annotated[
    Path | None,
    typer.Option("--state", metavar="DIR", help="Where states are kept, so that a restart loses nothing."),
]
Config = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="All settings as YAML; options win.")]
Adapt = Annotated[bool, typer.Option("--adapt", help="Connections may ask that their decoder adapts.")]
Journal = Annotated[Path | None, typer.Option("--journal", metavar="DIR", help="Where adaptation is written down.")]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu or cuda:N; auto by default.")]
Source = Annotated[
    str, typer.Option("--source", metavar="KIND:WORD", help="Decode this, too: lsl:NAME, file:PATH, brainflow:BOARD.")
]
Out = Annotated[
    list[str], typer.Option("--out", metavar="KIND:WORD", help="Where the source's decisions go: lsl:NAME, jsonl:PATH.")
]
Connections = Annotated[int | None, typer.Option("--connections", help="Most streams at a time.")]
OpenToAll = Annotated[bool, typer.Option("--open-to-all", help="Serve beyond this machine without keys.")]
Logs = Annotated[str | None, typer.Option("--logs", help="text or json.")]


def add(app: typer.Typer) -> None:
    @app.command("serve")
    def serve(
        packages: Packages = None,
        task: Task = "",
        host: Host = None,
        port: Port = None,
        keys: Keys = None,
        state: State = None,
        config: Config = None,
        adapt: Adapt = False,
        journal: Journal = None,
        device: Device = None,
        source: Source = "",
        out: Out = [],  # noqa: B006
        connections: Connections = None,
        open_to_all: OpenToAll = False,
        logs: Logs = None,
    ) -> None:
        """Serve live decoding, a page to look at it, the Open Inference Protocol and metrics."""
        given: dict[str, Any] = {"host": host, "port": port, "keys": keys, "state": state, "logs": logs}
        given |= {"adapt": adapt or None, "open_to_all": open_to_all or None, "device": device, "journal": journal}
        given |= {"source": source or None, "outlets": tuple(out) or None, "connections": connections}
        settings = settings_of(config, packages or [], task, given)
        _run(settings)


def settings_of(config: Path | None, packages: list[Path], task: str, given: dict[str, Any]) -> ServeSettings:
    """Return the settings of a file with options over them; SpecError names what is wrong."""
    from ..serving.models import package_folder

    values = _read(config)
    values |= {n: v for n, v in given.items() if v is not None and n != "connections"}
    if given.get("connections") is not None:
        values["limits"] = {**(values.get("limits") or {}), "connections": given["connections"]}
    if packages:
        if task and len(packages) > 1:
            raise SpecError(
                f"--task {task} names one package, but {len(packages)} are given",
                remedy="Name each in a --config file: packages: [{folder: ..., task: ...}]",
            )
        values["packages"] = [{"folder": package_folder(p), "task": task} for p in packages]
    if not values.get("packages"):
        raise SpecError("No package to serve", remedy="Give a folder that an 'export' stage wrote, or a run's folder")
    return _checked(values)


def _read(config: Path | None) -> dict[str, Any]:
    if config is None:
        return {}
    from ..pipeline.yaml12 import parse_file

    values = parse_file(config)
    if not isinstance(values, dict):
        raise SpecError(f"{config} holds no settings", allowed="a YAML mapping: packages, port, keys, ...")
    return values


def _checked(values: dict[str, Any]) -> ServeSettings:
    from pydantic import ValidationError

    from ..core.kinds import spec_error
    from ..serving.settings import ServeSettings

    try:
        return ServeSettings.model_validate(values)
    except ValidationError as error:
        raise spec_error("serve", error, ServeSettings) from None


def _run(settings: ServeSettings) -> None:
    """Listen first, then load and say where; what cannot be served is told before anything else is said."""
    from threadpoolctl import threadpool_limits

    from ..serving import logs
    from ..serving.server import address, configured, listening

    logs.configure(settings.logs)
    with closing(listening(settings)) as opened:
        server = configured(settings)
        threadpool_limits(1)  # a second thread of the linear algebra makes a step of 1 ms one of 15
        tasks = ", ".join(server.config.app.state.service.models.tasks)
        typer.echo(f"Serving {tasks} on {address(settings, opened)}", err=True)
        if settings.in_the_clear:
            typer.echo("Warning: without TLS, keys cross the network in the clear (tls_certificate, tls_key)", err=True)
        typer.echo("Page: /   API: /docs   metrics: /metrics   Ctrl-C saves all states and stops", err=True)
        server.run(sockets=[opened])
