"""simulated_hms: the competition's layout to the letter, votes from a known truth, patterns that are what they say."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import welch

from neural_foundation.core.errors import DataError, MissingExtraError, SpecError, StoreError
from neural_foundation.datasets import DATASETS
from neural_foundation.datasets.base import Item
from neural_foundation.datasets.hms import CHANNELS, HMS
from neural_foundation.datasets.hms_table import CLASSES
from neural_foundation.datasets.simulated.icu import SimulatedHMS
from neural_foundation.datasets.simulated.icu_brain import patch
from neural_foundation.datasets.simulated.icu_files import HEADER, eeg_values, rows_of, write_layout
from neural_foundation.datasets.simulated.icu_plan import Plan, eeg_ids, plan, presence
from neural_foundation.datasets.simulated.icu_spectrogram import HZ, band_names, chain_power
from neural_foundation.datasets.simulated.icu_truth import (
    N_EXPERTS,
    cast,
    consensus,
    floor,
    opinions,
    true_probabilities,
    truth,
    vote_floor,
)

pq = pytest.importorskip("pyarrow.parquet")

COLUMNS = (
    "eeg_id,eeg_sub_id,eeg_label_offset_seconds,spectrogram_id,spectrogram_sub_id,spectrogram_label_offset_seconds,"
    "label_id,patient_id,expert_consensus,seizure_vote,lpd_vote,gpd_vote,lrda_vote,grda_vote,other_vote"
)
SMALL = SimulatedHMS(patients=3, eegs=2, rows=3, nan_share=0.5)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hms")
    SMALL.write(folder)
    return folder


def plans(spec: SimulatedHMS) -> Iterator[Plan]:
    for number in range(1, spec.patients + 1):
        for eeg in eeg_ids(spec, number):
            yield plan(spec, eeg)


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_table_is_the_competition_s(written: Path) -> None:
    lines = (written / "train.csv").read_text().splitlines()
    assert lines[0] == COLUMNS == ",".join(HEADER)
    rows = list(csv.DictReader(lines))
    assert len({row["label_id"] for row in rows}) == len(rows)
    for row in rows:
        votes = [int(row[f"{name.lower()}_vote"]) for name in CLASSES]
        assert 3 <= sum(votes) <= 20
        assert votes[CLASSES.index(row["expert_consensus"])] == max(votes)
        assert (written / "train_eegs" / f"{row['eeg_id']}.parquet").is_file()
        assert (written / "train_spectrograms" / f"{row['spectrogram_id']}.parquet").is_file()
    subs = [int(row["eeg_sub_id"]) for row in rows if row["eeg_id"] == rows[0]["eeg_id"]]
    assert subs == list(range(len(subs)))


def test_an_eeg_is_the_competition_s(written: Path) -> None:
    for made in plans(SMALL):
        table = pq.read_table(written / "train_eegs" / f"{made.eeg}.parquet")
        assert tuple(table.column_names) == CHANNELS
        assert CHANNELS[0] == "Fp1"
        assert CHANNELS[-3:] == ("T6", "O2", "EKG")
        assert {str(kind) for kind in table.schema.types} == {"float"}
        assert table.num_rows == 200 * (50 + made.offsets[-1])
        scalp = np.stack([table[name].to_numpy() for name in CHANNELS[:-1]])
        assert 5 < np.nanstd(scalp) < 150, "microvolts"


def test_a_spectrogram_is_the_competition_s(written: Path) -> None:
    bands = band_names()
    assert bands[:4] + bands[12:15] == ["0.59", "0.78", "0.98", "1.17", "2.93", "3.13", "3.32"]
    assert bands[18] == "4.1"
    assert bands[77:79] + bands[-1:] == ["15.63", "15.82", "19.92"]
    made = next(plans(SMALL))
    table = pq.read_table(written / "train_spectrograms" / f"{made.spectrogram}.parquet")
    assert table.column_names == ["time", *(f"{r}_{b}" for r in ("LL", "RL", "LP", "RP") for b in bands)]
    assert str(table.schema.field("time").type) == "int64"
    np.testing.assert_array_equal(table["time"], np.arange(1, 600 + made.offsets[-1], 2))


def test_it_is_read_as_hms_reads_it(written: Path) -> None:
    spec = HMS(path=written)
    assert [i.id for i in spec.items()] == [i.id for i in SMALL.items()]
    assert [i.subject for i in spec.items()] == [i.subject for i in SMALL.items()]
    for item in spec.items():
        with spec.open(item, written) as session:
            assert tuple(session.signals) == ("eeg", "spectrogram")
            assert len(session.trials) == len(plan(SMALL, int(item.id)).offsets)
            made = truth(written, item.id)
            votes = np.stack([session.trials.facts[name] for name in spec.votes()], 1)  # type: ignore[attr-defined]
            np.testing.assert_array_equal(votes, made["votes"])
            assert [label for *_, label in session.trials] == consensus(votes)


def test_one_eeg_is_opened_as_in_the_whole_set(written: Path, tmp_path: Path) -> None:
    item = SMALL.items()[-1]
    with SMALL.open(item, tmp_path) as session, HMS(path=written).open(HMS(path=written).items()[-1], written) as whole:
        assert session.session_id == item.id
        assert session.subject == item.subject
        assert list(session.trials) == list(whole.trials)
        np.testing.assert_array_equal(session.signal.read(), whole.signal.read())
        np.testing.assert_array_equal(session["spectrogram"].read(), whole["spectrogram"].read())
    assert SMALL.votes() == HMS().votes()
    assert SMALL.classes() == CLASSES
    one, all_files = files(tmp_path), files(written)
    assert len(one) == 4
    assert all(all_files[name] == content for name, content in one.items() if name != "train.csv")


def test_a_patient_does_not_depend_on_the_others(tmp_path: Path) -> None:
    few, many = (SimulatedHMS(patients=n, eegs=1, rows=2, spectrogram=False) for n in (1, 40))
    assert few.items() == many.items()[:1]
    for name, spec in {"few": few, "many": many, "again": many}.items():
        spec.open(few.items()[0], tmp_path / name).close()
    assert files(tmp_path / "few") == files(tmp_path / "many") == files(tmp_path / "again")
    assert not (tmp_path / "few" / "train_spectrograms").exists()
    eeg = int(few.items()[0].id)
    first, other = (eeg_values(spec, plan(spec, eeg)) for spec in (few, SimulatedHMS(seed=1, rows=1)))
    assert not np.array_equal(first[:, :1000], other[:, :1000])


def test_leaving_a_part_out_leaves_the_others() -> None:
    clean = SimulatedHMS(patients=4, artefacts=0, nan_share=0)
    for made in plans(clean):
        lossy = SimulatedHMS(patients=4, artefacts=0, nan_share=1.0)
        values, with_nan = eeg_values(clean, made), eeg_values(lossy, plan(lossy, made.eeg))
        lost = np.isnan(with_nan)
        assert lost.any()
        assert not lost.all()
        assert not np.isnan(values).any()
        np.testing.assert_array_equal(values[~lost], with_nan[~lost])
        assert rows_of(clean, made) == rows_of(lossy, plan(lossy, made.eeg))


def test_the_truth_is_a_distribution_and_the_mean_opinion() -> None:
    spec = SimulatedHMS(patients=20)
    for made in plans(spec):
        p = true_probabilities(spec, made)
        np.testing.assert_allclose(p.sum(1), 1.0)
        assert (p >= 0.03 / 6 - 1e-12).all()
        np.testing.assert_allclose(opinions(spec, made).sum(-1), 1.0)
        assert opinions(spec, made).shape == (N_EXPERTS, len(made.offsets), 6)
        votes = cast(spec, made)
        assert ((votes.sum(1) >= 3) & (votes.sum(1) <= 20)).all()
        np.testing.assert_array_equal(votes, cast(spec, made))


def test_votes_have_the_truth_as_their_mean() -> None:
    spec, rng = SimulatedHMS(patients=8, least_experts=7, most_experts=7), np.random.default_rng(0)
    for made in list(plans(spec))[:2]:
        shares = np.mean([cast(spec, made, rng) / 7 for _ in range(700)], 0)
        np.testing.assert_allclose(shares, true_probabilities(spec, made), atol=0.035)


def test_experts_agree_on_what_is_evident_and_not_on_what_is_weak() -> None:
    spec = SimulatedHMS(patients=1)
    made = next(plans(spec))
    clear = replace(made, strength=20.0, sharp=3.0, lateral=3.0, evolve=-3.0, onset_s=-1e4, end_s=1e4)
    assert true_probabilities(spec, clear)[:, CLASSES.index("LPD")].min() > 0.95
    for changed, name in (
        ({"lateral": -3.0}, "GPD"),
        ({"sharp": -3.0}, "LRDA"),
        ({"sharp": -3.0, "lateral": -3.0}, "GRDA"),
        ({"evolve": 3.0}, "Seizure"),
        ({"strength": 0.01}, "Other"),
    ):
        assert true_probabilities(spec, replace(clear, **changed))[:, CLASSES.index(name)].min() > 0.95  # type: ignore[arg-type]
    assert true_probabilities(spec, replace(clear, sharp=0.0)).max() < 0.7
    away = replace(clear, onset_s=45.0, end_s=60.0, offsets=np.zeros(1))
    assert true_probabilities(spec, away)[0, CLASSES.index("Other")] > 0.95, "a pattern outside the 10 s is not seen"
    alike = SimulatedHMS(patients=1, disagreement=0)
    assert np.ptp(opinions(alike, made), 0).max() < 1e-12
    assert np.ptp(opinions(spec, made), 0).max() > 1e-3


def test_classes_come_about_as_often_as_published() -> None:
    spec = SimulatedHMS(patients=350)
    words = [word for made in plans(spec) for word in consensus(cast(spec, made))]
    shares = [words.count(name) / len(words) for name in CLASSES]
    np.testing.assert_allclose(shares, [0.20, 0.18, 0.16, 0.14, 0.16, 0.18], atol=0.06)


def test_the_floor_is_that_of_many_draws() -> None:
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.full(6, 0.5), 5)
    n = np.array([3, 3, 7, 12, 20])
    drawn = []
    for _ in range(4000):
        shares = np.stack([rng.multinomial(k, row) / k for k, row in zip(n, p, strict=True)])
        drawn.append((shares * np.log(np.where(shares > 0, shares / p, 1.0))).sum(1).mean())
    votes = np.stack([rng.multinomial(k, row) for k, row in zip(n, p, strict=True)])
    got = vote_floor(votes, p)
    assert got.expected_kl == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / np.sqrt(len(drawn)))
    shares = votes / n[:, None]
    terms = [s * np.log(s / q) for s, q in zip(shares.ravel(), p.ravel(), strict=True) if s > 0]
    assert got.kl == pytest.approx(sum(terms) / 5)
    assert got.entropy == pytest.approx(-sum(s * np.log(s) for s in shares.ravel() if s > 0) / 5)
    assert vote_floor(np.array([[1, 0, 0]]), np.array([[1.0, 0.0, 0.0]])).expected_kl == 0.0


def test_nothing_beats_the_truth_on_average() -> None:
    spec = SimulatedHMS(patients=100)
    got = floor(spec)
    assert 0.15 < got.kl < 0.35
    assert got.kl == pytest.approx(got.expected_kl, abs=0.03), "a panel is nearly as good as experts drawn one by one"
    assert got.frequency_kl > 4 * got.kl
    votes = np.concatenate([cast(spec, made) for made in plans(spec)])
    p = np.concatenate([true_probabilities(spec, made) for made in plans(spec)])
    for other in (0.9 * p + 0.1 / 6, p**1.2 / (p**1.2).sum(1, keepdims=True)):
        assert vote_floor(votes, other).kl > got.kl


@pytest.mark.parametrize(
    ("votes", "p", "message"),
    [
        ([[1, 0]], [[0.5, 0.5], [0.5, 0.5]], "the shape .1, 2.*the probabilities .2, 2"),
        ([[0, 0]], [[0.5, 0.5]], "at least 1 vote"),
        ([[1.5, 0]], [[0.5, 0.5]], "Votes are not counts"),
        ([[1, 0]], [[0.5, 0.6]], "is no distribution"),
    ],
)
def test_the_floor_refuses(votes: list[list[float]], p: list[list[float]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        vote_floor(np.array(votes), np.array(p))


def clear_eeg(**changes: object) -> tuple[SimulatedHMS, Plan, np.ndarray]:
    """Return a strong continuous pattern without artefacts, (20, n)."""
    spec = SimulatedHMS(patients=1, artefacts=0, nan_share=0)
    steady = {"strength": 5.0, "sharp": 2.0, "lateral": 2.0, "evolve": -2.0, "onset_s": -1e4, "end_s": 1e4}
    fixed = {"rate_hz": 1.0, "fast_hz": 4.0, "right": False, "region": "T7", "bursts": False, "length_s": 50.0}
    made = replace(next(plans(spec)), offsets=np.zeros(1), **{**steady, **fixed, **changes})  # type: ignore[arg-type]
    return spec, made, eeg_values(spec, made)


def peak_hz(values: np.ndarray, low: float = 0.6) -> float:
    hz, power = welch(values, 200, nperseg=min(len(values), 2000))
    inside = (hz >= low) & (hz <= 12)
    return float(hz[inside][power[inside].argmax()])


def test_discharges_and_waves_are_where_and_as_fast_as_they_should_be() -> None:
    left, right = CHANNELS.index("T3"), CHANNELS.index("T4")
    _, _, lpd = clear_eeg()
    assert lpd[left].std() > 2 * lpd[right].std()
    _, _, mirrored = clear_eeg(right=True)
    assert mirrored[right].std() > 2 * mirrored[left].std()
    _, _, gpd = clear_eeg(lateral=-2.0)
    assert 0.5 < gpd[left].std() / gpd[right].std() < 2.0
    _, _, waves = clear_eeg(sharp=-2.0, rate_hz=2.0)
    assert peak_hz(waves[left]) == pytest.approx(2.0, abs=0.2)

    def kurtosis(x: np.ndarray) -> float:
        return float((((x - x.mean()) / x.std()) ** 4).mean())

    assert kurtosis(lpd[left]) > kurtosis(waves[left]) + 1.0, "discharges stand out, waves do not"


def test_a_seizure_evolves_in_frequency_amplitude_and_place() -> None:
    _, made, values = clear_eeg(evolve=2.5, sharp=-2.0, onset_s=5.0, end_s=45.0)
    left, right = CHANNELS.index("T3"), CHANNELS.index("T4")
    parts = {"early": slice(1200, 2400), "middle": slice(3000, 5000), "late": slice(7000, 9000)}
    hz = {name: peak_hz(values[left, part], 1.0) for name, part in parts.items()}
    assert hz["late"] < hz["middle"]
    ratio = {name: values[right, part].std() / values[left, part].std() for name, part in parts.items()}
    assert ratio["late"] > 1.5 * ratio["early"]
    course = presence(made, np.array([4.0, 8.0, 30.0, 46.0]))
    assert course[0] == course[3] == 0.0
    assert course[2] > 1.3 * course[1]


def test_a_source_is_seen_less_and_less_away_from_it() -> None:
    field, mirrored = patch("T7", False, 0.03), patch("T7", True, 0.03)
    names = CHANNELS[:-1]
    assert names[int(np.abs(field).argmax())] == "T3"
    assert names[int(np.abs(mirrored).argmax())] == "T4"
    away = [field[names.index(name)] for name in ("T3", "C3", "Fz", "C4")]
    assert away == sorted(away, reverse=True)


def test_the_heart_beats_in_its_channel() -> None:
    spec = SimulatedHMS(patients=1, artefacts=0, nan_share=0)
    beats = eeg_values(spec, next(plans(spec)))[-1]
    high = beats > 0.55 * beats.max()
    n = int((np.diff(high.astype(int)) == 1).sum())
    assert 45 < n * 60 / (len(beats) / 200) < 130


def test_chain_power_is_a_density() -> None:
    t = np.arange(0, 40, 1 / HZ)
    scalp = np.zeros((19, len(t)), np.float32)
    scalp[CHANNELS.index("F7")] = 10 * np.sin(2 * np.pi * 5.0 * t)
    power = chain_power(scalp, ("Fp1", "F7", "T3", "T5", "O1"), 20)
    assert power.shape == (100, 20)
    total = power[:, 5:15].sum(0) * HZ / 256
    np.testing.assert_allclose(total, 2 * 50.0 / 4, rtol=0.02)  # two of four channels hold 10 uV of amplitude
    assert float(band_names()[int(power[:, 8].argmax())]) == pytest.approx(5.0, abs=0.15)
    pulse = np.zeros((19, len(t)), np.float32)
    pulse[CHANNELS.index("F7"), round(21 * HZ)] = 100.0
    assert chain_power(pulse, ("Fp1", "F7", "T3", "T5", "O1"), 20).sum(0).argmax() == 10, "row 10 holds 20 to 22 s"


def test_the_spectrogram_is_the_eeg_s_own(tmp_path: Path) -> None:
    spec = SimulatedHMS(patients=6, eegs=1, rows=1, nan_share=1.0)
    seen = 0
    for item in spec.items()[:3]:
        with spec.open(item, tmp_path / item.id) as session:
            bands, eeg = session["spectrogram"], session.signal
            assert (bands.start_s, bands.n_times) == (-275.0 + 1.0, 300), "a row's time is its middle"
            lost = np.flatnonzero(~eeg.valid())
            scalp = np.isnan(eeg_values(spec, plan(spec, int(item.id)))[:-1]).any(0)
            rows = np.unique((np.flatnonzero(scalp) / 200 + 275) // 2).astype(int)
            np.testing.assert_array_equal(np.flatnonzero(~bands.valid()), rows)
            seen += len(lost)
    assert seen


def test_what_is_refused(tmp_path: Path) -> None:
    for fields, message in (
        ({"path": "x"}, "a simulated dataset has no path"),
        ({"least_experts": 9, "most_experts": 4}, "least_experts is 9, most_experts only 4"),
        ({"patients": 0}, "patients"),
        ({"eegs": 10}, "eegs"),
        ({"most_experts": 29}, "most_experts"),
        ({"nan_share": 1.5}, "nan_share"),
        ({"snr": 0.0}, "snr"),
    ):
        with pytest.raises(SpecError, match=message):
            DATASETS.parse({"kind": "simulated_hms", **fields})
    item = SMALL.items()[0]
    with pytest.raises(DataError, match=f"No simulated EEG '{item.id[:-1]}'.*Did you mean"):
        SMALL.open(Item(item.id[:-1], item.subject), tmp_path)
    with pytest.raises(DataError, match="of patient '7'"):
        SMALL.open(Item(item.id, "7"), tmp_path)
    with pytest.raises(StoreError, match="is missing"):
        truth(tmp_path, item.id)


def test_it_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "not how it does on people" in SMALL.info.note
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match="tables"):
        SMALL.open(SMALL.items()[0], tmp_path)
    assert files(tmp_path) == {}


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    write_layout(SimulatedHMS(patients=2, eegs=1, rows=1, artefacts=5), tmp_path, lambda *at: told.append(at))
    assert told == [(1, 2), (2, 2)]
