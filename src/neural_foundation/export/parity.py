"""How far an exported graph is from what it was made of; a difference of a probability above `TOLERANCE` is an error.

Networks of whole windows: `window_graph.parity`. Here are the step of a network that streams, and trees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import PackageError

if TYPE_CHECKING:
    from ..models.network import Network
    from ..models.package import Package

TOLERANCE = 1e-4  # of a probability
Array = NDArray[Any]


def within(difference: float, where: str) -> float:
    """Return a difference between a graph and its model; PackageError where it is above `TOLERANCE`, or no number."""
    if not difference <= TOLERANCE:
        raise PackageError(
            f"The graph differs from its model by {difference:.2g} at {where}",
            allowed=f"{TOLERANCE:g}",
            remedy="Leave the graph out, and say which model and which versions of torch and onnxruntime these are",
        )
    return difference


def opened(path: Path) -> Any:
    """Return the session of a graph, on one thread of the CPU."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return InferenceSession(path, options, providers=["CPUExecutionProvider"])


def step_parity(network: Network, path: Path, *, tokens: Sequence[int] = (1, 10, 100)) -> dict[str, float]:
    """Return the largest difference of a probability between a live step graph and torch, by the number of tokens.

    The graph is stepped from its start state, its state carried; torch is given each length at once. The signal is
    noise of the spread that the network was calibrated to. Of a network without a target features are compared, in
    units of their root mean square.

    PackageError : a difference above `TOLERANCE`.
    """
    import torch

    rng, spread = np.random.default_rng(0), 1 / float(getattr(network, "input_gain", 1.0))
    signal = (spread * rng.standard_normal((1, network.n_chans, max(tokens) * network.hop))).astype(np.float32)
    stepped = _stepped(network, path, signal)
    found = {}
    for n in tokens:
        with torch.inference_mode():
            out = network(torch.from_numpy(signal[:, :, : n * network.hop]))
        logits = out.logits is not None
        wanted = (out.logits if logits else out.features).numpy()
        a, b = (_softmax(v) if logits else v for v in (wanted, stepped[:, :n]))
        scale = 1.0 if logits else max(float(np.sqrt(np.square(a).mean())), 1e-12)
        found[str(n)] = within(float(np.abs(a - b).max()) / scale, f"{n} tokens")
    return found


def tree_parity(package: Package, path: Path, *, windows: Sequence[int] = (1, 16, 256)) -> dict[str, float]:
    """Return the largest difference of a probability between trees and their graph, by the windows in a call.

    The features lie on the trees' own thresholds and one number above them, where a graph that rounds would err.
    PackageError : a difference above `TOLERANCE`, or a package of other models.
    """
    from ..models.boosted_trees import BoostedTreesEstimator

    estimator = package.estimator()
    if not isinstance(estimator, BoostedTreesEstimator):
        raise PackageError(f"{package.folder} is a package of '{package.facts.model.kind}'", allowed="'boosted_trees'")
    session, rng, found = opened(path), np.random.default_rng(0), {}
    for n in windows:
        features = _on_thresholds(estimator.state(), len(estimator.names), n, rng)
        (said,) = session.run(["probabilities"], {"features": features})
        found[str(n)] = within(float(np.abs(said - estimator.from_features(features)).max()), f"{n} windows")
    return found


def _stepped(network: Network, path: Path, signal: Array) -> Array:
    """Return what the graph gives for each token of a signal (1, C, n P), (1, n, K)."""
    from ..models.network import to_arrays

    session, hop, made = opened(path), network.hop, []
    state = to_arrays(network.start(1))
    names = [o.name for o in session.get_outputs()]
    for at in range(0, signal.shape[2], hop):
        out = dict(zip(names, session.run(None, {"signal": signal[:, :, at : at + hop], **state}), strict=True))
        made.append(out.pop(names[0]))
        state |= {name.removeprefix("next_"): value for name, value in out.items()}
    return np.concatenate(made, 1)


def _on_thresholds(trees: Mapping[str, Array], n_features: int, n: int, rng: np.random.Generator) -> Array:
    """Return features (n, n_features), each at one of its thresholds or one float32 number above; 0 where unused."""
    made = np.zeros((n, n_features), np.float32)
    splits = trees["left"] != np.arange(len(trees["left"]))
    for feature in np.unique(trees["feature"][splits]):
        at = rng.choice(trees["threshold"][splits & (trees["feature"] == feature)], n)
        made[:, feature] = np.where(rng.random(n) < 0.5, at, np.nextafter(at, np.float32(np.inf)))
    return made


def _softmax(logits: Array) -> Array:
    p = np.exp(logits - logits.max(-1, keepdims=True), dtype=np.float64)
    return np.asarray(p / p.sum(-1, keepdims=True))
