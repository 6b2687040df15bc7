"""Sorted spikes as files: a folder of Kilosort and phy, an .npz, a pair of .npy."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neural_foundation.recordings import Spikes

SFREQ = 30000.0
PARAMS = r"""# written by the sorter
dat_path = [r'D:\data\raw.bin']
n_channels_dat = 8
dtype = 'int16'
offset = 0
sample_rate = 30000.
hp_filtered = False
"""


def spikes_of() -> Spikes:
    """Return spikes of three units at whole samples; one unit has none."""
    make = np.random.default_rng(4)
    samples = np.sort(make.integers(0, 90000, 200))
    unit = make.choice([0, 2], 200)
    facts = {"group": ("good", "noise", "mua"), "KSLabel": ("good", "mua", "mua"), "depth_m": (2e-5, 4e-5, 6e-5)}
    return Spikes(samples / SFREQ, unit, ("3", "5", "11"), facts)


def samples_of(spikes: Spikes) -> np.ndarray:
    return np.rint(spikes.times_s * SFREQ).astype(np.int64)


def clusters_of(spikes: Spikes) -> np.ndarray:
    return np.array([int(word) for word in spikes.unit_ids])[spikes.unit].astype(np.int32)


def table_text(*rows: tuple[object, ...]) -> str:
    return "".join("\t".join(map(str, row)) + "\n" for row in rows)


def make_phy(folder: Path, spikes: Spikes) -> Path:
    """Write the folder `sorted` that phy leaves, with cluster_info.tsv."""
    path = folder / "sorted"
    path.mkdir()
    (path / "params.py").write_text(PARAMS)
    np.save(path / "spike_times.npy", samples_of(spikes)[:, None].astype(np.uint64))
    np.save(path / "spike_clusters.npy", clusters_of(spikes))
    np.save(path / "spike_templates.npy", np.zeros(len(spikes), np.uint32)[:, None])
    np.save(path / "channel_map.npy", np.arange(4, dtype=np.int32)[:, None])
    np.save(path / "channel_positions.npy", np.array([[0.0, 20.0], [16, 40], [0, 60], [16, 80]]))
    ids, counts = [int(i) for i in spikes.unit_ids], np.bincount(spikes.unit, minlength=spikes.n_units)
    group, label = spikes.facts["group"], spikes.facts["KSLabel"]
    info = [(i, label[k], 1.5, k, 20 * (k + 1), group[k], counts[k]) for k, i in enumerate(ids)]
    names = ("cluster_id", "KSLabel", "amp", "ch", "depth", "group", "n_spikes")
    (path / "cluster_info.tsv").write_text(table_text(names, *info))
    (path / "cluster_group.tsv").write_text(table_text(("cluster_id", "group"), *zip(ids, group, strict=True)))
    (path / "cluster_KSLabel.tsv").write_text(table_text(("cluster_id", "KSLabel"), *zip(ids, label, strict=True)))
    return path


def make_npz(folder: Path, spikes: Spikes) -> Path:
    """Write sample numbers, clusters, the rate and all unit ids."""
    ids = np.array([int(word) for word in spikes.unit_ids])
    held = {"times": samples_of(spikes), "units": clusters_of(spikes), "sfreq": SFREQ, "unit_ids": ids}
    np.savez(folder / "a.npz", **held)
    return folder / "a.npz"


def make_pair(folder: Path, spikes: Spikes) -> Path:
    """Write seconds and clusters side by side; a unit without a spike has no place in it."""
    np.save(folder / "a.spike_times.npy", spikes.times_s)
    np.save(folder / "a.spike_clusters.npy", clusters_of(spikes))
    return folder / "a.spike_times.npy"
