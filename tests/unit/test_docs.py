"""The documentation is true: its commands parse, its recipes check, its code runs, its links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from neural_foundation.core.errors import NeuralFoundationError
from neural_foundation.core.kinds import HOMES, table_of
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import Chunk, Transducer, run
from neural_foundation.pipeline.recipe import built_in, check, load
from neural_foundation.pipeline.yaml12 import parse, parse_file
from neural_foundation.recordings import Intervals, read, write_edf, write_session
from neural_foundation.signals import SIGNALS

ROOT = Path(__file__).parents[2]
TOP = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES = [*TOP, *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^( *)(`{3,})(\S*)[^\n]*\n(.*?)^\1\2 *$", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PATHS = ("src/", "tests/", "docs/", "examples/", "benchmarks/", "core/")
OWN_RECIPE = "motor-imagery"  # what a recipe file that a page names was copied from
page = pytest.mark.parametrize("path", PAGES, ids=lambda p: p.name)


def loaded(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@cache
def reference() -> ModuleType:
    return loaded(ROOT / "docs/_ext/reference.py", "docs_reference")


@cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def blocks(path: Path, *languages: str) -> list[str]:
    return [body for _, _, language, body in FENCE.findall(text_of(path)) if language in languages]


def spans(path: Path) -> list[str]:
    return SPAN.findall(FENCE.sub("", text_of(path)))


# ---- figures, links, paths ------------------------------------------------------------------------------------------


@page
def test_no_figure_is_left_to_fill_in(path: Path) -> None:
    left = [f"line {n}" for n, line in enumerate(text_of(path).splitlines(), 1) if "TODO-FIGURE" in line]
    assert not left, f"{path.name} lacks measured figures: {', '.join(left)}"


@page
def test_each_relative_link_leads_somewhere(path: Path) -> None:
    targets = [t.partition("#") for t in LINK.findall(FENCE.sub("", text_of(path))) if "://" not in t]
    missing = [file for file, _, _ in targets if file and not (path.parent / file).exists()]
    assert not missing
    for file, _, anchor in targets:
        target = path.parent / file if file else path
        assert not anchor or anchor in anchors(target), f"{file}#{anchor}"


def anchors(path: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", text_of(path)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}


@page
def test_each_path_that_is_named_exists(path: Path) -> None:
    named = [s for s in spans(path) if s.startswith(PATHS) and re.fullmatch(r"[\w./-]+", s)]
    roots = (ROOT, ROOT / "src/neural_foundation")
    assert not [s for s in named if not any((root / s).exists() for root in roots)]


@page
def test_lines_are_of_one_width(path: Path) -> None:
    prose = [line for line in FENCE.sub("", text_of(path)).splitlines() if not line.startswith(("|", "!"))]
    assert not [line for line in prose if len(line) > 120]


# ---- commands -------------------------------------------------------------------------------------------------------


def shell_lines(path: Path) -> Iterator[list[str]]:
    for block in blocks(path, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield words
    yield from (shlex.split(s) for s in spans(path) if s.startswith(("neural-foundation ", "make ", "python ")))


def test_the_pages_have_commands() -> None:
    assert sum(1 for path in PAGES for _ in shell_lines(path)) > 40


@page
def test_each_command_could_be_typed(path: Path) -> None:
    for words in shell_lines(path):
        checker = CHECKS.get(words[0].rpartition("/")[2])
        assert checker is not None, f"{path.name}: nothing checks '{' '.join(words)}'"
        checker(words[1:])


def test_each_published_script_has_a_command_that_could_be_typed() -> None:
    table = text_of(ROOT / "docs/neds.md").partition("| published | here |")[2].partition("\n\n")[0]
    given = {"R": "0.4", "EID": "671c7ea7-6726-4fbe-adeb-f89c2c8e489b"}
    commands = [s for row in table.splitlines() for s in SPAN.findall(row)]
    checked = 0
    for command in commands:
        if command.startswith(("run neds/", "tune neds/", "data fetch")):
            text = command.replace(" DATA", " --set 'bin.dataset={kind: ibl, eids: [EID]}'")
            check_ours(shlex.split(re.sub(r"\b(R|EID)\b", lambda m: given[m[1]], text)))
            checked += 1
    assert checked > 7


def check_ours(words: list[str]) -> None:
    """Parse a line as the command line itself would, without running it; its recipe and settings must be there."""
    words = [w for w in words if w not in ("--verbose", "-v")]
    if words[:1] in (["VERB"], ["--version"], ["--help"]):
        return
    verbs = reference().verbs()
    name = " ".join(words[:2]) if words[0] in ("data", "key") else words[0]
    assert name in verbs, f"there is no verb '{name}'"
    rest = words[len(name.split()) :]
    if rest:
        given = verbs[name].make_context(name, list(rest)).params
        check_recipe(given)


def check_recipe(given: dict[str, Any]) -> None:
    source = given.get("recipe") or given.get("name")
    if source is None:
        return
    recipe = load(
        OWN_RECIPE if source.endswith(".yaml") else source,
        changes=given.get("changes") or [],
        tiny=bool(given.get("tiny")),
    )
    assert given.get("stage") is None or given["stage"] in recipe.stages


def check_make(words: list[str]) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(words) <= targets, words


def check_pip(words: list[str]) -> None:
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    assert set(re.findall(r"neural-foundation\[(\w+)\]", " ".join(words))) <= extras


def check_python(words: list[str]) -> None:
    if words[0] == "-m":
        assert words[1] == "neural_foundation"
        check_ours(words[2:])
    else:
        assert (ROOT / words[0]).is_file(), words[0]


def nothing(words: list[str]) -> None:
    """Accept what is not ours."""


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "neural-foundation": check_ours,
    "make": check_make,
    "pip": check_pip,
    "python": check_python,
    "pre-commit": nothing,
    ".": nothing,
    "export": nothing,
}


def test_each_verb_is_documented() -> None:
    guides = " ".join(text_of(p) for p in PAGES if p.name not in ("CHANGELOG.md", "cli.md"))
    for words, command in reference().verbs().items():
        assert command.help, words
        assert f"### `{words}`" in reference().cli()
        assert re.search(rf"(neural-foundation |`){words}\b", guides), f"no guide mentions '{words}'"


# ---- recipes and kinds ----------------------------------------------------------------------------------------------


@page
def test_each_recipe_text_is_right(path: Path) -> None:
    for block in blocks(path, "yaml"):
        value = parse(block, path.name)
        if isinstance(value, dict) and "stages" in value:
            check(value, path.name)
        for mapping in kinds_in(value):
            rooms = [room for room in HOMES if mapping["kind"] in set(table_of(room))]
            assert rooms, f"{path.name}: unknown kind '{mapping['kind']}'"
            table_of(rooms[0]).parse(mapping)


def kinds_in(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "kind" in value:
            yield value
        value = list(value.values())
    for part in value if isinstance(value, list) else []:
        yield from kinds_in(part)


def test_each_kind_is_in_the_reference_with_a_summary() -> None:
    rooms, stages = reference().rooms(), reference().kinds("stages")
    for room in HOMES:
        for kind in table_of(room):
            assert table_of(room).row(kind).summary
            assert f"### `{kind}`" in (stages if room == "stages" else rooms)


def test_each_field_is_in_the_reference() -> None:
    for room in HOMES:
        for kind in table_of(room):
            cls = table_of(room).row(kind).load()
            listed = reference().fields(cls)
            for field in set(cls.model_fields) - {"kind", "inputs", "for_each"}:
                assert f"| `{field}`" in listed, f"{room} {kind} {field}"


def test_the_reference_says_what_a_field_takes() -> None:
    fields = reference().fields(table_of("learners").row("gradient").load())
    assert "| `objective` | any kind of objectives | required |" in fields
    assert "| `max_steps` | integer ≥ 1, or null | null |" in fields
    assert "| `memory_gb` † | number ≥ 0 | 2.0 |" in fields
    assert "| `precision` | `fp32`, `bf16` | fp32 |" in fields
    assert "| value" not in reference().rooms() + reference().kinds("stages")


def test_the_pages_take_in_everything_that_is_generated() -> None:
    used = set(re.findall(r"```\{generated\} (\w+)", "".join(text_of(p) for p in PAGES)))
    assert used == set(reference().GENERATED)


@pytest.mark.slow
def test_sizes_are_counted() -> None:
    table = reference().sizes()
    assert "| `base` | 512 | 12 |" in table
    assert int(re.findall(r"`tiny`.*\| ([\d,]+) \|", table)[0].replace(",", "")) < 1_000_000


def test_recipes_and_stages_of_the_readme_exist() -> None:
    section = text_of(ROOT / "README.md").partition("## What the demo does")[2].partition("\n## ")[0]
    stages = load("quickstart").stages
    assert set(stages) == set(SPAN.findall(section)), "the list of steps and the recipe differ"
    assert set(re.findall(r"`([a-z0-9/-]+)`", text_of(ROOT / "CHANGELOG.md").partition("Stages")[0])) == set(built_in())


def test_the_rooms_of_the_readme_are_the_rooms() -> None:
    table = text_of(ROOT / "README.md").partition("## The house")[2].partition("\n## ")[0]
    rooms = {p.name for p in (ROOT / "src/neural_foundation").iterdir() if (p / "__init__.py").exists()}
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == rooms


def test_stages_of_the_quickstart_page_are_those_of_the_recipe() -> None:
    section = text_of(ROOT / "docs/quickstart.md").partition("## What each stage does")[2].partition("\n## ")[0]
    terms = {t for line in section.splitlines() if line.startswith("`") for t in SPAN.findall(line)}
    assert terms == set(load("quickstart").stages)


# ---- code -----------------------------------------------------------------------------------------------------------


@cache
def sources() -> str:
    folders = ("examples", "tests", "src/neural_foundation/signals")
    files = [p for folder in folders for p in sorted((ROOT / folder).rglob("*.py"))]
    return "\n".join(stripped(p.read_text(encoding="utf-8")) for p in files)


def stripped(code: str) -> str:
    return "\n".join(line.strip() for line in code.strip().splitlines() if line.strip())


@page
def test_python_is_quoted_from_files_that_tests_run(path: Path) -> None:
    for block in blocks(path, "python"):
        for part in re.split(r"\n\s*\n", block.strip()):
            assert stripped(part) in sources(), f"{path.name}: this is in no file that runs:\n{part}"


@page
def test_included_objects_exist(path: Path) -> None:
    for file, options in re.findall(r"```\{literalinclude\} (\S+)\n(.*?)```", text_of(path), re.DOTALL):
        target = path.parent / file
        assert target.is_file(), file
        for name in re.findall(r":pyobject: (\w+)", options):
            assert re.search(rf"^(async def|def|class) {name}\b", text_of(target), re.MULTILINE), name


@pytest.fixture
def difference(monkeypatch: pytest.MonkeyPatch) -> Transducer:
    """The worked example of CONTRIBUTING, known to the table for this test alone."""
    monkeypatch.setattr(SIGNALS, "rows", dict(SIGNALS.rows))
    loaded(ROOT / "examples/own_signal.py", "own_signal")
    op: Any = SIGNALS.parse({"kind": "difference", "gain": 10})
    bound: Transducer = op.bind(SignalSpec(sfreq=250.0, ch_names=("C3", "C4")))
    return bound


def test_the_worked_example_is_what_numpy_gives_however_it_is_cut(difference: Transducer) -> None:
    values = np.random.default_rng(0).standard_normal((2, 50)).astype(np.float32)
    want = 10 * np.diff(values, axis=1, prepend=values[:, :1])
    for block in (1, 7, 64):
        np.testing.assert_array_equal(run(difference, values, block=block).values, want)


def write_arrays(path: Path) -> None:
    """Write an array of your own (n_chans, n_times), in volts, with two trials, as a session."""
    values = np.random.default_rng(0).standard_normal((3, 5000)).astype(np.float32) * 1e-5
    write_session(
        path,
        session_id="anna-1",
        subject="anna",
        spec=SignalSpec(sfreq=250.0, ch_names=("C3", "Cz", "C4"), ch_types=("eeg", "eeg", "eeg")),
        chunks=[Chunk.of(values)],
        trials=Intervals(np.array([2.0, 9.0]), np.array([6.0, 13.0]), ("left", "right")),
    )


def test_a_session_from_arrays(tmp_path: Path) -> None:
    write_arrays(tmp_path / "anna.h5")
    with read(tmp_path / "anna.h5") as session:
        assert session.subject == "anna"
        assert session.trials.label == ("left", "right")
        assert session.signal.read(0, 10).shape == (3, 10)


# ---- messages -------------------------------------------------------------------------------------------------------

SPEC = SignalSpec(sfreq=250.0, ch_names=("C3", "Cz", "C4"))


def edf(name: str, labels: tuple[str, ...]) -> bytes:
    onsets = np.arange(len(labels)) * 5.0
    values = np.random.default_rng(0).standard_normal((3, 10_000)).astype(np.float32) * 1e-5
    write_edf(Path(name), values=values, spec=SPEC, annotations=Intervals(onsets, onsets + 4, labels), subject="x")
    return Path(name).read_bytes()


def truncated() -> None:
    whole = edf("whole.edf", ("left",) * 2)
    Path("cut.edf").write_bytes(whole[: len(whole) // 2])
    read("cut.edf")


def no_edf() -> None:
    Path("notes.edf").write_text("These are notes. " * 50)
    read("notes.edf")


def opened(name: str, labels: tuple[str, ...]) -> None:
    edf(name, labels)
    kind = {"kind": "recordings", "path": name, "events": {"left": "left_hand", "right": "right_hand"}}
    dataset: Any = table_of("datasets").parse(kind)
    dataset.open(dataset.items()[0], Path())


def mismatch(**changes: Any) -> None:
    from neural_foundation.realtime.decoder import matching

    matching(SPEC.replace(**changes), SPEC)


def twice() -> None:
    Path("my.yaml").write_text("name: a\nseed: 0\nname: b\n")
    parse_file(Path("my.yaml"))


MISTAKES: dict[str, Callable[[], object]] = {
    "A file is missing": lambda: read("nobody.edf"),
    "Not an EDF file": no_edf,
    "A truncated EDF file": truncated,
    "No events": lambda: opened("ben.edf", ()),
    "Only one class": lambda: opened("anna.edf", ("left", "left")),
    "Fewer channels than the model": lambda: mismatch(ch_names=("C3", "Cz")),
    "A wrong rate": lambda: mismatch(sfreq=500.0),
    "An unknown field": lambda: load("quickstart", changes=["split.fold=3"]),
    "A key that is given twice": twice,
}


@pytest.mark.parametrize("title", MISTAKES)
def test_troubleshooting_quotes_each_message(title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NeuralFoundationError) as caught:
        MISTAKES[title]()
    section = text_of(ROOT / "docs/troubleshooting.md").partition(f"## {title}\n")[2].partition("\n## ")[0]
    assert f"```text\n{caught.value}\n```" in section


def test_every_error_is_in_the_tree() -> None:
    from neural_foundation.core import errors

    names = {n for n, c in vars(errors).items() if isinstance(c, type) and issubclass(c, NeuralFoundationError)}
    assert set(re.findall(r"`(\w+)`:", reference().error_tree())) == names


# ---- the build ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_docs_build_without_a_warning(tmp_path: Path) -> None:
    import subprocess

    pytest.importorskip("sphinx", reason="the extra 'docs' is not installed")
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", str(ROOT / "docs"), str(tmp_path)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stderr[-3000:]
    assert "<code" in (tmp_path / "kinds.html").read_text(encoding="utf-8")
