"""The Open Inference Protocol, version 2, over REST: health, metadata and inference on whole pieces of signal.

A request is a stream of its own: raw signal (B, C, n) in volts goes through the package's chain and model from a fresh
state, and all decisions on the way come back. For a stream that goes on, use `/v1/stream`.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from fastapi import APIRouter, Request, Response
from numpy.typing import NDArray

from .. import __version__
from ..core.errors import NeuralFoundationError
from ..core.stream import Chunk
from ..realtime.decision import LiveDecision
from ..realtime.live_model import LiveModel
from ..realtime.live_stream import LiveStream
from .door import allowed
from .protocol import ProtocolError

if TYPE_CHECKING:
    from .app import Service

BLOCK = 4096  # samples a step
WAITING = 4  # requests that wait, for each that runs
TYPES = {"FP32": np.float32, "FP64": np.float64, "INT16": np.int16}


class Inference:
    """Runs requests off the event loop, a few at a time; more than can wait are refused with 429."""

    def __init__(self, service: Service) -> None:
        self._service, self._n = service, 0
        self._slots = asyncio.Semaphore(service.settings.limits.infer)

    async def __call__(self, model: LiveModel, signal: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        most = self._service.settings.limits.infer
        if self._n >= most * (1 + WAITING):
            raise ProtocolError("full", f"{self._n} requests run or wait", remedy="Try again later")
        self._n += 1
        try:
            async with self._slots:
                return await asyncio.to_thread(infer, model, signal)
        finally:
            self._n -= 1


def infer(model: LiveModel, signal: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """Return what the model decides on each of the pieces (B, C, n), each from a fresh state.

    probability (B, T, K), calibrated where the package is; valid, abstained (B, T); sample (T,): where each token
    ended; label (B,): the last decision, '' where it abstained.
    """
    pieces = [_decided(model, piece) for piece in signal]
    last = [p[-1] if p else None for p in pieces]
    shape = len(pieces), len(pieces[0]), len(model.classes)
    probability = [[list(d.probability.values()) for d in p] for p in pieces]
    return {
        "probability": np.array(probability, np.float32).reshape(shape),
        "valid": np.array([[d.valid for d in p] for p in pieces], np.bool_),
        "abstained": np.array([[d.decision is None for d in p] for p in pieces], np.bool_),
        "sample": np.array([d.sample for d in pieces[0]], np.int64),
        "label": np.array(["" if d is None else d.decision or "" for d in last], object),
    }


def _decided(model: LiveModel, piece: NDArray[np.float32]) -> list[LiveDecision]:
    stream = LiveStream(model.decoder(), model.facts.confidence)
    parts = [t for at in range(0, piece.shape[1], BLOCK) for t in stream.take(Chunk.of(piece[:, at : at + BLOCK], at))]
    sfreq = model.facts.raw.sfreq
    return [d for tokens in [*parts, *stream.flush()] for d in tokens.decisions(model.classes, sfreq)]


def routes(service: Service) -> APIRouter:
    """Return the routes under `/v2`."""
    router = APIRouter(prefix="/v2", tags=["Open Inference Protocol v2"])

    @router.get("/health/live", summary="The process runs")
    def live() -> dict[str, bool]:
        return {"live": True}

    @router.get("/health/ready", summary="It takes new connections")
    def ready(response: Response) -> dict[str, bool]:
        response.status_code = 200 if service.ready else 503
        return {"ready": service.ready}

    @router.get("", summary="Server metadata")
    def server(request: Request) -> dict[str, Any]:
        allowed(request, service, "infer")
        return {"name": "neural-foundation", "version": __version__, "extensions": []}

    @router.get("/models/{name}", summary="Model metadata")
    @router.get("/models/{name}/versions/{version}", include_in_schema=False)
    def model(name: str, request: Request, version: str = "") -> dict[str, Any]:
        allowed(request, service, "infer")
        return metadata(_model(service, name, version))

    @router.get("/models/{name}/ready", summary="The model can decide")
    @router.get("/models/{name}/versions/{version}/ready", include_in_schema=False)
    def model_ready(name: str, request: Request, version: str = "") -> dict[str, Any]:
        allowed(request, service, "infer")
        return {"name": _model(service, name, version).task, "ready": service.ready}

    @router.post("/models/{name}/infer", summary="Decide on pieces of signal")
    @router.post("/models/{name}/versions/{version}/infer", include_in_schema=False)
    async def run(name: str, request: Request, version: str = "") -> Response:
        allowed(request, service, "infer")
        return await _answer(service, _model(service, name, version), request)

    return router


def _model(service: Service, name: str, version: str) -> LiveModel:
    model = service.models[name]
    if version and version != model.digest[:12]:
        raise ProtocolError("task", f"No version '{version[:40]}' of '{name}'", allowed=model.digest[:12])
    return model


def metadata(model: LiveModel) -> dict[str, Any]:
    """Return a model's metadata; -1 is any length."""
    n_chans, n_classes = model.facts.raw.n_chans, len(model.classes)
    return {
        "name": model.task,
        "versions": [model.digest[:12]],
        "platform": "onnxruntime_onnx" if not model.whole_windows else "neural-foundation",
        "inputs": [{"name": "signal", "datatype": "FP32", "shape": [-1, n_chans, -1]}],
        "outputs": [
            {"name": "probability", "datatype": "FP32", "shape": [-1, -1, n_classes]},
            {"name": "valid", "datatype": "BOOL", "shape": [-1, -1]},
            {"name": "abstained", "datatype": "BOOL", "shape": [-1, -1]},
            {"name": "sample", "datatype": "INT64", "shape": [-1]},
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
        ],
        "parameters": {
            "classes": model.classes,
            "sfreq": model.facts.raw.sfreq,
            "ch_names": model.facts.raw.ch_names,
            "unit": "V",
            "hop_s": model.hop_s,
            "lookahead_s": model.lookahead_s,
            "context": model.facts.model.context,
        },
    }


async def _answer(service: Service, model: LiveModel, request: Request) -> Response:
    began, status = time.perf_counter(), "400"
    try:
        with service.span("infer", task=model.task):
            body = await _body(request, service.settings.limits.body_bytes)
            signal = _signal(body, model)
            outputs = await service.inference(model, signal)
        status = "200"
    except ProtocolError as error:
        status = "429" if error.code == "full" else "400"
        raise
    except NeuralFoundationError as error:
        raise ProtocolError("signal", str(error)) from None
    finally:
        service.metrics.infer_requests.labels(model.task, status).inc()
        service.metrics.infer_seconds.labels(model.task).observe(time.perf_counter() - began)
    return Response(_written(body, model, outputs), media_type="application/json")


async def _body(request: Request, most: int) -> dict[str, Any]:
    """Return the request's JSON object; never more than `most` bytes are held."""
    parts, n = [], 0
    async for part in request.stream():
        n += len(part)
        if n > most:
            raise ProtocolError("size", "The body is too large", allowed=f"{most} bytes")
        parts.append(part)
    try:
        body = orjson.loads(b"".join(parts))
    except orjson.JSONDecodeError as error:
        raise ProtocolError("body", f"The body is not JSON ({error})") from None
    if not isinstance(body, dict) or not isinstance(body.get("inputs"), list):
        raise ProtocolError("body", "The body has no list 'inputs'", allowed='{"inputs": [{"name": "signal", ...}]}')
    return body


def _signal(body: dict[str, Any], model: LiveModel) -> NDArray[np.float32]:
    """Return the input (B, C, n) of a request; ProtocolError where it is not one."""
    given = [i for i in body["inputs"] if isinstance(i, dict) and i.get("name") == "signal"]
    if len(given) != 1 or len(body["inputs"]) != 1:
        raise ProtocolError("body", f"{len(body['inputs'])} inputs", allowed="one, named 'signal'")
    kind, shape, data = (given[0].get(n) for n in ("datatype", "shape", "data"))
    n_chans = model.facts.raw.n_chans
    if kind not in TYPES or kind == "INT16":
        raise ProtocolError("body", f"datatype {str(kind)[:20]!r}", allowed="'FP32' or 'FP64', in volts")
    good = isinstance(shape, list) and len(shape) == 3 and all(type(d) is int and d > 0 for d in shape)
    if not isinstance(shape, list) or not good or shape[1] != n_chans:
        raise ProtocolError("body", f"shape {str(shape)[:60]}", allowed=f"[pieces, {n_chans}, samples]")
    try:
        values = np.asarray(data, np.float64).reshape(shape)
    except (TypeError, ValueError):
        raise ProtocolError("body", "'data' is not as many numbers as 'shape' says") from None
    return values.astype(np.float32)


def _written(body: dict[str, Any], model: LiveModel, outputs: dict[str, NDArray[Any]]) -> bytes:
    """Return the response as JSON, with the outputs that were asked for."""
    asked = [str(o.get("name")) for o in body.get("outputs") or [] if isinstance(o, dict)] or list(outputs)
    unknown = [a[:40] for a in asked if a not in outputs]
    if unknown:
        raise ProtocolError("body", f"No output {unknown[0]!r}", allowed=", ".join(outputs))
    kinds = {o["name"]: o["datatype"] for o in metadata(model)["outputs"]}
    written = [
        {"name": n, "datatype": kinds[n], "shape": list(outputs[n].shape), "data": outputs[n].ravel().tolist()}
        for n in asked
    ]
    answer = {"model_name": model.task, "model_version": model.digest[:12], "outputs": written}
    if isinstance(body.get("id"), str):
        answer["id"] = body["id"][:200]
    return orjson.dumps(answer)
