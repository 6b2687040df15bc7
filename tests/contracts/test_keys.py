"""The lineage law on keys: each field of each kind that changes results changes the key, each that does not, does not.

A field's other value is found by trying: the words of its type, then a pool of plain values, until one is accepted.
What only goes together with another field (as many scales as resonators) stands in `TOGETHER`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import ValidationError

from neural_foundation.core.errors import NeuralFoundationError, SpecError
from neural_foundation.core.kinds import HOMES, KindTable, table_of
from neural_foundation.core.specs import SignalSpec, Spec, TargetSpec, digest, identity
from neural_foundation.learning.table import OBJECTIVES
from neural_foundation.models.table import MODELS
from neural_foundation.pipeline.table import STAGES

# not those that other tests register in the same process
OURS = "neural_foundation."
KINDS = [(r, kind) for r in HOMES for kind in table_of(r) if table_of(r).row(kind).load().__module__.startswith(OURS)]
every_kind = pytest.mark.parametrize(("room", "kind"), KINDS, ids=[f"{r}-{k}" for r, k in KINDS])

# what a kind cannot be made without
NEEDED: dict[str, dict[str, Any]] = {
    "resample": {"sfreq": 125},
    "scale": {"gain": 2.0},
    "ica": {"channels": ["C3", "C4"], "matrix": [[1.0, 0.0], [0.0, 1.0]]},
    "bandpass": {"low_hz": 1.0, "high_hz": 40.0},
    "bandstop": {"low_hz": 20.0, "high_hz": 30.0},
    "smooth": {"width_s": 0.1},
    "phase": {"low_hz": 8.0, "high_hz": 12.0},
    "wavelet": {"frequencies": [10.0, 20.0]},
    "pick": {"channels": ["Cz"]},
    "dandi": {"dandiset": "000128"},
    "gradient": {"objective": "classify"},
    "package": {"path": "runs/neds-pretrain/pretrain/seed-0-0123456789abcdef"},
    "prepare": {"dataset": "simulated_motor_imagery"},
    "bin": {"dataset": "simulated_motor_imagery"},
    "fit": {"learner": "estimator"},
    "fit_trials": {"learner": "estimator"},
    "file": {"path": "/x"},
    "lsl": {"name": "x"},
}
LAYOUT = {"signals": {"lfp": {"values": "x", "sfreq": 100, "unit": "V"}}}
# fields that need another one beside them
SPECTRAL = ("band_powers", "connectivity", "spectral", "spectrogram")
TOGETHER: dict[tuple[str, str], dict[str, Any]] = {
    ("gradient", "tracking"): {"tracking": ["mlflow"]},
    ("mlflow", "uri"): {"uri": "https://tracking.example"},
    ("wandb", "mode"): {"mode": "online"},
    ("neds", "context"): {"causal": True, "context": "stream"},
    ("multiscale", "scales_s"): {"scales_s": [0.01, 0.1, 0.5, 1.0]},
    ("multiscale", "resonators"): {"resonators": [4, 6, 16, 40]},
    ("naive_bayes", "ahead"): {"memory": True, "ahead": True},
    ("multimodal", "resample"): {"resample": {"by": ["position"]}},
    ("bandpass", "phase"): {"method": "fir", "phase": "minimum"},
    ("bandpass", "settle"): {"settle": False},
    **{(k, "ripple_db"): {"design": "cheby1", "ripple_db": 1.0} for k in ("bandpass", "bandstop")},
    **{(k, "stop_db"): {"design": "cheby2", "stop_db": 60.0} for k in ("bandpass", "bandstop")},
    ("bandstop", "low_hz"): {"low_hz": 25.0},
    ("phase", "low_hz"): {"low_hz": 9.0},
    ("interpolate", "to"): {"to": ["C3", "C4"]},
    ("laplacian", "stiffness"): {"method": "spline", "stiffness": 3},
    ("laplacian", "ridge"): {"method": "spline", "ridge": 1e-4},
    **{(k, "bandwidth_hz"): {"method": "multitaper", "bandwidth_hz": 3.0} for k in SPECTRAL},
    **{
        (k, "bands"): {"bands": {"low": [3.0, 7.0]}}
        for k in ("band_powers", "boosted_trees", "connectivity", "lfp_bands")
    },
    ("connectivity", "pairs"): {"pairs": [["C3", "Cz"]]},
    ("spectrogram", "n_mels"): {"method": "mel", "n_mels": 30},
    ("spectrogram", "mel_corner_hz"): {"method": "mel", "mel_corner_hz": 8.0},
    ("wavelet", "n_cycles"): {"n_cycles": 5.0},
    ("ica", "channels"): {"channels": ["x", "y"]},
    ("ica", "matrix"): {"matrix": [[1.0, 0.5], [0.0, 1.0]]},
    ("pick", "types"): {"channels": [], "types": ["eeg"]},
    ("reference", "pairs"): {"pairs": [["C3", "Cz"]]},
    ("split", "subjects"): {"subjects": ["S1"]},
    ("spectrogram_efficientnet", "pretrained_or_scratch"): {"pretrained": "x", "pretrained_or_scratch": True},
    ("tangent_space", "frequencies"): {"bands": [], "frequencies": [7.0, 9.0]},
    ("recordings", "events"): {"events": {"l": "left", "r": "right", "f": "foot"}},
    **{(kind, "layout"): {"layout": LAYOUT} for kind in ("csv", "mapped_hdf5", "mat", "npy", "parquet")},
    ("dandi", "dandiset"): {"dandiset": "000129"},
    ("dandi", "version"): {"version": "draft"},
    ("dandi", "events"): {"events": {"l": "left", "r": "right"}},
    ("neural_latents", "version"): {"version": "draft"},
    ("neural_latents", "events"): {"events": {"l": "left", "r": "right"}},
    ("prepare", "dataset"): {"dataset": {"kind": "simulated_motor_imagery", "erd": 0.5}},
    ("bin", "dataset"): {"dataset": {"kind": "simulated_motor_imagery", "erd": 0.5}},
    ("bin", "lfp"): {"lfp": {"source": "lfp"}},
    ("bin", "dynamic"): {"dynamic": {"wheel_speed": {"source": "wheel"}}},
    ("bin", "static"): {"static": {"choice": {"classes": ["left", "right"]}}},
    ("prepare", "signals"): {"signals": [{"kind": "notch", "hz": 60}]},
    ("prepare", "windows"): {"windows": {"length_s": 3.0}},
    ("export", "formats"): {"formats": ["onnx", "torch"]},
    ("evaluate", "alarms"): {"alarms": {"event": "preictal"}},
    ("fit", "windows"): {"windows": {"length_s": 3.0}},
    ("fit", "model"): {"model": {"kind": "band_power", "segment_s": 1.0}},
    ("fit", "learner"): {"learner": {"kind": "gradient", "objective": {"kind": "masked", "span_s": 0.3}}},
    ("fit_trials", "model"): {"model": "neds"},
    ("fit_trials", "learner"): {"learner": {"kind": "gradient", "objective": "multimodal"}},
    ("multimodal", "schemes"): {"schemes": {"neural": 1.0}},
    ("gradient", "objective"): {"objective": {"kind": "classify", "rise": 2.0}},
    ("gradient", "sampler"): {"objective": "masked", "sampler": "ordered"},
    ("gradient", "augment"): {"augment": {"gain": 0.3}},
    ("contrastive", "views"): {"views": {"gain": 0.3}},
    ("lsl", "unit"): {"unit": "uV"},
    ("file", "path"): {"path": "/y"},
}
POOL: tuple[Any, ...] = (
    *(True, False, 2, 3, 5, 7, 1, 16, 0.3, 0.25, 0.015, 1.5, 3.3, 11.0, 30.0, 150.0, 300),
    *("x", "/x", ["x"], ["x", "y"], [3.0, 7.0], [[3.0, 7.0]], {"x": 9.0, "y": 11.0}, {"x": ["y"]}),
)
# by design: which stages bring the inputs, and over what a stage fans out, enter its keys on their own
ELSEWHERE = {"inputs", "for_each"}


def words(annotation: Any) -> Iterator[Any]:
    """Yield the literals anywhere in a type, each alone and as the only entry of a list."""
    if get_origin(annotation) is Literal:
        for word in get_args(annotation):
            yield from (word, [word])
    for inner in get_args(annotation):
        if get_origin(annotation) is not Literal:
            yield from words(inner)


def whole(table: KindTable, kind: str) -> Spec:
    return table.parse({"kind": kind, **NEEDED.get(kind, {})})


def changed(table: KindTable, spec: Spec, name: str) -> Spec:
    """Return the spec with another value in one field; the test fails where none is accepted."""
    kind = spec.kind  # type: ignore[attr-defined]
    together = TOGETHER.get((kind, name))
    tries = [together] if together else [{name: v} for v in (*words(type(spec).model_fields[name].annotation), *POOL)]
    for fields in tries:
        try:
            other = table.parse({"kind": kind, **NEEDED.get(kind, {}), **fields})
        except (NeuralFoundationError, ValidationError):
            continue
        if getattr(other, name) != getattr(spec, name):
            return other
    raise AssertionError(f"no other value for {kind}.{name} in POOL: add one to TOGETHER")


def fields() -> Iterator[tuple[str, str, str]]:
    for room, kind in KINDS:
        for name in table_of(room).row(kind).load().model_fields:
            if name != "kind":
                yield room, kind, name


# estimators and networks of whole windows refuse context 'stream', what is simulated has no path: nothing to change
FIXED = {
    *((kind, "context") for kind in MODELS if MODELS.row(kind).load().family == "estimator"),  # type: ignore[attr-defined]
    *((kind, "context") for kind in ("resnet_gru", "spectrogram_efficientnet", "squeezeformer")),
    ("simulated_hms", "path"),
    ("simulated_motor_imagery", "path"),
    ("simulated_neurofeedback", "path"),
    ("simulated_seizures", "path"),
    ("simulated_sessions", "path"),
    ("simulated_sleep", "path"),
}
FIELDS = [f for f in fields() if (f[1], f[2]) not in FIXED]


@pytest.mark.parametrize(("room", "kind", "name"), FIELDS, ids=["-".join(f) for f in FIELDS])
def test_each_field_changes_the_key_or_says_that_it_does_not(room: str, kind: str, name: str) -> None:
    table = table_of(room)
    spec = whole(table, kind)
    other = changed(table, spec, name)
    field = type(spec).model_fields[name]
    off = isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("in_key") is False
    alike = {n for n in type(spec).model_fields if getattr(spec, n) == getattr(other, n)}
    assert name not in alike
    same_key = digest(identity(spec)) == digest(identity(other))
    assert same_key == off, f"{kind}.{name} is {'off' if off else 'in'} the key"


def holder(room: str, spec: Spec) -> Spec | None:
    """Return the stage that holds a component, typed there by its base class; None for what no stage holds."""
    if room == "datasets":
        return STAGES.parse({"kind": "prepare", "dataset": spec})
    if room == "signals":
        return STAGES.parse({"kind": "prepare", "dataset": "simulated_motor_imagery", "signals": [spec]})
    if room == "models":
        return STAGES.parse({"kind": "fit", "learner": "estimator", "model": spec})
    if room == "learners":
        return STAGES.parse({"kind": "fit", "learner": spec, "windows": {}})
    if room == "objectives":
        return STAGES.parse({"kind": "fit", "learner": {"kind": "gradient", "objective": spec}})
    if room == "samplers":
        learner = {"kind": "gradient", "objective": "masked", "sampler": spec}
        return STAGES.parse({"kind": "fit", "learner": learner, "windows": {}})
    return None


HELD = [f for f in FIELDS if f[0] in {"datasets", "signals", "models", "learners", "objectives", "samplers"}]


@pytest.mark.parametrize(("room", "kind", "name"), HELD, ids=["-".join(f) for f in HELD])
def test_a_field_of_a_subclass_is_not_dropped_where_its_base_is_the_type(room: str, kind: str, name: str) -> None:
    table = table_of(room)
    spec = whole(table, kind)
    other = changed(table, spec, name)
    first, second = (identity(holder(room, s)) for s in (spec, other))
    assert (first == second) == (identity(spec) == identity(other))


@every_kind
def test_what_is_written_out_reads_back_as_the_same_key(room: str, kind: str) -> None:
    spec = whole(table_of(room), kind)
    again = table_of(room).parse(spec.model_dump(mode="json", serialize_as_any=True))
    assert digest(identity(again)) == digest(identity(spec))
    assert again == spec


def test_each_kind_has_a_key_of_its_own() -> None:
    keys = {digest([room, identity(whole(table_of(room), kind))]) for room, kind in KINDS}
    assert len(keys) == len(KINDS)


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        (
            SignalSpec(sfreq=100, ch_names=("C3",)),
            {
                "sfreq": 200,
                "ch_names": ("C4",),
                "ch_types": ("eeg",),
                "positions": ((0, 0, 1),),
                "subject": "S",
                "units": ("T",),
            },
        ),
        (TargetSpec(classes=("a",)), {"task": "regression", "classes": ("b",), "names": ("x",)}),
    ],
    ids=["signal", "target"],
)
def test_what_the_data_says_is_in_the_key(spec: Spec, fields: dict[str, Any]) -> None:
    assert set(fields) == set(type(spec).model_fields)
    for name, value in fields.items():
        other = type(spec)(**{**{n: getattr(spec, n) for n in fields}, name: value})
        assert identity(other) != identity(spec), name


class TestKinds:
    """Every row of every table is a kind that a recipe can name."""

    @every_kind
    def test_a_row_leads_to_its_kind(self, room: str, kind: str) -> None:
        row = table_of(room).row(kind)
        cls = row.load()
        assert cls.model_fields["kind"].default == kind
        assert row.summary.strip()
        assert (cls.__doc__ or "").strip(), "people read it in the reference"

    @every_kind
    def test_its_name_alone_is_enough_or_the_message_names_what_is_missing(self, room: str, kind: str) -> None:
        table = table_of(room)
        if kind not in NEEDED:
            assert table.parse(kind).kind == kind  # type: ignore[attr-defined]
            return
        with pytest.raises(SpecError, match=kind) as caught:
            table.parse(kind)
        required = [n for n, f in table.row(kind).load().model_fields.items() if f.is_required()]
        assert all(f"field '{n}' is missing" in str(caught.value) for n in required)

    @every_kind
    def test_what_must_be_given_is_explained(self, room: str, kind: str) -> None:
        fields = table_of(room).row(kind).load().model_fields
        by_table = {
            n for n, f in fields.items() if any(hasattr(m, "table") for m in f.metadata)
        }  # its kinds explain it
        bare = {n for n, f in fields.items() if f.is_required() and not f.description}
        assert bare <= by_table

    def test_an_objective_by_its_name_is_a_learner_s_field(self) -> None:
        for kind in OBJECTIVES:
            made = table_of("learners").parse({"kind": "gradient", "objective": kind})
            assert made.objective == OBJECTIVES.parse(kind)  # type: ignore[attr-defined]
