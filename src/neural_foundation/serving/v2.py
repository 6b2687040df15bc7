"""The Open Inference Protocol, version 2, over REST: health, metadata and inference on whole pieces of signal.

A request is a stream of its own: raw signal (B, C, n) in volts goes through the package's chain and model from a fresh
state, and all decisions on the way come back. For a stream that goes on, use `/v1/stream`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from numpy.typing import NDArray
from starlette.requests import ClientDisconnect

from .. import __version__
from ..core.errors import DataError, StreamError
from ..core.stream import Chunk
from ..realtime.decision import LiveDecision
from ..realtime.live_model import LiveModel
from ..realtime.live_stream import LiveStream, Tokens
from .door import allowed
from .evidence import OUTPUTS, Evidence
from .protocol import ProtocolError
from .settings import Limits

if TYPE_CHECKING:
    from .app import Service

BLOCK = 4096  # samples a step
WAITING = 4  # requests that wait, for each that runs
TYPES = ("FP32", "FP64")
# of the codes of errors; 400 for all others
STATUS = {"full": 429, "size": 413, "slow": 408, "deadline": 503, "draining": 503}
AGAIN_S = {"full": "1", "draining": "5"}  # when to come again
log = logging.getLogger(__name__)


class Inference:
    """Runs requests off the event loop, a few at a time; more than can wait are refused before their body is read."""

    def __init__(self, service: Service) -> None:
        self._limits, self._n = service.settings.limits, 0
        self._evidence = Evidence(self._limits, lambda: service.registry.draining)
        self._slots = asyncio.Semaphore(self._limits.infer)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place among the requests that run or wait; ProtocolError 'full' where there is none."""
        if self._n >= self._limits.infer * (1 + WAITING):
            raise ProtocolError("full", f"{self._n} requests run or wait", remedy="Try again later")
        self._n += 1
        try:
            yield
        finally:
            self._n -= 1

    async def __call__(self, model: LiveModel, data: bytes) -> bytes:
        """Return the answer to a body, parsed, decided and written in one worker thread."""
        async with self._slots:
            return await asyncio.to_thread(answered, model, data, self._limits, self._evidence)


def answered(model: LiveModel, data: bytes, limits: Limits, evidence: Evidence | None = None) -> bytes:
    """Return the JSON that answers the JSON of a request; ProtocolError where it is not one.

    evidence : what makes it where a request asks for it, one at a time. ProtocolError 'signal' where its signal cannot
    be decoded.
    """
    body = _parsed(data)
    signal, asked, explained = _signal(body, model, limits), _asked(body, model), _wants_evidence(body)
    try:
        more = (evidence or Evidence(limits))(model, signal) if explained else {}
        outputs = infer(model, signal)
    except (DataError, StreamError) as error:
        raise ProtocolError("signal", str(error)) from None
    return _written(body, model, [*asked, *more], outputs | more)


def infer(model: LiveModel, signal: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """Return what the model decides on each of the pieces (B, C, n), each from a fresh state.

    probability (B, T, K), calibrated where the package is; valid, abstained (B, T); sample (T,): where each token
    ended; label (B,): the last decision, '' where it abstained. Of an ensemble also members (B, T, M, K), what each
    says, and entropy and disagreement (B, T), in nats.
    """
    told = [_told(model, piece) for piece in signal]
    pieces = [_decisions(model, tokens) for tokens in told]
    last = [p[-1] if p else None for p in pieces]
    shape = len(pieces), len(pieces[0]), len(model.classes)
    probability = [[list(d.probability.values()) for d in p] for p in pieces]
    made = {
        "probability": np.array(probability, np.float32).reshape(shape),
        "valid": np.array([[d.valid for d in p] for p in pieces], np.bool_),
        "abstained": np.array([[d.decision is None for d in p] for p in pieces], np.bool_),
        "sample": np.array([d.sample for d in pieces[0]], np.int64),
        "label": np.array(["" if d is None else d.decision or "" for d in last], object),
    }
    return made | _unsure(model, told, shape)


def _told(model: LiveModel, piece: NDArray[np.float32]) -> list[Tokens]:
    stream = LiveStream(model.decoder(), model.facts.confidence, unsure=model.unsure)
    parts = [t for at in range(0, piece.shape[1], BLOCK) for t in stream.take(Chunk.of(piece[:, at : at + BLOCK], at))]
    return [*parts, *stream.flush()]


def _decisions(model: LiveModel, told: list[Tokens]) -> list[LiveDecision]:
    sfreq = model.facts.raw.sfreq
    return [d for tokens in told for d in tokens.decisions(model.classes, sfreq)]


def _unsure(model: LiveModel, told: list[list[Tokens]], shape: tuple[int, int, int]) -> dict[str, NDArray[Any]]:
    """Return what an ensemble's members say, and how unsure they are together; nothing of a single model."""
    if not model.members:
        return {}
    b, t, k = shape
    shapes = {"entropy": (b, t), "disagreement": (b, t), "members": (b, t, len(model.members), k)}
    parts = [tokens for piece in told for tokens in piece]
    return {n: np.array([v for p in parts for v in getattr(p, n)], np.float32).reshape(s) for n, s in shapes.items()}


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
    n_chans, n_classes, n_members = model.facts.raw.n_chans, len(model.classes), len(model.members)
    of_ensembles = [
        {"name": "entropy", "datatype": "FP32", "shape": [-1, -1]},
        {"name": "disagreement", "datatype": "FP32", "shape": [-1, -1]},
        {"name": "members", "datatype": "FP32", "shape": [-1, -1, n_members, n_classes]},
    ]
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
            *(of_ensembles if model.members else []),
        ],
        "parameters": {
            "classes": model.classes,
            "sfreq": model.facts.raw.sfreq,
            "ch_names": model.facts.raw.ch_names,
            "unit": "V",
            "hop_s": model.hop_s,
            "lookahead_s": model.lookahead_s,
            **({"past_s": model.past_s} if model.past_s else {}),
            "context": model.facts.model.context,
            "evidence": model.whole_windows,
            **({"window_s": model.facts.windows.length_s} if model.whole_windows else {}),
            **({"members": model.members} if model.members else {}),
        },
    }


async def _answer(service: Service, model: LiveModel, request: Request) -> Response:
    """Answer a request for inference; every outcome is counted by the status that it is answered with."""
    began, status = time.perf_counter(), 500
    try:
        with service.span("infer", task=model.task), service.inference.place():
            data = await _body(request, service.settings.limits)
            written = await service.inference(model, data)
        status = 200
        return Response(written, media_type="application/json")
    except ProtocolError as error:
        status = STATUS.get(error.code, 400)
        headers = {"retry-after": AGAIN_S[error.code]} if error.code in AGAIN_S else {}
        return JSONResponse({"error": str(error)}, status, headers)
    except Exception:
        log.exception("inference failed", extra={"event": "infer"})
        return JSONResponse({"error": "The server failed on this request. Its log says why."}, 500)
    finally:
        service.metrics.infer_requests.labels(model.task, status).inc()
        service.metrics.infer_seconds.labels(model.task).observe(time.perf_counter() - began)


async def _body(request: Request, limits: Limits) -> bytes:
    """Return the bytes of a request; never more than `body_bytes` are held, nor for longer than `body_s` waited for."""
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said[:20]) > limits.body_bytes:
        raise _too_large(limits)
    data = bytearray()
    try:
        async with asyncio.timeout(limits.body_s):
            async for part in request.stream():
                data += part
                if len(data) > limits.body_bytes:
                    raise _too_large(limits)
    except TimeoutError:
        raise ProtocolError("slow", f"The body did not come within {limits.body_s:g} s") from None
    except ClientDisconnect:
        raise ProtocolError("body", "The body ended early") from None
    return bytes(data)


def _too_large(limits: Limits) -> ProtocolError:
    return ProtocolError(
        "size", "The body is too large", allowed=f"{limits.body_bytes} bytes", remedy="Send fewer or shorter pieces"
    )


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ProtocolError("body", f"The body is not JSON ({error})") from None
    if not isinstance(body, dict) or not isinstance(body.get("inputs"), list):
        raise ProtocolError("body", "The body has no list 'inputs'", allowed='{"inputs": [{"name": "signal", ...}]}')
    return body


def _signal(body: dict[str, Any], model: LiveModel, limits: Limits) -> NDArray[np.float32]:
    """Return the input (B, C, n) of a request; ProtocolError where it is not one."""
    given = [i for i in body["inputs"] if isinstance(i, dict) and i.get("name") == "signal"]
    if len(given) != 1 or len(body["inputs"]) != 1:
        raise ProtocolError("body", f"{len(body['inputs'])} inputs", allowed="one, named 'signal'")
    kind, shape, data = (given[0].get(n) for n in ("datatype", "shape", "data"))
    if kind not in TYPES:
        raise ProtocolError("body", f"datatype {str(kind)[:20]!r}", allowed="'FP32' or 'FP64', in volts")
    n_chans = model.facts.raw.n_chans
    good = isinstance(shape, list) and len(shape) == 3 and all(type(d) is int and d > 0 for d in shape)
    if not isinstance(shape, list) or not good or shape[1] != n_chans:
        raise ProtocolError("body", f"shape {str(shape)[:60]}", allowed=f"[pieces, {n_chans}, samples]")
    if shape[0] > limits.pieces or shape[0] * shape[2] > limits.samples:
        raise ProtocolError(
            "body",
            f"{shape[0]} pieces of {shape[2]} samples",
            allowed=f"{limits.pieces} pieces, {limits.samples} samples together",
            remedy="Send several requests, or a stream",
        )
    return _numbers(data, shape)


def _numbers(data: Any, shape: list[int]) -> NDArray[np.float32]:
    """Return flat or nested lists as an array, some thousand at a time: one long conversion would hold up streams."""
    n = math.prod(shape)
    try:
        if isinstance(data, list) and len(data) == n:
            values = np.empty(n, np.float64)
            for at in range(0, n, BLOCK):
                values[at : at + BLOCK] = data[at : at + BLOCK]
        else:
            values = np.asarray(data, np.float64)
        values = values.reshape(shape)
    except (TypeError, ValueError, OverflowError):
        raise ProtocolError("body", "'data' is not as many numbers as 'shape' says") from None
    if np.abs(values).max(initial=0) > np.finfo(np.float32).max:
        raise ProtocolError("body", "'data' holds numbers that are no volts", allowed="what fits in FP32")
    return values.astype(np.float32)


def _asked(body: dict[str, Any], model: LiveModel) -> list[str]:
    """Return the names of the outputs that a request wants: all where it names none."""
    known, given = [o["name"] for o in metadata(model)["outputs"]], body.get("outputs") or []
    if not isinstance(given, list) or not all(isinstance(o, dict) for o in given):
        raise ProtocolError("body", "'outputs' is not a list of objects", allowed='[{"name": "label"}, ...]')
    asked = list(dict.fromkeys(str(o.get("name"))[:40] for o in given))
    unknown = [a for a in asked if a not in known]
    if unknown:
        raise ProtocolError("body", f"No output {unknown[0]!r}", allowed=", ".join(known))
    return asked or known


def _wants_evidence(body: dict[str, Any]) -> bool:
    """Return whether a request asks for evidence; its other parameters are for other servers, and left alone."""
    parameters = body.get("parameters") or {}
    wanted = parameters.get("evidence", False) if isinstance(parameters, dict) else None
    if not isinstance(wanted, bool):
        raise ProtocolError(
            "body", "'parameters' do not say whether 'evidence' is wanted", allowed='{"evidence": true}'
        )
    return wanted


def _written(body: dict[str, Any], model: LiveModel, asked: list[str], outputs: dict[str, NDArray[Any]]) -> bytes:
    """Return the response as JSON, with the outputs that were asked for."""
    kinds = {o["name"]: o["datatype"] for o in (*metadata(model)["outputs"], *OUTPUTS)}
    written = [
        {"name": n, "datatype": kinds[n], "shape": list(outputs[n].shape), "data": _data(outputs[n])} for n in asked
    ]
    answer = {"model_name": model.task, "model_version": model.digest[:12], "outputs": written}
    if isinstance(body.get("id"), str):
        answer["id"] = body["id"][:200]
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def _data(values: NDArray[Any]) -> Any:
    flat = np.ascontiguousarray(values).ravel()
    return flat.tolist() if flat.dtype == object else flat
