import pytest

from neural_foundation.core.device import resolve
from neural_foundation.core.errors import SpecError
from neural_foundation.core.seeds import derive, generator


def test_seeds_differ_by_use_and_repeat() -> None:
    assert derive(0, "a") == derive(0, "a")
    assert len({derive(0, "a"), derive(0, "b"), derive(1, "a"), derive(0, "a", "b")}) == 4
    assert generator(3, "x").random() == generator(3, "x").random()


def test_devices() -> None:
    assert resolve("cpu") == "cpu"
    assert resolve("auto") in {"cpu", "cuda:0"}
    with pytest.raises(SpecError, match="Device 'gpu' is not known. Allowed: 'auto', 'cpu', 'cuda' or 'cuda:n'"):
        resolve("gpu")
    with pytest.raises(SpecError, match="Device 'cuda:99' is not there"):
        resolve("cuda:99")
