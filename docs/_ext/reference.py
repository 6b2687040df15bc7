"""The reference, written from the tables, specs and commands themselves, so that it cannot go stale.

Each function returns Markdown. `directives.py` puts it into the pages; the tests of the docs read it too.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from neural_foundation.core import errors
from neural_foundation.core.kinds import HOMES, table_of
from neural_foundation.core.specs import Spec

PLAIN = {float: "number", int: "integer", str: "text", bool: "true or false", Path: "path"}
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def rooms() -> str:
    """Return the tables of all kinds of all rooms but the stages, one section a room."""
    return "\n\n".join(f"## {room.capitalize()}\n\n{kinds(room)}" for room in HOMES if room != "stages")


def kinds(room: str) -> str:
    """Return a room's table of kinds, then a section a kind with its fields."""
    table = table_of(room)
    rows = [f"| `{kind}` | {table.row(kind).summary.rstrip('.')} | {table.row(kind).law} |" for kind in table]
    head = "| kind | what it is | chunk law |\n|---|---|---|\n"
    return head + "\n".join(rows) + "\n\n" + "\n\n".join(_kind(room, kind) for kind in table)


def _kind(room: str, kind: str) -> str:
    cls = table_of(room).row(kind).load()
    return "\n\n".join(p for p in (f"### `{kind}`", _prose(cls), _ports(cls), _extensions(cls), fields(cls)) if p)


def _prose(cls: type[Spec]) -> str:
    return cleandoc(cls.__doc__ or "").replace("<", "&lt;")


def _ports(cls: Any) -> str:
    if not getattr(cls, "gives", ""):
        return ""
    found = [f"`{n}` ({_port(p)})" for n, p in cls.takes.items()]
    return f"Inputs: {', '.join(found) or 'none'}. Gives: {cls.gives}."


def _port(port: Any) -> str:
    return ", ".join([port.type, *(["several"] if port.many else []), *([] if port.required else ["optional"])])


def _extensions(cls: Any) -> str:
    found = getattr(cls, "extensions", ())
    return f"Extensions: {', '.join(f'`{e}`' for e in found)}." if found else ""


def fields(cls: type[Spec]) -> str:
    """Return the table of a spec's fields; those of a plain spec inside it are dotted."""
    rows = [f"| `{name}`{mark} | {words} | {default} | {text} |" for name, mark, words, default, text in _rows(cls, "")]
    if not rows:
        return "No fields."
    return "| field | takes | default | meaning |\n|---|---|---|---|\n" + "\n".join(rows)


def _rows(cls: type[Spec], prefix: str) -> Iterator[tuple[str, str, str, str, str]]:
    shared = {"kind", "inputs", "for_each"} if hasattr(cls, "gives") else {"kind"}
    for name, field in cls.model_fields.items():
        if name in shared:
            continue
        extra = field.json_schema_extra
        mark = " †" if isinstance(extra, dict) and extra.get("in_key") is False else ""
        default = "required" if field.is_required() else _default(field.get_default(call_default_factory=True))
        text = (field.description or "").replace("|", "\\|")
        yield prefix + name, mark, takes(field.annotation, field.metadata), default, text
        inner = _plain_spec(field.annotation)
        if inner is not None and not any(hasattr(m, "table") for m in field.metadata):
            yield from _rows(inner, f"{prefix}{name}.")


def _plain_spec(annotation: Any) -> type[Spec] | None:
    candidates = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else [annotation]
    found = [a for a in candidates if isinstance(a, type) and issubclass(a, Spec)]
    return found[0] if found else None


def _default(value: Any) -> str:
    if isinstance(value, Spec):
        return "its defaults"
    if value is None:
        return "null"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_default(v) for v in value)}]"
    return str(value).lower() if isinstance(value, bool) else f"{value}" if value != "" else "empty"


def takes(annotation: Any, metadata: Any = ()) -> str:
    """Return in words what a field takes: its type and its bounds."""
    table = next((m.table for m in metadata if hasattr(m, "table")), None)
    if table is not None:
        return f"any kind of {table.room}"
    parts = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    words = " or ".join(_type(a) for a in parts if a is not type(None))
    bounds = [f"{sign} {getattr(m, name):g}" for m in metadata for name, sign in BOUNDS.items() if hasattr(m, name)]
    return " ".join([words, *bounds]) + (", or null" if type(None) in parts else "")


def _type(annotation: Any) -> str:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return takes(args[0], args[1:])
    if origin is Literal:
        return ", ".join(f"`{a}`" for a in args)
    if origin in (Union, types.UnionType):
        return takes(annotation)
    if origin is tuple:
        return _tuple(args)
    if origin in (dict, list):
        return "mapping" if origin is dict else "list"
    settings = isinstance(annotation, type) and issubclass(annotation, Spec)
    return PLAIN.get(annotation, "settings" if settings else "value")


def _tuple(args: tuple[Any, ...]) -> str:
    if len(args) == 2 and args[1] is Ellipsis:
        return f"list of {takes(args[0])}"
    return f"[{', '.join(takes(a) for a in args)}]"


def recipes() -> str:
    """Return the built-in recipes, each with its description and stages."""
    from neural_foundation.pipeline.recipe import built_in, load

    made = []
    for name in built_in():
        recipe = load(name)
        made.append(f"`{name}`\n: {recipe.description.strip()} Stages: {', '.join(f'`{s}`' for s in recipe.order())}.")
    return "\n\n".join(made)


def verbs() -> dict[str, Any]:
    """Return every command by the words that call it, e.g. "data list"."""
    import typer

    from neural_foundation.cli import app

    found: dict[str, Any] = {}

    def walk(command: Any, path: str) -> None:
        for name, child in getattr(command, "commands", {}).items():
            words = f"{path} {name}".strip()
            if getattr(child, "commands", None):
                walk(child, words)
            else:
                found[words] = child

    walk(typer.main.get_command(app), "")
    return found


def cli() -> str:
    """Return one section a verb with its arguments and options."""
    return "\n\n".join(_verb(words, command) for words, command in verbs().items())


def _verb(words: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    usage = " ".join(["neural-foundation", words, *(a.metavar or a.name.upper() for a in arguments)])
    rows = [f"| `{_call(p)}` | {p.help or ''} |" for p in command.params if p.name != "help"]
    table = "| | |\n|---|---|\n" + "\n".join(rows) if rows else ""
    return f"### `{words}`\n\n{cleandoc(command.help or '')}\n\n`{usage}`\n\n{table}".rstrip()


def _call(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    value = "" if parameter.is_flag else f" {parameter.metavar or parameter.name.upper()}"
    return f"{', '.join(parameter.opts)}{value}"


def error_tree() -> str:
    """Return the errors as a nested list, each with its first line."""

    def lines(cls: type, depth: int) -> Iterator[str]:
        first = cleandoc(cls.__doc__ or "").partition("\n")[0].rstrip(".")
        yield f"{'  ' * depth}- `{cls.__name__}`: {first}"
        for child in cls.__subclasses__():
            if child.__module__ == errors.__name__:
                yield from lines(child, depth + 1)

    return "\n".join(lines(errors.NeuralFoundationError, 0))


def sizes() -> str:
    """Return the sizes of `multiscale`, their parameters counted on torch's meta device (nothing is allocated)."""
    import torch

    from neural_foundation.core.specs import SignalSpec, TargetSpec
    from neural_foundation.models.multiscale import SIZED, SIZES, Multiscale
    from neural_foundation.recordings.montage import standard_1005

    places = list(standard_1005().items())[:64]
    signal = SignalSpec(sfreq=1000.0, ch_names=tuple(n for n, _ in places), positions=tuple(p for _, p in places))
    rows = []
    for name, values in SIZES.items():
        with torch.device("meta"):
            count = Multiscale(size=name).build(signal, TargetSpec(classes=("a", "b"))).n_parameters()  # type: ignore[arg-type]
        rows.append(f"| `{name}` | {' | '.join(f'{v:,}' for v in values)} | {count:,} |")
    head = f"| size | {' | '.join(f'`{n}`' for n in SIZED)} | parameters |\n|{'---|' * (len(SIZED) + 2)}\n"
    return head + "\n".join(rows)


GENERATED: dict[str, Callable[..., str]] = {
    "rooms": rooms,
    "kinds": kinds,
    "recipes": recipes,
    "cli": cli,
    "errors": error_tree,
    "sizes": sizes,
}
