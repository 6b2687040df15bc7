"""Run as a script in namespaces of its own: write to a disk that fills, of every size up to one that is enough.

    unshare -rm python tiny_disk.py FOLDER {convert_hdf5,convert_edf,prepare,prepare_chain}

Prints, as JSON, the sizes in KiB with what was said, until twice in a row nothing was. FOLDER becomes a tmpfs, which
nobody else sees. The free space that the system tells is a lie here, so that disks fill while they are written to.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from make_modalities import everything

from neural_foundation.cli.folder import folder_plan, prepare_folder
from neural_foundation.core.errors import StoreError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.recordings import write_edf, write_whole_session
from neural_foundation.recordings.convert import convert

PAGE, MOST = 4, 2400  # KiB
CHAIN = "signals: [{kind: bandpass, low_hz: 4, high_hz: 40}]\n"


class Lie:
    f_bavail, f_frsize = 10**9, 4096


def attempt(what: str, source: Path, disk: Path) -> None:
    if what == "convert_hdf5":
        convert(source / "rat.h5", disk / "out.h5")
    elif what == "convert_edf":
        convert(source / "eeg.edf", disk / "out.edf")
    else:
        config = source.parent / "c.yaml"
        config.write_text(CHAIN if what == "prepare_chain" else "")
        prepare_folder(folder_plan(source, disk / "out", config))


def sources(root: Path) -> Path:
    folder = root / "in"
    folder.mkdir()
    if root.name == "convert_edf":
        spec = SignalSpec(sfreq=500, ch_names=tuple(f"sensor{i}" for i in range(40)), ch_types=("misc",) * 40)
        write_edf(folder / "eeg.edf", values=np.full((40, 2500), 1e-5), spec=spec, subject="x")
    else:
        write_whole_session(folder / "rat.h5", everything())
    return folder


def mounted(disk: Path, kib: int, how: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"{how}size={kib}k", "tmpfs", str(disk)], check=True)


def finals(disk: Path) -> list[str]:
    """Return the files under a final name, and what an attempt left half made."""
    files = [p for p in disk.rglob("*") if p.is_file()]
    own = {".lock", ".digests.json", ".pseudonym-key"}
    return sorted(str(p.relative_to(disk)) for p in files if p.name not in own)


def main(root: Path, what: str) -> list[Any]:
    source, disk, said = sources(root), root / "disk", []
    disk.mkdir()
    os.statvfs = lambda path: Lie  # type: ignore[assignment,return-value]
    enough, kib = 0, PAGE
    while enough < 2 and kib < MOST:
        mounted(disk, kib, "")
        try:
            attempt(what, source, disk)
            said.append((kib, "", finals(disk)))
            enough += 1
        except StoreError as error:
            said.append((kib, str(error), finals(disk)))
            enough = 0
        shutil.rmtree(disk, ignore_errors=True)
        subprocess.run(["umount", str(disk)], check=True)
        kib += PAGE if kib > 1000 or what == "convert_edf" else 16 * PAGE
    return said


if __name__ == "__main__":
    folder = Path(sys.argv[1]) / sys.argv[2]
    folder.mkdir()
    print(json.dumps(main(folder, sys.argv[2])))  # noqa: T201 - it is a script
