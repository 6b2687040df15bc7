"""Boosted trees as plain arrays: taken from scikit-learn, walked by numpy, given back to scikit-learn for export.

Shapes: x (n, n_features); N nodes of all trees; P classes that training had; C columns: P, or 1 where P is 2.

The trees lie one after the other, iteration by iteration and in it column by column; `root` (n_trees,) is the first
node of each. A node sends a row with x[feature] <= threshold to `left`, any other to `right`; a leaf is its own left
and right, and adds its `value` to the column of its tree. Children come after their parents, so a walk ends.

Thresholds are kept in float32, rounded down. What they are asked of holds float32 numbers, and for these
x <= threshold is the same as for the double that scikit-learn found; so is what an exported graph decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neural_foundation.core.errors import PackageError

from .linear import softmax

Array = NDArray[Any]
TREES = ("baseline", "feature", "left", "n_features", "present", "right", "root", "threshold", "value")
ROWS = 1024  # walked at once


def arrays_of(model: Any, present: Array) -> dict[str, Array]:
    """Return a fitted HistGradientBoostingClassifier as arrays.

    model : fitted on classes 0 ... P-1 without categories, on finite numbers that float32 holds.
    present : (P,) the indices of these classes among all.
    """
    nodes = [tree.nodes for iteration in model._predictors for tree in iteration]
    root = np.cumsum([0, *(len(n) for n in nodes)])[:-1]
    flat = np.concatenate(nodes) if nodes else np.empty(0, _node_type())
    shift = np.repeat(root, [len(n) for n in nodes])
    leaf, itself = flat["is_leaf"].astype(bool), np.arange(len(flat))
    return {
        "baseline": np.asarray(model._baseline_prediction, np.float64).reshape(-1),
        "feature": np.where(leaf, 0, flat["feature_idx"]).astype(np.int32),
        "left": np.where(leaf, itself, flat["left"] + shift).astype(np.int32),
        "n_features": np.array([model.n_features_in_], np.int32),
        "present": np.asarray(present, np.int32),
        "right": np.where(leaf, itself, flat["right"] + shift).astype(np.int32),
        "root": root.astype(np.int32),
        "threshold": rounded_down(np.where(leaf, 0.0, flat["num_threshold"])),
        "value": np.where(leaf, flat["value"], 0.0).astype(np.float64),
    }


def one_class(present: Array, n_features: int) -> dict[str, Array]:
    """Return the arrays of no tree, where training had a single class."""
    empty: dict[str, Array] = {name: np.zeros(0, np.int32) for name in ("feature", "left", "right", "root")}
    numbers: dict[str, Array] = {"threshold": np.zeros(0, np.float32), "value": np.zeros(0), "baseline": np.zeros(1)}
    known = {"n_features": np.array([n_features], np.int32), "present": np.asarray(present, np.int32)}
    return {**empty, **numbers, **known}


def rounded_down(values: Array) -> NDArray[np.float32]:
    """Return the largest float32 numbers that are not above the values."""
    near = np.asarray(values, np.float32)
    return np.where(near > values, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float32)


def raw_scores(x: Array, trees: Mapping[str, Array]) -> NDArray[np.float64]:
    """Return what the trees add up to, (n, C)."""
    n_columns = len(trees["baseline"])
    parts = [_walked(x[at : at + ROWS], trees).reshape(-1, len(trees["root"]) // n_columns, n_columns)
             for at in range(0, len(x), ROWS)]  # fmt: skip
    return np.asarray(trees["baseline"] + np.concatenate(parts).sum(1))


def probabilities(x: Array, trees: Mapping[str, Array]) -> NDArray[np.float64]:
    """Return the probabilities (n, P) of the classes that training had."""
    if len(trees["present"]) == 1:
        return np.ones((len(x), 1))
    scores = raw_scores(x, trees)
    if scores.shape[1] == 1:  # two classes: the score is the log odds of the second
        scores = np.concatenate([np.zeros_like(scores), scores], 1)
    return softmax(scores)


def _walked(x: Array, trees: Mapping[str, Array]) -> Array:
    """Return the value (n, n_trees) of the leaf that each row comes to in each tree."""
    feature, threshold, left, right = (trees[n] for n in ("feature", "threshold", "left", "right"))
    node = np.broadcast_to(trees["root"], (len(x), len(trees["root"])))
    row = np.arange(len(x))[:, None]
    while True:
        goes = np.where(x[row, feature[node]] <= threshold[node], left[node], right[node])
        if np.array_equal(goes, node):
            return np.asarray(trees["value"][node])
        node = goes


def check_trees(trees: Mapping[str, Array], n_features: int, n_classes: int) -> None:
    """Raise PackageError where arrays are no trees of so many features and classes: a walk would not end, or miss."""
    wrong = _wrong(trees, n_features, n_classes)
    if wrong:
        raise PackageError(
            f"These arrays are no boosted trees: {wrong}", remedy="Take the package from its source again"
        )


def _wrong(trees: Mapping[str, Array], n_features: int, n_classes: int) -> str:
    whole = ("feature", "left", "n_features", "present", "right", "root")
    if any(a.ndim != 1 for a in trees.values()) or any(trees[n].dtype.kind not in "iu" for n in whole):
        return "a table of nodes has another shape or type"
    if trees["n_features"].tolist() != [n_features]:
        return f"they are of {trees['n_features'].tolist()} features, and {n_features} are measured"
    left, right, present, root = (trees[n] for n in ("left", "right", "present", "root"))
    itself = np.arange(len(left))
    if len({len(trees[n]) for n in ("feature", "left", "right", "threshold", "value")}) > 1:
        return "nodes are not whole"
    if not (len(present) and np.all(np.diff(present) > 0) and present[0] >= 0 and present[-1] < n_classes):
        return f"classes {present.tolist()} of {n_classes}"
    if len(trees["baseline"]) != (len(present) if len(present) > 2 else 1) or len(root) % len(trees["baseline"]):
        return f"{len(root)} trees and {len(trees['baseline'])} columns for {len(present)} classes"
    if len(root) and not (root.min() >= 0 and root.max() < len(left)):
        return "a tree begins at no node"
    if len(left) and not 0 <= trees["feature"].min() <= trees["feature"].max() < n_features:
        return f"a node asks for a feature beyond the {n_features} there are"
    leaf = left == itself
    inner = (left > itself) & (right > itself) & (left < len(left)) & (right < len(left))
    if not np.all(np.where(leaf, right == itself, inner)):
        return "a node's children do not come after it"
    if not all(np.isfinite(trees[n]).all() for n in ("baseline", "threshold", "value")):
        return "a number is not finite"
    return ""


def rebuilt(trees: Mapping[str, Array]) -> Any:
    """Return a fitted HistGradientBoostingClassifier of the arrays, for those who take scikit-learn's objects.

    Its classes are the indices in `present`; it needs two of them or more.
    """
    from sklearn._loss import HalfBinomialLoss, HalfMultinomialLoss
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper
    from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

    n_columns, n_features = len(trees["baseline"]), int(trees["n_features"][0])
    present = np.asarray(trees["present"], np.int64)
    model = HistGradientBoostingClassifier(max_iter=max(1, len(trees["root"]) // n_columns), early_stopping=False)
    bits = np.zeros((0, 8), np.uint32)
    made = [TreePredictor(nodes, bits, bits) for nodes in _tree_nodes(trees)]
    model._predictors = [made[i : i + n_columns] for i in range(0, len(made), n_columns)]
    model._baseline_prediction = np.asarray(trees["baseline"], np.float64).reshape(1, -1)
    model._loss = HalfBinomialLoss() if n_columns == 1 else HalfMultinomialLoss(n_classes=n_columns)
    model.classes_, model.n_trees_per_iteration_ = present, n_columns
    model.n_features_in_, model._n_features, model.is_categorical_ = n_features, n_features, None
    model._preprocessor, model._bin_mapper = None, _BinMapper()
    model._bin_mapper.is_categorical_ = np.zeros(n_features, np.uint8)  # what it says of categories: there are none
    model._bin_mapper.bin_thresholds_ = [np.zeros(0)] * n_features
    return model


def _tree_nodes(trees: Mapping[str, Array]) -> list[Array]:
    """Return scikit-learn's nodes of each tree."""
    ends = [*trees["root"][1:].tolist(), len(trees["value"])]
    out = []
    for first, end in zip(trees["root"].tolist(), ends, strict=True):
        nodes = np.zeros(end - first, _node_type())
        leaf = trees["left"][first:end] == np.arange(first, end)
        nodes["is_leaf"], nodes["value"] = leaf, trees["value"][first:end]
        nodes["feature_idx"], nodes["num_threshold"] = trees["feature"][first:end], trees["threshold"][first:end]
        for side in ("left", "right"):
            nodes[side] = np.where(leaf, 0, trees[side][first:end] - first)
        out.append(nodes)
    return out


def _node_type() -> Any:
    from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE

    return PREDICTOR_RECORD_DTYPE
