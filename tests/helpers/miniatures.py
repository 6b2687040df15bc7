"""Every published dataset in miniature: synthetic content under the exact folders and file names of the public copy.

Each builder writes into a folder that need not exist, and returns it. Values are noise of a fixed seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from segment_archives import bonn_members, delhi_members, pack

Row = tuple[float, float, str]


def noise(n_chans: int, n_times: int, seed: int = 0) -> np.ndarray:
    """Return (n_chans, n_times) volts of about 10 uV."""
    return np.asarray(np.random.default_rng(seed).normal(size=(n_chans, n_times)) * 1e-5)


def edf_plus(path: Path, labels: Sequence[str], sfreq: int, seconds: int, rows: Sequence[Row] = ()) -> None:
    """Write an EDF+C with the labels as they are."""
    import edfio

    path.parent.mkdir(parents=True, exist_ok=True)
    values = noise(len(labels), sfreq * seconds) * 1e6
    signals = [
        edfio.EdfSignal(v, sfreq, label=label, physical_dimension="uV", physical_range=(-500, 500))
        for v, label in zip(values, labels, strict=True)
    ]
    annotations = [edfio.EdfAnnotation(start_s, end_s - start_s, text) for start_s, end_s, text in rows]
    edfio.Edf(signals, annotations=annotations).write(path)


def plain_edf(
    path: Path, fields: Sequence[tuple[str, str, int]], seconds: int, empty: Sequence[int] = ()
) -> np.ndarray:
    """Write an EDF of 1992, records of 1 s. fields : (label, unit, samples a second).

    empty : signals whose digital range is empty. Return the digital samples (n_signals, seconds * n) of equal rates.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    n = len(fields)
    low, high = (["0" if i in empty else text for i in range(n)] for text in ("-32768", "32767"))
    header = [(["0"], 8), (["X"], 80), (["X"], 80), (["01.01.00"], 8), (["00.00.00"], 8), ([str(256 * (n + 1))], 8)]
    header += [([""], 44), ([str(seconds)], 8), (["1"], 8), ([str(n)], 4)]
    header += [([label for label, _, _ in fields], 16), (["AgAgCl"] * n, 80), ([unit for _, unit, _ in fields], 8)]
    header += [(["-3276.8"] * n, 8), (["3276.7"] * n, 8), (low, 8), (high, 8), ([""] * n, 80)]
    header += [([str(rate) for _, _, rate in fields], 8), ([""] * n, 32)]
    text = "".join(word.ljust(width) for words, width in header for word in words)
    rng = np.random.default_rng(1)
    samples = [rng.integers(-300, 300, (seconds, rate)).astype("<i2") for _, _, rate in fields]
    first: dict[str, int] = {}
    for i, (label, _, _) in enumerate(fields):  # a label that comes twice has the same samples, as in CHB-MIT
        samples[i] = samples[first.setdefault(label, i)]
    body = b"".join(s[record].tobytes() for record in range(seconds) for s in samples)
    path.write_bytes(text.encode("ascii") + body)
    same_rate = [s.reshape(-1) for s in samples if s.shape == samples[0].shape]
    return np.stack(same_rate)


def eegmat(folder: Path, subjects: Sequence[int] = (0, 1)) -> Path:
    names = ("Fp1", "Fp2", "F3", "F4")
    for subject in subjects:
        for run in (1, 2):
            edf_plus(folder / f"Subject{subject:02d}_{run}.edf", names, 500, 6)
    (folder / "subject-info.csv").write_text("Subject,Age\nSubject00,21\n")
    return folder


def eegmmidb(folder: Path, subjects: Sequence[int] = (1, 2)) -> Path:
    for subject in subjects:
        for run in (1, 4, 8, 12):
            rows = [(0.0, 2.0, "T0"), (2.0, 4.1, "T1"), (4.1, 6.1, "T0"), (6.1, 8.2, "T2")]
            name = f"S{subject:03d}"
            edf_plus(
                folder / name / f"{name}R{run:02d}.edf", ("Fc5.", "C3..", "C4.."), 160, 10, rows if run > 1 else ()
            )
            (folder / name / f"{name}R{run:02d}.edf.event").write_bytes(b"## time resolution: 1000\n")
    return folder


def ssvep_exo(folder: Path, subjects: Sequence[int] = (1, 2)) -> Path:
    import mne

    for subject in subjects:
        home = folder / f"subject{subject:02d}"
        home.mkdir(parents=True, exist_ok=True)
        stamp = f"record-[2012.07.{subject:02d}-19.02.16]"
        info = mne.create_info(["Oz", "O1", "O2"], 256.0, "eeg", verbose="ERROR")
        raw = mne.io.RawArray(noise(3, 8000) * 700, info, verbose="ERROR")
        raw.save(home / f"{stamp}_raw.fif", verbose="ERROR")
        events = np.array([(256, 0, 1), (2048, 0, 4), (3840, 0, 2), (5632, 0, 3)])
        mne.write_events(home / f"{stamp}-eve.fif", events, verbose="ERROR")
    return folder


IMAGERY = ("769", "770", "771", "772")
GRAZ_A = ("EEG-Fz", *["EEG"] * 6, "EEG-C3", "EEG", "EEG-Cz", "EEG", "EEG-C4", *["EEG"] * 7, "EEG-Pz", *["EEG"] * 2)
GRAZ_B = ("EEG:C3", "EEG:Cz", "EEG:C4")


def bci_iv_2a(folder: Path, subjects: Sequence[int] = (1, 2)) -> Path:
    """A run of calibration, then eight trials of 7.5 s, the third of them rejected."""
    for s in subjects:
        eog = ("EOG-left", "EOG-central", "EOG-right")
        graz(folder / f"A0{s}T.gdf", (*GRAZ_A, *eog), IMAGERY * 2, cue_s=2.0)
        graz(folder / f"A0{s}E.gdf", (*GRAZ_A, *eog), IMAGERY * 2, cue_s=2.0, hidden=True)
    return folder


def bci_iv_2b(folder: Path, subjects: Sequence[int] = (1, 2)) -> Path:
    for s in subjects:
        eog = ("EOG:ch01", "EOG:ch02", "EOG:ch03")
        graz(folder / f"B0{s}01T.gdf", (*GRAZ_B, *eog), IMAGERY[:2] * 4, cue_s=3.0)
        graz(folder / f"B0{s}04E.gdf", (*GRAZ_B, *eog), IMAGERY[:2] * 4, cue_s=3.0, hidden=True)
    return folder


def graz(
    path: Path, labels: Sequence[str], codes: Sequence[str], *, cue_s: float, hidden: bool = False, bad: int = 2
) -> None:
    """Write a GDF 1.25 of the competition, and the label file of one that hides its classes."""
    import scipy.io
    from make_gdf import Gdf, gdf_bytes, table

    path.parent.mkdir(parents=True, exist_ok=True)
    sfreq, seconds = 250, 10 + 8 * len(codes)
    rng = np.random.default_rng(2)
    channels = [
        Gdf(label, rng.integers(-900, 900, sfreq * seconds), physical=(-100.0, 100.0), digital=(-1000, 1000))
        for label in labels
    ]
    rows = [(1, 32766, 0, 0), (1, 276, 0, 9 * sfreq)]
    for i, code in enumerate(codes):
        start = (10 + 8 * i) * sfreq + 1
        rows.append((start, 768, 0, int(7.5 * sfreq)))
        rows += [(start, 1023, 0, int(7.5 * sfreq))] * (i == bad)
        rows.append((start + int(cue_s * sfreq), 783 if hidden else int(code), 0, int(1.25 * sfreq)))
    events = table(rows, mode=3, sfreq=sfreq, version="1.25")
    path.write_bytes(gdf_bytes(channels, n_records=seconds, version="1.25", events=events))
    if hidden:
        truth = np.array([[int(code) - 768] for code in codes], float)
        scipy.io.savemat(path.with_suffix(".mat"), {"classlabel": truth})


STAGES: tuple[tuple[int, str], ...] = (
    (4, "Sleep stage W"),
    (2, "Sleep stage 1"),
    (3, "Sleep stage 2"),
    (1, "Sleep stage 3"),
    (2, "Sleep stage 4"),
    (1, "Movement time"),
    (2, "Sleep stage R"),
    (3, "Sleep stage W"),
    (4, "Sleep stage ?"),
)


def sleep_edf(folder: Path, nights: Sequence[str] = ("SC4001", "SC4002", "SC4011"), *, tail: int = 2) -> Path:
    """The PSG ends `tail` epochs before the hypnogram, as the unscored stretch often reaches beyond it."""
    fields = [
        *[("EEG Fpz-Cz", "uV", 100), ("EEG Pz-Oz", "uV", 100), ("EOG horizontal", "uV", 100)],
        *[("Resp oro-nasal", "", 1), ("EMG submental", "uV", 1), ("Temp rectal", "DegC", 1), ("Event marker", "", 1)],
    ]
    epochs = sum(n for n, _ in STAGES)
    for night in nights:
        home = folder / "sleep-cassette"
        plain_edf(home / f"{night}E0-PSG.edf", fields, 30 * (epochs - tail))
        hypnogram(home / f"{night}EC-Hypnogram.edf", STAGES)
    return folder


def hypnogram(path: Path, stages: Sequence[tuple[float, str]]) -> None:
    """Write stretches of (epochs of 30 s, label), one after the other."""
    import edfio

    ends = np.cumsum([n for n, _ in stages]) * 30.0
    rows = [edfio.EdfAnnotation(e - 30.0 * n, 30.0 * n, label) for e, (n, label) in zip(ends, stages, strict=True)]
    edfio.Edf([], annotations=rows).write(path)


CHB = ("FP1-F7", "F7-T7", "T8-P8", "P8-O2", "-", "FZ-CZ", "-", "T8-P8")


def chb_mit(folder: Path, cases: Sequence[str] = ("chb01", "chb02", "chb21")) -> Path:
    """Two recordings a case: 01 without, 03 with two seizures; chb02 names its one seizure without a number."""
    for case in cases:
        seizures = [(20, 25)] if case == "chb02" else [(10, 14), (30, 33)]
        for run in ("01", "03"):
            plain_edf(folder / case / f"{case}_{run}.edf", [(label, "uV", 256) for label in CHB], 40)
        channels = "".join(f"Channel {i}: {label}\n" for i, label in enumerate(CHB, start=1))
        text = f"Data Sampling Rate: 256 Hz\n{'*' * 25}\n\nChannels in EDF Files:\n{'*' * 22}\n{channels}\n"
        text += _summary(case, "01", []) + _summary(case, "03", seizures)
        (folder / case / f"{case}-summary.txt").write_text(text)
    return folder


def _summary(case: str, run: str, seizures: Sequence[tuple[int, int]]) -> str:
    lines = [f"File Name: {case}_{run}.edf", "File Start Time: 11:42:54", "File End Time: 11:43:34"]
    lines.append(f"Number of Seizures in File: {len(seizures)}")
    for i, (start, end) in enumerate(seizures, start=1):
        number = f" {i}" if len(seizures) > 1 else ""
        lines += [f"Seizure{number} Start Time: {start} seconds", f"Seizure{number} End Time: {end} seconds"]
    return "\n".join(lines) + "\n\n"


def tusz(folder: Path) -> Path:
    """One recording in each part; that of `train` has a seizure."""
    recordings = {
        "train/aaaaaaac/s001_2002/02_tcp_le/aaaaaaac_s001_t000": (
            "-LE",
            250,
            [(0.0, 8.25, "bckg"), (8.25, 20.0, "seiz")],
        ),
        "dev/aaaaaaaj/s002_2003/01_tcp_ar/aaaaaaaj_s002_t001": ("-REF", 256, [(0.0, 20.0, "bckg")]),
        "eval/aaaaaaaq/s003_2006/03_tcp_ar_a/aaaaaaaq_s003_t000": ("-REF", 400, [(0.0, 20.0, "bckg")]),
    }
    for name, (reference, sfreq, rows) in recordings.items():
        path = folder / "edf" / name
        labels = [(f"EEG {c}{reference}", "uV", sfreq) for c in ("FP1", "FP2", "T3", "CZ")]
        plain_edf(path.with_suffix(".edf"), labels, 20)
        text = f"# version = csv_v1.0.0\n# bname = {path.name}\n# duration = 20.00 secs\n"
        text += "# montage_file = $NEDC_NFC/lib/nedc_eas_default_montage.txt\n#\n"
        text += "channel,start_time,stop_time,label,confidence\n"
        text += "".join(f"TERM,{a:.4f},{b:.4f},{label},1.0000\n" for a, b, label in rows)
        path.with_suffix(".csv_bi").write_text(text)
        path.with_suffix(".csv").write_text(text.replace("TERM", "FP1-F7").replace("seiz", "fnsz"))
    return folder


def dandi(folder: Path) -> Path:
    """MC_Maze's layout: one monkey, a training and a test file; units, trials and hand velocity."""
    home = folder / "sub-Jenkins"
    nwb(home / "sub-Jenkins_ses-full_desc-train_behavior+ecephys.nwb")
    nwb(home / "sub-Jenkins_ses-full_desc-test_ecephys.nwb", behaviour=False)
    (folder / "dandiset.yaml").write_text("identifier: DANDI:000128\n")
    return folder


def neural_latents(folder: Path) -> Path:
    """MC_Maze as its dandiset has it."""
    return dandi(folder)


HMS_CHANNELS = "Fp1 F3 C3 P3 F7 T3 T5 O1 Fz Cz Pz Fp2 F4 C4 P4 F8 T4 T6 O2 EKG".split()  # noqa: SIM905
HMS_HEADER = (
    "eeg_id,eeg_sub_id,eeg_label_offset_seconds,spectrogram_id,spectrogram_sub_id,spectrogram_label_offset_seconds,"
    "label_id,patient_id,expert_consensus,seizure_vote,lpd_vote,gpd_vote,lrda_vote,grda_vote,other_vote"
)
HMS_ROWS = (
    "1001,0,0.0,2001,0,0.0,31,42,Seizure,3,0,0,0,0,0",
    "1001,1,6.0,2001,1,6.0,32,42,LPD,1,2,0,0,0,2",  # a tie
    "1002,0,0.0,2001,2,40.0,33,42,Other,0,0,0,0,1,4",
    "1003,0,4.0,2002,0,0.0,34,57,GRDA,0,1,0,2,9,0",
)


def hms(folder: Path) -> Path:
    """Two patients, three EEGs of 60 s (1002 with missing samples), two spectrograms; 1001 and 1002 share one."""
    import pyarrow as pa

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.csv").write_text("\n".join((HMS_HEADER, *HMS_ROWS)) + "\n")
    for seed, eeg in enumerate((1001, 1002, 1003)):
        values = (noise(len(HMS_CHANNELS), 60 * 200, seed) * 1e6).astype(np.float32)  # microvolts
        if eeg == 1002:
            values[3, 2000:2400] = np.nan
        columns = {name: pa.array(v, pa.float32()) for name, v in zip(HMS_CHANNELS, values, strict=True)}
        parquet(folder / "train_eegs" / f"{eeg}.parquet", columns)
    bands = [f"{region}_{0.59 + 0.195 * i:.2f}" for region in ("LL", "RL", "LP", "RP") for i in range(100)]
    for spectrogram in (2001, 2002):
        power = np.abs(noise(len(bands), 325, spectrogram) * 1e5).astype(np.float32)
        columns = {"time": pa.array(np.arange(1, 650, 2), pa.int64())}
        columns |= {name: pa.array(v, pa.float32()) for name, v in zip(bands, power, strict=True)}
        parquet(folder / "train_spectrograms" / f"{spectrogram}.parquet", columns)
    return folder


def parquet(path: Path, columns: dict[str, object]) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    pa.parquet.write_table(pa.table(columns), path)


IBL_SESSIONS = ("somelab/Subjects/SL_001/2020-01-15/001", "otherlab/Subjects/OL-07/2021-03-02/002")


def ibl(folder: Path) -> Path:
    """Two sessions: one with a trial table and two probes, the other with files of single columns and a revision."""
    first, second = (folder / name / "alf" for name in IBL_SESSIONS)
    ibl_probe(first / "probe00" / "pykilosort", seed=0)
    ibl_probe(first / "probe01" / "pykilosort", seed=1)
    ibl_probe(second / "probe00" / "pykilosort" / "#2024-05-06#", seed=2)
    columns = ibl_trials()
    parquet(first / "_ibl_trials.table.pqt", dict(columns))
    for name, values in columns.items():
        if not name.startswith("intervals"):
            np.save(second / f"_ibl_trials.{name}.npy", values)
    np.save(second / "_ibl_trials.intervals.npy", np.stack([columns["intervals_0"], columns["intervals_1"]], axis=1))
    for home in (first, second):
        rng = np.random.default_rng(3)
        t = np.sort(rng.uniform(0, 60, 400))
        np.save(home / "_ibl_wheel.timestamps.npy", t)
        np.save(home / "_ibl_wheel.position.npy", np.cumsum(rng.normal(size=400)) * 0.01)
        for side, rate in (("left", 60), ("right", 150)):
            n = 60 * rate
            np.save(home / f"_ibl_{side}Camera.times.npy", np.arange(n) / rate)
            np.save(home / f"{side}Camera.ROIMotionEnergy.npy", rng.gamma(2.0, size=n))
    return folder


def ibl_trials(n: int = 8) -> dict[str, np.ndarray]:
    """Return the columns of a trial table; trial 3 has no choice."""
    start = 2.0 + 6.0 * np.arange(n)
    left = np.where(np.arange(n) % 2 == 0, 0.25, np.nan)
    choice = np.where(np.arange(n) % 2 == 0, 1.0, -1.0)
    choice[3] = 0.0
    return {
        "intervals_0": start,
        "intervals_1": start + 5.0,
        "stimOn_times": start + 0.5,
        "feedback_times": start + 1.5,
        "choice": choice,
        "probabilityLeft": np.where(np.arange(n) < n // 2, 0.5, 0.8),
        "feedbackType": np.where(choice == 0, -1.0, 1.0),
        "contrastLeft": left,
        "contrastRight": np.where(np.isnan(left), 1.0, np.nan),
    }


def ibl_probe(folder: Path, seed: int) -> None:
    """Write 300 spikes of five clusters on a probe of eight channels."""
    import pyarrow as pa

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    np.save(folder / "spikes.times.npy", np.sort(rng.uniform(0, 60, 300)))
    np.save(folder / "spikes.clusters.npy", rng.integers(0, 4, 300).astype(np.uint32))  # cluster 4 is silent
    np.save(folder / "clusters.channels.npy", np.array([0, 2, 2, 5, 7]))
    np.save(folder / "clusters.depths.npy", np.array([20.0, 60.0, 65.0, 120.0, 160.0]))
    regions = np.array(["VISa", "VISa", "CA1", "CA1", "DG", "DG", "LP", "LP"])
    np.save(folder / "channels.brainLocationAcronyms_ccf_2017.npy", regions)
    metrics = {"cluster_id": pa.array([0, 1, 3]), "label": pa.array([1.0, 0.33, 1.0])}
    parquet(folder / "clusters.metrics.pqt", metrics)


def nwb(path: Path, *, behaviour: bool = True) -> None:
    """Write an NWB 2 file by hand: two units, three trials, a velocity at 1000 Hz."""
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        _typed(file, "NWBFile", nwb_version="2.4.0")
        for name in ("file_create_date", "session_start_time", "timestamps_reference_time"):
            value = "2009-09-12T00:00:00-07:00"
            file[name] = [value] if name == "file_create_date" else value
        file["identifier"] = "miniature"
        file["session_description"] = "delayed reaching"
        for name in (
            *("acquisition", "analysis", "processing", "stimulus/presentation", "stimulus/templates"),
            "general/subject",
        ):
            file.create_group(name)
        _typed(file["general/subject"], "Subject")
        file["general/subject/subject_id"] = "Jenkins"
        units = _table(file, "units", "Units", ["spike_times"])
        _column(units, "spike_times", np.array([0.5, 1.5, 2.5, 1.0, 1.25]), "VectorData")
        _column(units, "spike_times_index", np.array([3, 5], np.uint8), "VectorIndex")
        units["spike_times_index"].attrs["target"] = units["spike_times"].ref
        _column(units, "id", np.arange(2), "ElementIdentifiers")
        trials = _table(file, "intervals/trials", "TimeIntervals", ["start_time", "stop_time", "split"])
        _column(trials, "start_time", np.array([0.0, 1.0, 2.0]), "VectorData")
        _column(trials, "stop_time", np.array([0.9, 1.9, 2.9]), "VectorData")
        _column(trials, "split", np.array([b"train", b"train", b"val"]), "VectorData")
        _column(trials, "id", np.arange(3), "ElementIdentifiers")
        if behaviour:
            module = file.create_group("processing/behavior")
            _typed(module, "ProcessingModule", description="hand")
            velocity = module.create_group("hand_vel")
            _typed(velocity, "TimeSeries", description="hand velocity", comments="x, y")
            velocity["data"] = np.random.default_rng(0).normal(size=(3000, 2))
            velocity["data"].attrs.update({"unit": "mm/s", "conversion": 1.0, "resolution": -1.0})
            velocity["starting_time"] = 0.0
            velocity["starting_time"].attrs.update({"rate": 1000.0, "unit": "seconds"})


def _typed(group: object, name: str, **attributes: str) -> None:
    space = "hdmf-common" if name in ("VectorData", "VectorIndex", "ElementIdentifiers") else "core"
    group.attrs.update({"namespace": space, "neurodata_type": name, "object_id": f"id-{name}", **attributes})  # type: ignore[attr-defined]


def _table(file: object, name: str, kind: str, columns: Sequence[str]) -> object:
    table = file.create_group(name)  # type: ignore[attr-defined]
    _typed(table, kind, description=kind)
    table.attrs["colnames"] = list(columns)
    return table


def _column(table: object, name: str, values: np.ndarray, kind: str) -> None:
    table[name] = values  # type: ignore[index]
    _typed(table[name], kind, description=name)  # type: ignore[index]


def spykesml_arrays() -> dict[str, np.ndarray]:
    """Return counts of four neurons in 90 bins, and two coordinates of a hand."""
    rng = np.random.default_rng(0)
    return {"spikes": rng.poisson(1.0, (4, 90)), "hand": np.cumsum(rng.normal(size=(2, 90)), 1) * 0.01}


def spykesml(folder: Path) -> Path:
    """The repository's two files: one with neurons by bins, a third row of zeros and times, one the other way round."""
    from scipy.io import savemat

    made = spykesml_arrays()
    spikes, hand = made["spikes"].astype(np.uint8), made["hand"]
    space = np.concatenate([hand, np.zeros((1, 90))])
    (folder / "data").mkdir(parents=True)
    time = np.round(12.591 + 0.05 * np.arange(90), 3)
    m1 = {"spikes": spikes, "handVel": space, "handPos": 2 * space, "time": time}
    savemat(folder / "data" / "m1_stevenson_2011.mat", m1, do_compression=True)
    savemat(folder / "data" / "s1_data.mat", {"spikes": spikes.T, "vel": hand.T, "pos": 2 * hand.T})
    return folder


def ratgps_arrays(rat: str) -> tuple[np.ndarray, np.ndarray]:
    """Return counts of four neurons in 120 steps of 200 ms, and the place in the middle of each."""
    rng = np.random.default_rng(int(rat[1:]))
    return rng.poisson(0.3, (120, 4)), 50 + 20 * np.sin(np.arange(120)[:, None] / [7.0, 11.0])


def ratgps(folder: Path) -> Path:
    """R1 in the arena with bins of 200 ms; R2 in overlapping windows alone."""
    ratgps_pair(folder / "2D" / "data" / "R1_1x200_at5_step200_bin100-RAW", "R1", 1)
    ratgps_pair(folder / "2D" / "data" / "R2_1x1400_at35_step200_bin100-RAW", "R2", 7)
    return folder


def ratgps_pair(stem: Path, rat: str, steps: int, columns: int = 2) -> None:
    """Write the counts of a rat in windows of some steps of 200 ms, and where it was in the middle of each."""
    counts, position = ratgps_arrays(rat)
    n = len(counts) - steps + 1
    stem.parent.mkdir(parents=True, exist_ok=True)
    rows = np.stack([counts[i : i + steps].sum(0) for i in range(n)])
    np.savetxt(stem.with_name(f"{stem.name}_feat.dat"), rows, fmt="%d")
    middle = position[steps // 2 :][:n, :columns]
    np.savetxt(stem.with_name(f"{stem.name}_pos.dat"), middle, fmt="%.4f")


# kind -> (the name of its folder under the data folder, what builds it)
def bonn(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return pack(folder / "bonn.zip", bonn_members(10)).parent


def delhi(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return pack(folder / "delhi.zip", delhi_members(10)).parent


MINIATURES: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "eegmat": ("eegmat", eegmat),
    "eegmmidb": ("eegmmidb", eegmmidb),
    "ssvep_exo": ("ssvep-exo", ssvep_exo),
    "bci_iv_2a": ("bci-iv-2a", bci_iv_2a),
    "bci_iv_2b": ("bci-iv-2b", bci_iv_2b),
    "sleep_edf": ("sleep-edfx", sleep_edf),
    "chb_mit": ("chbmit", chb_mit),
    "tusz": ("tuh_eeg_seizure", tusz),
    "dandi": ("dandi/000128", dandi),
    "neural_latents": ("dandi/000128", neural_latents),
    "hms": ("hms-harmful-brain-activity-classification", hms),
    "ibl": ("ibl", ibl),
    "spykesml": ("spykesml", spykesml),
    "ratgps": ("ratgps", ratgps),
    "bonn": ("bonn-delhi", bonn),
    "delhi": ("bonn-delhi", delhi),
}
