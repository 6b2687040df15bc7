"""Signal operations: causal where they can be, one a file, composed by `chain` and stepped by the chunk law."""

from .base import Operation, SignalOp
from .chain import Chain, chain
from .table import SIGNALS

__all__ = ["SIGNALS", "Chain", "Operation", "SignalOp", "chain"]
