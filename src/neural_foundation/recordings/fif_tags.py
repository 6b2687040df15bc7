"""The chain of tags of a FIF file, walked before MNE sees a byte, so that no hostile size is ever allocated.

A tag is four big-endian 32-bit numbers (kind, type, size, next) and `size` bytes. `next` is 0 (the tag follows), -1
(the last) or an offset, which here must be where the tag ends. A directory, where there is one, must list these tags.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..core.errors import RecordingError
from .reader import AGAIN

FILE_ID = b"\x00\x00\x00\x64\x00\x00\x00\x1f\x00\x00\x00\x14"  # kind 100, an id structure of 20 bytes
_HEAD = 16
_DIR_POINTER, _DIR = 101, 102
Tags = dict[int, tuple[int, int, int]]


def check_tags(path: Path, plain: Path) -> None:
    """Raise RecordingError where the tags of `plain` leave the file, or do not end with it. `path` is for messages."""
    tags = _walk(path, plain)
    pointers = [at for at, (kind, _, size) in tags.items() if kind == _DIR_POINTER and size == 4]
    with plain.open("rb") as file:
        for at in pointers:
            file.seek(at + _HEAD)
            directory = int.from_bytes(file.read(4), "big", signed=True)
            if directory > 0:
                _check_directory(path, file.seek(directory), tags, file.read(_HEAD + tags.get(directory, (0, 0, 0))[2]))


def _walk(path: Path, plain: Path) -> Tags:
    """Return (kind, type, size) of each tag by its place in the file."""
    size, at, follows = plain.stat().st_size, 0, 0
    tags: Tags = {}
    with plain.open("rb") as file:
        while at < size:
            file.seek(at)
            head = file.read(_HEAD)
            if at == 0 and not head.startswith(FILE_ID):
                raise RecordingError(path, "it does not start as FIF files do", remedy=AGAIN)
            if follows == -1 or len(head) < _HEAD:
                raise RecordingError(path, f"{size - at} bytes follow its last tag", remedy=AGAIN)
            kind, type_, length, follows = (int.from_bytes(head[i : i + 4], "big", signed=True) for i in (0, 4, 8, 12))
            end = at + _HEAD + length
            if length < 0 or end > size:
                given = f"the tag at byte {at} claims {length} bytes, the file has {size}: it is truncated or damaged"
                raise RecordingError(path, given, remedy=AGAIN)
            if follows not in (0, -1) and follows != end:
                raise RecordingError(path, f"the tag at byte {at} does not lead to the one after it", remedy=AGAIN)
            tags[at] = (kind, type_, length)
            at = end
    if follows != -1:
        raise RecordingError(path, "its last tag does not end the file: it is truncated", remedy=AGAIN)
    return tags


def _check_directory(path: Path, at: int, tags: Tags, raw: bytes) -> None:
    if tags.get(at, (0, 0, 0))[0] != _DIR or (len(raw) - _HEAD) % 16:
        raise RecordingError(path, f"its directory is not at byte {at}, as it says", remedy=AGAIN)
    for kind, type_, size, place in np.frombuffer(raw[_HEAD:], ">i4").reshape(-1, 4).tolist():
        if kind != -1 and tags.get(place) != (kind, type_, size):
            raise RecordingError(path, f"its directory lists a tag at byte {place} that is not there", remedy=AGAIN)
