"""Evidence on request: how far the answer's probability falls where a second of a chain is silent."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import ensembles
import numpy as np
import orjson
import pytest
from live_server import get, post
from small_package import signal

from neural_foundation.evaluation.occlusion import QUIET
from neural_foundation.export.ensemble_package import EnsemblePackage
from neural_foundation.models.confidence import Confidence
from neural_foundation.models.package import Package
from neural_foundation.realtime.live_model import LiveModel
from neural_foundation.serving import v2
from neural_foundation.serving.evidence import OUTPUTS, Evidence
from neural_foundation.serving.protocol import ProtocolError
from neural_foundation.serving.server import served
from neural_foundation.serving.settings import Limits, Served, ServeSettings

WINDOW, SECOND = 200, 100
INFER = "/v2/models/hands/infer"
PIECE = signal(WINDOW, 7)[None]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> EnsemblePackage:
    return ensembles.shared(tmp_path_factory)


@pytest.fixture(scope="module")
def model(package: EnsemblePackage) -> LiveModel:
    return LiveModel.open(package.folder)


def request(values: np.ndarray = PIECE, **more: Any) -> dict[str, Any]:
    given = {"name": "signal", "datatype": "FP32", "shape": list(values.shape), "data": values.ravel().tolist()}
    return {"inputs": [given], "parameters": {"evidence": True}} | more


def outputs(answer: dict[str, Any]) -> dict[str, np.ndarray]:
    return {o["name"]: np.array(o["data"]).reshape(o["shape"]) for o in answer["outputs"]}


def fallen(package: Package, temperature: float = 1.0) -> np.ndarray:
    """Return the falls (3, 2), each part blanked by hand and decided on alone."""
    window = ensembles.cleaned(WINDOW, 7)
    every = [window.copy() for _ in range(7)]
    for i in range(6):
        channel, at = divmod(i, 2)
        every[1 + i][channel, at * SECOND : (at + 1) * SECOND] *= QUIET
    p = np.stack([package.predict_proba(w[None])[0] for w in every]) ** (1 / temperature)
    p /= p.sum(1, keepdims=True)
    answer = p[0].argmax()
    return (p[0, answer] - p[1:, answer]).reshape(3, 2)


def test_of_an_ensemble_it_comes_beside_the_decision(package: EnsemblePackage) -> None:
    with served(ServeSettings(packages=(Served(folder=package.folder),), port=0)) as url:
        assert get(f"{url}/v2/models/hands")[1]["parameters"]["evidence"] is True
        status, plain = post(url + INFER, request(parameters={}))
        assert (status, post(url + INFER, request())[0]) == (200, 200)
        _, answer = post(url + INFER, request())
        _, few = post(url + INFER, request(outputs=[{"name": "label"}], id="7"))
    assert answer["outputs"][: len(plain["outputs"])] == plain["outputs"], "the decision is the same"
    assert [o["name"] for o in few["outputs"]] == ["label", *(o["name"] for o in OUTPUTS)]
    found = outputs(answer)
    wanted = fallen(package)
    assert np.ptp(wanted) > 0.01, "evidence that never changes would prove nothing"
    np.testing.assert_allclose(found["evidence"][0], wanted, rtol=0, atol=1e-5)
    assert found["evidence_channels"].tolist() == list(package.facts.signal.ch_names)
    assert found["evidence_start_s"].tolist() == [0, 1]
    assert found["evidence_class"].tolist() == found["label"].tolist()


def test_of_one_package_it_is_of_the_calibrated_probability(package: EnsemblePackage, tmp_path: Path) -> None:
    source = package.members[2][0]
    model = LiveModel(source)
    np.testing.assert_allclose(Evidence(Limits())(model, PIECE)["evidence"][0], fallen(source), rtol=0, atol=1e-5)
    sure = LiveModel(Package(source.folder, source.facts.model_copy(update={"confidence": Confidence(temperature=3)})))
    found = Evidence(Limits())(sure, PIECE)["evidence"][0]
    np.testing.assert_allclose(found, fallen(source, 3.0), rtol=0, atol=1e-5)
    assert v2.infer(sure, PIECE)["probability"].shape == (1, 1, 2), "that is one decision"


@pytest.mark.parametrize(
    ("values", "parameters", "why"),
    [
        (signal(WINDOW + 20)[None], True, "of 1 pieces of 220 samples. Allowed: one window: one piece of 200 samples"),
        (signal(WINDOW - 1)[None], True, "one piece of 200 samples"),
        (np.stack([PIECE[0], PIECE[0]]), True, "Evidence of 2 pieces"),
        (PIECE, "yes", "whether 'evidence' is wanted"),
        (PIECE, 1, "whether 'evidence' is wanted"),
    ],
)
def test_more_or_less_than_one_window_is_refused(
    model: LiveModel, values: np.ndarray, parameters: Any, why: str
) -> None:
    body = request(values, parameters={"evidence": parameters, "binary_data_output": False})
    with pytest.raises(ProtocolError, match=why) as error:
        v2.answered(model, orjson.dumps(body), Limits())
    assert v2.STATUS.get(error.value.code, 400) == 400


def test_parameters_that_are_no_object_or_of_other_servers(model: LiveModel) -> None:
    with pytest.raises(ProtocolError, match="whether 'evidence' is wanted"):
        v2.answered(model, orjson.dumps(request(parameters=[1])), Limits())
    found = outputs(orjson.loads(v2.answered(model, orjson.dumps(request(parameters={"priority": 3})), Limits())))
    assert "evidence" not in found


def test_a_model_along_a_stream_gives_none(exported_package: Package) -> None:
    model = LiveModel.open(exported_package.folder)
    assert v2.metadata(model)["parameters"]["evidence"] is False
    with pytest.raises(ProtocolError, match="goes along a stream. Allowed: models of whole windows"):
        v2.answered(model, orjson.dumps(request()), Limits())


def test_a_window_that_says_nothing_has_none(model: LiveModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neural_foundation.serving.evidence.as_trained", lambda *_: None)
    with pytest.raises(ProtocolError, match="says nothing"):
        Evidence(Limits())(model, PIECE)


def test_it_has_limits(model: LiveModel) -> None:
    with pytest.raises(ProtocolError, match="A window of 6 parts. Allowed: 5"):
        Evidence(Limits(evidence=5))(model, PIECE)
    for made, status in ((Evidence(Limits(evidence_s=1e-9)), 503), (Evidence(Limits(), lambda: True), 503)):
        for _ in range(2):  # what was given up is not in the way of the next
            with pytest.raises(ProtocolError, match=r"took longer than|about to stop") as error:
                made(model, PIECE)
            assert v2.STATUS[error.value.code] == status


def test_one_is_made_at_a_time(model: LiveModel, monkeypatch: pytest.MonkeyPatch) -> None:
    within, go_on, real = threading.Event(), threading.Event(), model.predict

    def slow(windows: np.ndarray) -> np.ndarray:
        within.set()
        assert go_on.wait(10)
        return real(windows)

    made = Evidence(Limits())
    monkeypatch.setattr(model, "_predict", slow)
    first = threading.Thread(target=made, args=(model, PIECE))
    first.start()
    assert within.wait(10)
    with pytest.raises(ProtocolError, match="evidence of another request") as error:
        made(model, PIECE)
    assert v2.STATUS[error.value.code] == 429
    go_on.set()
    first.join()
    monkeypatch.undo()
    assert made(model, PIECE)["evidence"].shape == (1, 3, 2)
