"""Archives of EEG segments in the layout of `bonn` and `delhi`, of random numbers."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

FOLDERS = {"Z": "A_Z", "O": "B_O", "N": "C_N", "F": "D_F", "S": "E_S"}
STAGES = ("ictal", "interictal", "preictal")
Members = dict[str, bytes]


def samples(seed: int, n: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-300, 300, n)


def text(values: np.ndarray) -> bytes:
    return b"".join(b"%d\r\n" % v for v in values)


def matlab(**variables: np.ndarray) -> bytes:
    import scipy.io

    file = io.BytesIO()
    scipy.io.savemat(file, variables, do_compression=True)
    return file.getvalue()


def bonn_members(count: int = 4) -> Members:
    """Z001.txt to S004.txt, set N in capitals as in the published archive."""
    found = {}
    for place, (name, folder) in enumerate(FOLDERS.items()):
        for number in range(1, count + 1):
            end = "TXT" if name == "N" else "txt"
            found[f"{folder}/{name}{number:03d}.{end}"] = text(samples(10 * place + number, 4097))
    return found


def delhi_members(count: int = 3) -> Members:
    top = "EEG Epilepsy Datasets"
    found = {f"{top}/Datasets Information.txt": b"about", **{f"{top}/{stage}/": b"" for stage in STAGES}}
    for place, stage in enumerate(STAGES):
        for number in range(1, count + 1):
            values = samples(10 * place + number, 1024).astype(np.int16)[:, None]
            found[f"{top}/{stage}/{stage}{number}.mat"] = matlab(**{stage: values})
    return found


def pack(path: Path, members: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return path
