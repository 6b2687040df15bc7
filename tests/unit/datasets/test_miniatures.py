"""Every published dataset is read from a miniature in its public layout."""

from __future__ import annotations

from pathlib import Path

import pytest
from miniatures import MINIATURES

from neural_foundation.datasets import DATASETS, Files
from neural_foundation.datasets.base import DATA_FOLDER
from neural_foundation.datasets.fetch import fetchable

every_kind = pytest.mark.parametrize("kind", MINIATURES)


def dataset(kind: str) -> Files:
    spec = DATASETS.parse({"kind": kind, **({"dandiset": "000128"} if kind == "dandi" else {})})
    assert isinstance(spec, Files)
    return spec


@pytest.fixture
def miniature(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nwb_reader: None, gdf_reader: None
) -> tuple[Files, Path]:
    name, build = MINIATURES[kind]
    monkeypatch.setenv(DATA_FOLDER, str(tmp_path))
    return dataset(kind), build(tmp_path / name)


def test_no_dataset_is_listed_without_a_miniature() -> None:
    assert {name.partition(":")[0] for name in fetchable()} == set(MINIATURES)


@every_kind
def test_every_recording_opens_with_trials_of_its_classes(miniature: tuple[Files, Path], tmp_path: Path) -> None:
    spec, root = miniature
    items = spec.items()
    assert len({i.id for i in items}) == len(items) >= 2
    before = sorted(root.rglob("*"))
    for item in items:
        with spec.open(item, tmp_path) as session:
            assert (session.session_id, session.subject) == (item.id, item.subject)
            assert len(session.trials) > 0 or not spec.classes()
            if spec.classes():
                assert set(session.trials.label) <= set(spec.classes())
            assert session.signals or session.spikes
            for signal in session.signals.values():
                n = min(10, signal.n_times)
                assert signal.read(0, n).shape == (signal.spec.n_chans, n)
                assert (session.trials.start_s >= signal.start_s).all()
                assert (session.trials.end_s <= signal.start_s + signal.duration_s + 1e-9).all()
    assert sorted(root.rglob("*")) == before


@every_kind
def test_the_published_names_are_the_files_that_are_read(miniature: tuple[Files, Path]) -> None:
    spec, root = miniature
    read = {(str(f.relative_to(root)), i.subject) for i in spec.items() for f in spec.raw_files(i)}
    shared = {pair for pair in read if pair[0] in spec.shared}
    told = spec.shared if all(spec.rows_digest(i) for i in spec.items()) else ()  # by its own rows of it
    assert {name for name, _ in shared} | set(told) == set(spec.shared), "what is everybody's decides, too"
    read -= shared
    there = [str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()]
    assert {(name, s) for name in there if (s := spec.subject_of(name)) is not None} == read


@every_kind
def test_subjects_are_chosen_by_their_published_names(miniature: tuple[Files, Path]) -> None:
    spec, _ = miniature
    first = spec.items()[0].subject
    fewer = spec.model_copy(update={"subjects": (first,)})
    assert {i.subject for i in fewer.items()} == {first}
