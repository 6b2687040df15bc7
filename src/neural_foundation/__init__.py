"""neural-foundation: brain recordings become live decoders, brain-inspired models become measurable.

The published names are loaded when first used, so that importing the package is cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
_PUBLISHED = {
    "NeuralFoundationModel": "neural_foundation.api",
    "NeuralDataLoader": "neural_foundation.api",
    "PlasticityAdapter": "neural_foundation.realtime.adaptation_adapter",
    "StreamingNeuralDataset": "neural_foundation.sampling.streaming",
    "register": "neural_foundation.core.kinds",
}
__all__ = [
    "NeuralDataLoader",
    "NeuralFoundationModel",
    "PlasticityAdapter",
    "StreamingNeuralDataset",
    "__version__",
    "register",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLISHED:
        return getattr(import_module(_PUBLISHED[name]), name)
    raise AttributeError(f"module 'neural_foundation' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
