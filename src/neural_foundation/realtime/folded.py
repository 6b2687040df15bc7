"""A step of a network as a list of operations in which all that depends on weights alone is already computed.

`record` runs a function once and notes its operations (torch's `make_fx`); `fold` computes those whose inputs are
constants and keeps the results. What is left touches the signal or the state. The step graph in ONNX is folded the
same way (`export.step_graph`).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from ..core.errors import StreamError

VIEWS = frozenset(
    [
        *("alias", "as_strided", "detach", "diagonal", "expand", "permute", "reshape", "select", "slice", "split", "t"),
        *("split_with_sizes", "squeeze", "transpose", "unbind", "unsqueeze", "view", "_unsafe_view"),
        *("empty", "empty_strided", "empty_like", "new_empty", "new_empty_strided"),
    ]
)  # operations that start no kernel


def record(function: Callable[..., Any], inputs: Sequence[Tensor]) -> fx.GraphModule:
    """Return the folded operations of `function(*inputs)`; inputs that it changes in place are changed once here."""
    from torch.fx.experimental.proxy_tensor import make_fx

    with torch.no_grad():
        return fold(make_fx(function)(*inputs))


@torch.no_grad()
def fold(module: fx.GraphModule) -> fx.GraphModule:
    """Return a module of the operations that do not depend on constants alone; the others' results are its buffers.

    Raises StreamError for a step that writes what it hears into a constant: its next token would start from there.
    """
    graph, known = module.graph, dict[fx.Node, Any]()
    for node in graph.nodes:
        if node.op == "get_attr":
            known[node] = getattr(module, str(node.target)).detach()
        elif node.op == "call_function" and name_of(node) == "_linalg_check_errors":
            continue
        elif node.op == "call_function" and _constant(node, known):
            args, kwargs = pytree.tree_map_only(fx.Node, known.__getitem__, (node.args, node.kwargs))
            known[node] = node.target(*args, **kwargs)
    for node in list(graph.nodes):
        if node not in known and node.op == "call_function":
            _take_constants(module, node, known)
    for node in reversed(list(graph.nodes)):
        if not node.users and (node in known or (node.op == "call_function" and not _writes(node))):
            graph.erase_node(node)
    return fx.GraphModule(module, graph)  # of the module's tensors, those that are read


def _take_constants(module: fx.GraphModule, node: fx.Node, known: dict[fx.Node, Any]) -> None:
    """Let an operation read the constants among its inputs from buffers."""
    constants = [a for a in node.all_input_nodes if a in known]
    if any(a in constants for a in _written(node)):
        raise StreamError(
            f"This network's step writes into a constant ({name_of(node)})", remedy="Run it on the CPU: --device cpu"
        )
    for constant in constants:
        name = f"c_{constant.name}"
        module.register_buffer(name, known[constant], persistent=False)
        with module.graph.inserting_before(node):
            node.replace_input_with(constant, module.graph.get_attr(name))


def _constant(node: fx.Node, known: dict[fx.Node, Any]) -> bool:
    """Return whether an operation has constant inputs alone; room that is yet to be written is no constant."""
    return not name_of(node).startswith(("empty", "new_empty")) and all(a in known for a in node.all_input_nodes)


def name_of(node: fx.Node) -> str:
    """Return the plain name of an operation: 'mul_' of aten.mul_.Tensor."""
    target: Any = node.target
    return str(getattr(target, "overloadpacket", target).__name__)


def _writes(node: fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return bool(schema is not None and schema.is_mutable)


def _written(node: fx.Node) -> list[fx.Node]:
    """Return the inputs that an operation writes into."""
    if not _writes(node):
        return []
    found: list[fx.Node] = []
    for i, argument in enumerate(node.target._schema.arguments):  # type: ignore[union-attr]
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = node.args[i] if i < len(node.args) else node.kwargs.get(argument.name)
            found += [v for v in pytree.tree_leaves(value) if isinstance(v, fx.Node)]
    return found


def kernels(module: fx.GraphModule) -> int:
    """Return how many operations compute or copy something: about the kernels of a step."""
    return sum(
        n.op == "call_function" and n.target is not operator.getitem and name_of(n) not in VIEWS
        for n in module.graph.nodes
    )


def constants(module: fx.GraphModule) -> list[Tensor]:
    """Return the tensors that a step reads beside its inputs."""
    return [getattr(module, str(n.target)) for n in module.graph.nodes if n.op == "get_attr"]
