"""A function that is linear in its second argument, split once into two graphs.

`f(point, v)` is traced; all that depends on the point alone becomes the first graph, which runs
once per point, and the rest the second one, which runs once per vector. Conjugate gradient calls a
Fisher product ten times at one point: activations, probabilities and first derivatives are then
computed once, and both graphs are compiled into few fused loops.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from metarl.core.compile.compiling import compile_graph

At = TypeVar("At")
Vector = TypeVar("Vector")
Result = TypeVar("Result")

_aten = torch.ops.aten
_VIEWS = {
    _aten.detach.default,
    _aten.expand.default,
    _aten.t.default,
    _aten.transpose.int,
    _aten.unsqueeze.default,
    _aten.view.default,
}


class LinearMap(Generic[At, Vector, Result]):
    """`at(point)` gives `v ↦ f(point, v)`; points of equal shapes share the graphs."""

    def __init__(self, f: Callable[[At, Vector], Result], *, compiled: bool) -> None:
        """Take a function that is linear in its second argument.

        Args:
            f: linear in its second argument; takes and returns trees of tensors, closes over none.
            compiled: compile both graphs (seconds, once per shapes); otherwise the same operations
                run one by one.
        """
        self._f = f
        self._compiled = compiled
        self._lock = threading.Lock()
        self._graphs: dict[Any, _Graphs] = {}

    def at(self, point: At, like: Vector) -> Callable[[Vector], Result]:
        """Compute what depends on `point` alone.

        Args:
            point: tree of tensors.
            like: a vector of the shapes that will come.

        Returns:
            `v ↦ f(point, v)`, which keeps what it needs of the point alive.
        """
        tensors, spec = pytree.tree_flatten(point)
        key = spec, tuple((t.shape, t.stride(), t.dtype, t.device) for t in tensors)
        with self._lock:
            if key not in self._graphs:
                self._graphs[key] = _Graphs(self._f, point, like, self._compiled)
            graphs = self._graphs[key]
        with torch.no_grad():
            kept = graphs.first(*tensors)

        def product(v: Vector) -> Result:
            with torch.no_grad():
                outputs = graphs.second(*kept, *pytree.tree_leaves(v))
            result: Result = pytree.tree_unflatten(list(outputs), graphs.result_spec)
            return result

        return product


class _Graphs:
    """The two graphs for points and vectors of one set of shapes."""

    first: Callable[..., list[Tensor]]  # tensors of the point -> what the second graph needs
    second: Callable[..., list[Tensor]]  # that, and tensors of the vector -> tensors of the result

    def __init__(self, f: Callable[[Any, Any], Any], point: Any, like: Any, compiled: bool) -> None:
        tensors, spec = pytree.tree_flatten(point)
        vectors, vector_spec = pytree.tree_flatten(like)

        def flat(*inputs: Tensor) -> list[Tensor]:
            point = pytree.tree_unflatten(list(inputs[: len(tensors)]), spec)
            result = f(point, pytree.tree_unflatten(list(inputs[len(tensors) :]), vector_spec))
            outputs, self.result_spec = pytree.tree_flatten(result)
            return outputs

        traced = make_fx(flat)(*tensors, *vectors)
        if any(node.op == "get_attr" for node in traced.graph.nodes):
            raise ValueError("the function closes over a tensor; pass it as part of the point")
        first, second = _split(traced, len(tensors))
        self.first = first
        self.second = second
        if compiled:
            self.first = compile_graph(first, *tensors)
            with torch.no_grad():
                kept = self.first(*tensors)
            self.second = compile_graph(second, *kept, *vectors)


def _split(traced: fx.GraphModule, point_size: int) -> tuple[fx.GraphModule, fx.GraphModule]:
    """The part that depends on the first `point_size` inputs alone, and the rest.

    Views are cheap: they are taken again in the second part, from what they view.
    """
    traced.graph.eliminate_dead_code()
    _merge_equal_nodes(traced.graph)
    *nodes, output = traced.graph.nodes
    inputs = [node for node in nodes if node.op == "placeholder"]
    rest = set(inputs[point_size:])
    for node in nodes:
        if not rest.isdisjoint(node.all_input_nodes):
            rest.add(node)
    needed: set[fx.Node] = set()  # computed in the first part, used in the second
    again: set[fx.Node] = set()  # views, taken in both
    todo = [node for user in (*rest, output) for node in user.all_input_nodes if node not in rest]
    while todo:
        node = todo.pop()
        if node.target in _VIEWS:
            again.add(node)
            todo.extend(node.all_input_nodes)
        else:
            needed.add(node)
    kept = [node for node in nodes if node in needed]

    first = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in nodes:
        if node not in rest:
            copies[node] = first.node_copy(node, copies.__getitem__)
    first.output([copies[node] for node in kept])
    first.eliminate_dead_code()

    second = fx.Graph()
    copies = {node: second.placeholder(node.name) for node in kept}
    for node in inputs[point_size:]:
        copies[node] = second.node_copy(node)
    for node in nodes:
        if node not in copies and (node in rest or node in again):
            copies[node] = second.node_copy(node, copies.__getitem__)
    second.output([copies[node] for node in output.args[0]])
    return fx.GraphModule(traced, first), fx.GraphModule(traced, second)


def _merge_equal_nodes(graph: fx.Graph) -> None:
    """Compute once what a function computes several times from the same inputs."""
    seen: dict[Any, fx.Node] = {}
    for node in graph.nodes:
        if node.op != "call_function":
            continue
        key = node.target, repr(node.args), repr(node.kwargs)
        if key in seen:
            node.replace_all_uses_with(seen[key])
            graph.erase_node(node)
        else:
            seen[key] = node
