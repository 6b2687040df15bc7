"""The first frame of a connection, `hello`, as a client states it and as a server checks it."""

from __future__ import annotations

from typing import Any, Literal

import orjson
from pydantic import Field, ValidationError, model_validator

from ..core.errors import NeuralFoundationError
from ..core.kinds import spec_error
from ..core.specs import SignalSpec, Spec
from .protocol import FORMAT_VERSION, ProtocolError

SMALLEST_STEP = 1e-12  # volts: no amplifier resolves less, and its square is still a normal float32
LONGEST = 1 << 18  # bytes; a thousand channels with positions are about 100 kB


class Hello(Spec):
    """What a client wants.

    signal : what it will send; None takes what the model expects. resume : the token of a connection to go on with;
    decisions after the first `n_tokens` are sent again. answer : a frame of decisions for each token (then only where
    one was completed), or for each block.
    """

    format_version: Literal[1] = FORMAT_VERSION  # type: ignore[assignment]
    type: Literal["hello"] = "hello"
    task: str = Field("", max_length=200, description="what to decode; '' where the server has one task alone")
    signal: SignalSpec | None = None
    dtype: Literal["float32", "int16"] = "float32"
    step: float = Field(0.0, ge=0, le=1, description="volts per unit of int16, 1e-12 to 1")
    answer: Literal["token", "block"] = "token"
    adapt: bool = Field(False, description="let the decoder adapt to this stream, where the server allows it")
    resume: str = Field("", max_length=200)
    n_tokens: int | None = Field(None, ge=0, description="with resume: the decisions the client has; None: all of them")

    @model_validator(mode="after")
    def _has_a_step(self) -> Hello:
        if self.dtype == "int16" and not self.step:
            raise ValueError("int16 samples need 'step', the volts of one unit")
        if 0 < self.step < SMALLEST_STEP:
            raise ValueError(f"'step' is {self.step:g} V; a unit has {SMALLEST_STEP:g} to 1 V")
        return self


def parse_hello(message: str | bytes) -> Hello:
    """Return the hello in a message; ProtocolError says what is wrong with it."""
    if len(message) > LONGEST:
        raise ProtocolError("hello", f"hello has {len(message)} characters", allowed=f"up to {LONGEST}", close=1009)
    try:
        value: Any = orjson.loads(message)
    except orjson.JSONDecodeError as error:
        raise ProtocolError("hello", f"hello is not JSON ({error})", close=1007) from None
    if not isinstance(value, dict):
        raise ProtocolError("hello", "hello is not a JSON object", allowed='{"type": "hello", ...}', close=1007)
    _known_version(value)
    try:
        return Hello.model_validate(value)
    except ValidationError as error:
        raise ProtocolError("hello", str(spec_error("hello", error, Hello))) from None
    except NeuralFoundationError as error:
        raise ProtocolError("hello", f"hello: {error}") from None


def _known_version(value: dict[str, Any]) -> None:
    version = value.get("format_version", FORMAT_VERSION)
    if version != FORMAT_VERSION:
        raise ProtocolError(
            "version",
            f"hello says format_version {str(version)[:20]}",
            allowed=f"{FORMAT_VERSION}",
            remedy="Use a client of this server's version",
            close=1003,
        )
