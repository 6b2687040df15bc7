"""Packages from the hub: what is asked for, and what a user reads where it cannot be had."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from neural_foundation import NeuralFoundationModel
from neural_foundation.core.errors import MissingExtraError, PackageError


def test_a_name_on_the_hub_opens_and_only_data_is_asked_for(
    exported_package: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="needs the extra 'hub'")
    asked: dict[str, Any] = {}

    def download(name: str, **how: Any) -> str:
        asked.update(name=name, **how)
        return str(exported_package.folder)

    monkeypatch.setattr(hub, "snapshot_download", download)
    assert NeuralFoundationModel.from_pretrained("owner/hands").tasks == ("hands",)
    assert asked["name"] == "owner/hands"
    assert not any(pattern.endswith((".py", ".bin", ".pkl", ".pt", "*")) for pattern in asked["allow_patterns"])


def test_without_the_extra_the_message_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'neural-foundation\[hub\]'"):
        NeuralFoundationModel.from_pretrained("owner/hands")


def test_whatever_the_hub_says_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="needs the extra 'hub'")

    def download(name: str, **_: Any) -> str:
        raise ConnectionError("no route")

    monkeypatch.setattr(hub, "snapshot_download", download)
    with pytest.raises(PackageError, match=r"'owner/hands' .* cannot be had from the hub \(ConnectionError\)"):
        NeuralFoundationModel.from_pretrained("owner/hands")


@pytest.mark.parametrize("name", ["runs/adapt/fold-0", "./hands", "hands", "owner/"])
def test_a_mistyped_path_is_not_looked_for_on_the_hub(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(PackageError, match="There is no package at"):
        NeuralFoundationModel.from_pretrained(name)


def test_an_existing_folder_s_child_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "owner").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PackageError, match="There is no package at owner/hands"):
        NeuralFoundationModel.from_pretrained("owner/hands")
