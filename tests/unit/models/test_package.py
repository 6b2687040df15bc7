import json
from pathlib import Path

import numpy as np
import pytest
from small_package import RAW, make

from neural_foundation.core.errors import PackageError
from neural_foundation.core.specs import TargetSpec
from neural_foundation.models.package import Facts, Package, save
from neural_foundation.sampling.windows import Windows


def test_network_comes_back_and_predicts(tmp_path: Path) -> None:
    made = make(tmp_path, export=False)
    again = Package.open(tmp_path)
    assert again.facts == made.facts
    windows = np.random.default_rng(0).standard_normal((3, 3, 200)).astype(np.float32)
    probability = again.predict_proba(windows)
    np.testing.assert_array_equal(probability, made.predict_proba(windows))
    np.testing.assert_allclose(probability.sum(1), 1)
    np.testing.assert_allclose(again.predict_proba(windows, batch=2), probability, atol=1e-6)


def test_estimator_comes_back_and_predicts(tmp_path: Path) -> None:
    from neural_foundation.models.band_power import BandPower

    rng = np.random.default_rng(0)
    windows, target = rng.standard_normal((20, 3, 200)).astype(np.float32), np.arange(20) % 2
    spec = TargetSpec(classes=("a", "b"))
    fitted = BandPower(c=1.0).estimator(RAW, spec).fit(windows, target, np.repeat(["S1", "S2"], 10))
    save(tmp_path, Facts(model=BandPower(c=1.0), raw=RAW, signal=RAW, target=spec, windows=Windows()), fitted.state())
    np.testing.assert_array_equal(Package.open(tmp_path).predict_proba(windows), fitted.predict_proba(windows))
    read = Read(windows)
    np.testing.assert_allclose(
        Package.open(tmp_path).decide(read, batch=7),  # type: ignore[arg-type]
        fitted.predict_proba(windows),
        rtol=1e-12,
    )
    assert max(read.sizes) == 7, "no more are in memory at once"


class Read:
    """Windows that note how many of them are read at once."""

    def __init__(self, windows: np.ndarray) -> None:
        self.windows, self.sizes = windows, list[int]()

    def __len__(self) -> int:
        return len(self.windows)

    def load(self, items: np.ndarray) -> np.ndarray:
        self.sizes.append(len(items))
        return np.asarray(self.windows[items])


def test_bytes_repeat(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make(tmp_path / name, export=False)
    for file in ("model.safetensors", "package.json", "card.md"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_card_says_what_it_is(tmp_path: Path) -> None:
    make(tmp_path, export=False)
    text = (tmp_path / "card.md").read_text()
    for words in (
        "left / right",
        "multiscale",
        "3 channels at 100 Hz",
        "bandpass -> normalise",
        "Not a medical device",
    ):
        assert words in text


def edit(folder: Path, **changes: object) -> None:
    path = folder / "package.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 9}, r"has format_version 9. Allowed: 1 to 1. Use a newer"),
        ({"format_version": "x"}, "has format_version 'x'"),
        ({"model": {"kind": "os.system"}}, "Unknown kind 'os.system' for models"),
        ({"surprise": 1}, "unknown field 'surprise'"),
        ({"chain": [{"kind": "bandpass", "lo": 1}]}, "unknown field 'lo'"),
    ],
)
def test_foreign_packages_are_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    make(tmp_path, export=False)
    edit(tmp_path, **changes)
    with pytest.raises(PackageError, match=message):
        Package.open(tmp_path)


def test_missing_damaged_and_other_weights(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"is no package: it has no package.json. Give the folder"):
        Package.open(tmp_path)
    made = make(tmp_path, export=False)
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[:1000])
    with pytest.raises(PackageError, match=r"model.safetensors cannot be read"):
        made.network()
    (tmp_path / "model.safetensors").write_bytes(whole)
    edit(tmp_path, model={"kind": "multiscale", "size": "tiny"})
    with pytest.raises(PackageError, match="The weights in .* do not fit the model that package.json names"):
        Package.open(tmp_path).network()
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(PackageError, match="cannot be read"):
        made.arrays()
