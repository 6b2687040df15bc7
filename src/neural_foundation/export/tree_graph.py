"""Boosted trees as ONNX, through skl2onnx: features of a window in, probabilities of all classes out.

Shapes: F features, K classes; `features` (n, F) float32 in, `probabilities` (n, K) float32 out, n free.

The features are those that the package's estimator measures (`BoostedTreesEstimator.features`), their names in the
graph's metadata. skl2onnx is given a scikit-learn model built from the package's arrays. Its label is left out; a
class that training never had is put in at its probability. The bytes depend on the package alone.
"""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import MissingExtraError, PackageError
from ..core.store import write_bytes
from ..models.boosted_trees import BoostedTreesEstimator, in_all_classes
from ..models.package import Package
from ..models.tree_arrays import rebuilt

if TYPE_CHECKING:
    import onnx

FEATURES, PROBABILITIES = "features", "probabilities"
NAMES = "feature_names"  # key of the metadata: their JSON list
TREE_GRAPH = "trees.onnx"
OPSET, ML_OPSET = 18, 1
EXTRA = "hms"
_LEARNED = "of_learned"


@dataclass(frozen=True)
class TreeGraph:
    """What was exported: the file, and how many features, classes, trees and nodes of trees it has."""

    path: Path
    n_features: int
    n_classes: int
    n_trees: int
    n_nodes: int


def export_trees(package: Package, path: Path | str) -> TreeGraph:
    """Write the graph of a package of boosted trees; return what was written.

    Raises
    ------
    PackageError : a package of another model, or of a single class. MissingExtraError : skl2onnx is not installed.
    StoreError : the file cannot be written.
    """
    path, estimator = Path(path), package.estimator() if package.facts.model.family == "estimator" else None
    if not isinstance(estimator, BoostedTreesEstimator):
        given = f"{package.folder} is a package of '{package.facts.model.kind}'"
        raise PackageError(given, allowed="'boosted_trees'")
    trees = estimator.state()
    if len(trees["present"]) == 1:
        raise PackageError(f"{package.folder} learned from a single class, and holds no trees")
    graph = tree_graph(estimator)
    write_bytes(path, graph.SerializeToString(deterministic=True))
    return TreeGraph(path, len(estimator.names), estimator.n_classes, len(trees["root"]), len(trees["value"]))


def tree_graph(estimator: BoostedTreesEstimator) -> onnx.ModelProto:
    """Return the graph of a fitted estimator of two classes or more."""
    from onnx import helper

    trees, n_features = estimator.state(), len(estimator.names)
    model = _converted(rebuilt(trees), n_features)
    graph = model.graph
    if len(graph.output) != 2:
        raise PackageError(f"skl2onnx gave {len(graph.output)} outputs", allowed="a label and probabilities")
    label, learned = (o.name for o in graph.output)
    for node in graph.node:
        node.input[:] = [_LEARNED if v == learned else v for v in node.input]
        node.output[:] = [_LEARNED if v == learned else v for v in node.output]
    _without(graph, label)
    graph.node.extend(_every_class(graph, trees["present"], estimator.n_classes))
    del graph.output[:]
    shape = ["windows", estimator.n_classes]
    graph.output.append(helper.make_tensor_value_info(PROBABILITIES, 1, shape))
    graph.input[0].type.tensor_type.shape.dim[0].dim_param = "windows"
    return _cleaned(model, estimator.names)


def _converted(model: Any, n_features: int) -> onnx.ModelProto:
    try:
        from skl2onnx import convert_sklearn
        from skl2onnx.common.data_types import FloatTensorType
        from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
        from skl2onnx.operator_converters.random_forest import convert_sklearn_random_forest_classifier
    except ImportError:
        raise MissingExtraError("skl2onnx", EXTRA) from None

    def convert(scope: Any, operator: Any, container: Any) -> None:
        convert_sklearn_random_forest_classifier(scope, operator, _Whole(container))

    with _quiet():
        made: onnx.ModelProto = convert_sklearn(
            model,
            name="trees",
            initial_types=[(FEATURES, FloatTensorType([None, n_features]))],
            options={id(model): {"zipmap": False, "raw_scores": False}},
            target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
            custom_conversion_functions={type(model): convert},
            custom_shape_calculators={type(model): calculate_linear_classifier_output_shapes},
        )
    return made


class _Whole:
    """skl2onnx's container, which is given whole numbers as int: skl2onnx 1.20 says False of every leaf, and onnx 1.23
    refuses a bool among an attribute's ints."""

    def __init__(self, container: Any) -> None:
        self._container = container

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def add_node(self, op_type: str, inputs: Any, outputs: Any, **attributes: Any) -> None:
        whole = {n: [_whole(v) for v in a] if isinstance(a, list) else a for n, a in attributes.items()}
        self._container.add_node(op_type, inputs, outputs, **whole)


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, (bool, np.bool_, np.integer)) else value


def _every_class(graph: Any, present: Any, n_classes: int) -> list[Any]:
    """Return the nodes from the probabilities of the learned classes to those of all; adds their constants."""
    from onnx import helper, numpy_helper

    one = in_all_classes(np.eye(len(present)), present, n_classes)
    floor = in_all_classes(np.zeros((1, len(present))), present, n_classes)
    floor[0, present] = 0.0
    for name, value in (("place", one - floor), ("floor", floor)):
        graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
    return [helper.make_node("Gemm", [_LEARNED, "place", "floor"], [PROBABILITIES])]


def _without(graph: Any, output: str) -> None:
    """Drop the nodes that only lead to an output; one that gives other values too stays."""
    unused = {output}
    while dropped := [n for n in graph.node if n.output and set(n.output) <= unused]:
        for node in dropped:
            graph.node.remove(node)
        used = {v for n in graph.node for v in n.input} | {_LEARNED}
        unused |= {v for n in graph.node for v in n.output if v not in used}
    kept = {v for n in graph.node for v in n.input}
    constants = [i for i in graph.initializer if i.name in kept]
    del graph.initializer[:]
    graph.initializer.extend(constants)


def _cleaned(model: onnx.ModelProto, names: tuple[str, ...]) -> onnx.ModelProto:
    """Drop the converter's notes, name the nodes in order, and write the features' names down."""
    from onnx import helper

    del model.metadata_props[:]
    model.doc_string, model.producer_name, model.producer_version, model.domain = "", "neural-foundation", "", ""
    model.model_version = 0
    del model.opset_import[:]  # the converter names one domain twice
    model.opset_import.extend([helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)])
    graph = model.graph
    graph.name, graph.doc_string = "trees", ""
    del graph.value_info[:]
    for i, node in enumerate(graph.node):
        node.name, node.doc_string = f"n{i}", ""
        attributes = sorted(node.attribute, key=lambda a: a.name)  # the converter's order is that of a set
        del node.attribute[:]
        node.attribute.extend(attributes)
    note = model.metadata_props.add()
    note.key, note.value = NAMES, json.dumps(list(names))
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what skl2onnx says of its own insides."""
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning, UserWarning):
            warnings.simplefilter("ignore", category)
        yield
