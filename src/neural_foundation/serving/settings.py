"""What a server is told: where it listens, what it serves, who may come in, how much is too much."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from ..core.specs import Spec
from .jwt_tokens import JwtSettings

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Limits(Spec):
    """How much is too much. Each limit is a refusal with a reason, never a silent loss."""

    connections: int = Field(64, ge=1, le=10_000, description="streams at a time; further ones are closed with 1013")
    block_s: float = Field(1.0, gt=0, le=60, description="longest block of samples in one frame")
    frame_bytes: int = Field(4 << 20, ge=1024, le=1 << 28, description="largest frame; larger ones close with 1009")
    gap_s: float = Field(1.0, ge=0, le=60, description="shorter gaps are masked, after longer ones all starts anew")
    hello_s: float = Field(
        5.0, gt=0, le=60, description="a client asks within this time: a request's head, a connection's hello"
    )
    idle_s: float = Field(
        300.0, gt=0, le=86400, description="a connection without a frame for so long is closed; it can resume"
    )
    send_s: float = Field(5.0, gt=0, le=60, description="a client that takes no answer for so long is cut off")
    resume_s: float = Field(600.0, gt=0, le=604800, description="the state of a broken connection is kept for so long")
    snapshot_s: float = Field(1.0, gt=0, le=3600, description="seconds of signal between saved states")
    body_bytes: int = Field(4 << 20, ge=1024, le=1 << 26, description="largest body of a request; a larger gets 413")
    body_s: float = Field(20.0, gt=0, le=600, description="a body that takes longer to come gets 408")
    pieces: int = Field(64, ge=1, le=10_000, description="pieces of signal in one request")
    samples: int = Field(1 << 18, ge=1, le=1 << 24, description="samples in one request, of all pieces together")
    infer: int = Field(2, ge=1, le=64, description="inferences at a time; 4 times as many wait, more get 429")
    evidence: int = Field(1024, ge=1, le=1 << 16, description="parts that are blanked for the evidence of one decision")
    evidence_s: float = Field(
        120.0, gt=0, le=3600, description="evidence that takes longer gets 503; one is made at a time, more get 429"
    )
    watchers: int = Field(16, ge=1, le=1000, description="pages that watch at a time")
    drain_s: float = Field(4.0, gt=0, le=30, description="after SIGTERM, all is saved and closed in this time")


class Served(Spec):
    """One exported package. task : the name to ask for it by; '' takes the package's own."""

    folder: Path
    task: str = ""


class ServeSettings(Spec):
    """One server.

    state : where states of connections are kept so that they survive a restart; None keeps them in memory alone.
    source, outlets : a stream that the server decodes by itself, as KIND:ARG, and where its decisions go.
    """

    packages: tuple[Served, ...] = Field(min_length=1)
    device: str = "auto"
    source: str = ""
    outlets: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    state: Path | None = None
    keys: Path | None = None
    jwt: JwtSettings | None = None
    open_to_all: bool = Field(False, description="serve beyond this machine without keys")
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    origins: tuple[str, ...] = Field((), description="further web origins whose pages may connect")
    adapt: bool = Field(False, description="connections may ask for adaptation")
    journal: Path | None = Field(None, description="where each update of an adapting decoder is written")
    logs: Literal["text", "json"] = "text"
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _safe(self) -> ServeSettings:
        if not self.secured and not self.open_to_all and self.host not in LOOPBACK:
            raise ValueError(
                f"host '{self.host}' is reachable from elsewhere and nobody would need a key: give keys or jwt, "
                "or say open_to_all"
            )
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("TLS needs both tls_certificate and tls_key")
        return self

    @property
    def secured(self) -> bool:
        """Whether a key or token is needed to come in."""
        return self.keys is not None or self.jwt is not None

    @property
    def in_the_clear(self) -> bool:
        """Whether keys or tokens come over a network without TLS."""
        return self.secured and self.tls_key is None and self.host not in LOOPBACK
