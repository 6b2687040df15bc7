"""BrainVision, after the Core Data Format 1.0: the header and markers line by line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from strict_content import Channel, Content, Unsure, need, volts

from neural_foundation.recordings.channels import channel

NUMBERS = {"INT_16": "i2", "INT_32": "i4", "IEEE_FLOAT_32": "f4"}


def content(path: Path) -> Content:
    said = sections(path)
    common, binary = said["common infos"], said.get("binary infos", {})
    need(common.get("dataformat", "").upper() == "BINARY", "not binary")
    need(common.get("datatype", "TIMEDOMAIN").upper() in ("TIMEDOMAIN", ""), "not in the time domain")
    n, rate = int(common["numberofchannels"]), 1e6 / float(common["samplinginterval"])
    samples = path.parent / common["datafile"].replace("$b", path.stem)
    big = binary.get("usebigendianorder", "NO").upper() == "YES"
    stored = np.frombuffer(samples.read_bytes(), (">" if big else "<") + NUMBERS[binary["binaryformat"].upper()])
    need(n > 0 and len(stored) % n == 0, "size of the samples")
    n_times = len(stored) // n
    need(int(common.get("datapoints", "") or n_times) == n_times, "DataPoints")
    vectorized = {"MULTIPLEXED": False, "VECTORIZED": True}[common["dataorientation"].upper()]
    values = stored.reshape(n, n_times) if vectorized else stored.reshape(n_times, n).T
    rows, found = said["channel infos"], []
    need(sorted(rows) == sorted(f"ch{i + 1}" for i in range(n)), "channels")
    for i in range(n):
        name, _, resolution, unit = [*(word.strip() for word in rows[f"ch{i + 1}"].split(",")), "", ""][:4]
        kind, factor = volts(unit or "µV")
        if kind != "V":
            raise Unsure(f"unit {unit}")
        line = values[i].astype(float) * float(resolution or 1) * factor
        need(bool(np.isfinite(line).all()), "not finite")
        found.append(Channel(channel(name.replace("\\1", ",")).name, rate, line))
    return Content(found, markers(path, common, rate, n_times))


def sections(path: Path) -> dict[str, dict[str, str]]:
    raw = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    try:
        text = raw.decode("utf-8" if b"utf-8" in raw.lower() else "latin-1")
    except UnicodeDecodeError:
        raise Unsure("another encoding") from None
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    need(lines[0].startswith(("Brain Vision", "BrainVision")), "first line")
    found: dict[str, dict[str, str]] = {}
    for line in lines[1:]:
        if line.strip().lower() == "[comment]":
            break
        if line.strip().startswith("[") and line.strip().endswith("]"):
            found[line.strip()[1:-1].lower()] = now = {}
        elif line.strip() and not line.strip().startswith(";"):
            key, equals, value = line.strip().partition("=")
            need(bool(equals) or list(found)[-1] not in ("common infos", "channel infos"), "no key=value")
            need(key.strip().lower() not in now, "a key twice")
            now[key.strip().lower()] = value
    return found


def markers(path: Path, common: dict[str, str], rate: float, n_times: int) -> list[tuple[float, float, str]]:
    if not common.get("markerfile"):
        return []
    rows = []
    for i, row in enumerate(
        sections(path.parent / common["markerfile"].replace("$b", path.stem))["marker infos"].values()
    ):
        kind, words, at, length = row.split(",")[:4]
        start, lasts = int(at) - 1, int(length or 0)
        need(start >= 0 and start + max(lasts, 1) <= n_times, "a marker outside")
        if i == 0 and kind == "New Segment":
            continue
        label = f"{kind}/{words}".replace("\\1", ",")
        rows.append((start / rate, (start + lasts) / rate, label))
    return rows
