"""Manifests: what was made is checked, what is not whole is not there, names of people stay out."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from neural_foundation.core import lineage
from neural_foundation.core.errors import StoreError
from neural_foundation.core.lineage import (
    library_versions,
    open_output,
    pseudonyms,
    source_digest,
    write_manifest,
)
from neural_foundation.core.store import read_json, sha256, write_json

FACTS: dict[str, Any] = {"stage": "fit", "item": "fold-0", "key": "0123456789abcdef", "subjects": []}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "fit"
    (made / "deep").mkdir(parents=True)
    (made / "a.txt").write_text("one")
    (made / "deep" / "b.txt").write_text("two")
    (made / "timing.json").write_text("0.1")
    write_manifest(made, FACTS, measured=["timing.json"])
    return made


def test_every_file_has_its_checksum_but_what_was_measured(folder: Path) -> None:
    manifest = read_json(folder / "manifest.json")
    assert list(manifest["outputs"]) == ["a.txt", "deep/b.txt"]
    assert manifest["outputs"]["a.txt"] == {"bytes": 3, "sha256": sha256(folder / "a.txt")}
    assert manifest["measured"] == ["timing.json"]
    assert manifest["libraries"] == library_versions()
    assert manifest["source"] == source_digest()


def test_a_finished_folder_opens_and_verifies(folder: Path) -> None:
    output = open_output(folder)
    assert output is not None
    assert (output.stage, output.item, output.key) == ("fit", "fold-0", "0123456789abcdef")
    assert output.path("a.txt").read_text() == "one"
    output.verify()


def test_without_a_manifest_there_is_no_output(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    assert open_output(folder) is None


@pytest.mark.parametrize("content", [None, "longer"])
def test_a_file_gone_or_of_another_size_is_no_output(folder: Path, content: str | None) -> None:
    (folder / "a.txt").unlink()
    if content is not None:
        (folder / "a.txt").write_text(content)
    assert open_output(folder) is None


def test_other_bytes_of_the_same_size_are_found_when_verified(folder: Path) -> None:
    (folder / "a.txt").write_text("eno")
    output = open_output(folder)
    assert output is not None
    with pytest.raises(StoreError, match=r"a\.txt is missing or not as it was written.*Remove .*fit and run again"):
        output.verify()
    (folder / "a.txt").unlink()
    with pytest.raises(StoreError, match="is missing"):
        output.verify()


def test_a_measured_file_may_change(folder: Path) -> None:
    (folder / "timing.json").write_text("0.25")
    output = open_output(folder)
    assert output is not None
    output.verify()


def test_a_newer_format_is_refused(folder: Path) -> None:
    write_json(folder / "manifest.json", {**read_json(folder / "manifest.json"), "format_version": 99})
    with pytest.raises(StoreError, match="has format_version 99. Allowed: up to 1. Use a newer"):
        open_output(folder)


def test_libraries_that_are_not_installed_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineage, "LIBRARIES", ("numpy", "no-such-library"))
    library_versions.cache_clear()
    try:
        assert list(library_versions()) == ["numpy"]
    finally:
        library_versions.cache_clear()


class TestPseudonyms:
    def test_the_same_people_have_the_same_names_in_one_store(self, tmp_path: Path) -> None:
        first = pseudonyms(["Ada", "Ben", "Ada"], tmp_path)
        assert first == pseudonyms({"Ben", "Ada"}, tmp_path) == sorted(first)
        assert len(set(first)) == 2
        assert set(pseudonyms(["Ada"], tmp_path)) < set(first)

    def test_another_store_has_other_names(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        assert pseudonyms(["Ada"], tmp_path / "a") != pseudonyms(["Ada"], tmp_path / "b")

    def test_the_key_is_for_its_owner_alone(self, tmp_path: Path) -> None:
        pseudonyms(["Ada"], tmp_path)
        assert stat.S_IMODE((tmp_path / ".pseudonym-key").stat().st_mode) == 0o600
