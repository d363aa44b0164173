"""A function of trees of tensors, traced through its derivatives, and compiled if wanted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from metarl.core.compile.compiling import compile_graph

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

WORTH_TRACING = 10
"""Calls with the same shapes before they are traced, which costs as much as some more of them."""


class Traced(Generic[Arguments, Result]):
    """`Traced(f)(…) = f(…)`, without the cost of `torch.func`; equal shapes share a graph.

    The trace is taken around the outermost function, with its derivatives and `vmap`s in it; the
    result records no gradients. `f` must not close over tensors.
    """

    def __init__(self, f: Callable[Arguments, Result], *, compiled: bool) -> None:
        """Take the function to trace.

        Args:
            f: takes and returns trees of tensors, and does not depend on their values.
            compiled: fuse the graph (seconds, once per shapes); otherwise its operations run one by
                one.
        """
        self._f = f
        self._compiled = compiled
        self._lock = threading.Lock()
        self._graphs: dict[Any, tuple[Callable[..., Any], Any]] = {}
        self._calls: dict[Any, int] = {}  # of shapes without a graph

    def __call__(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        """Compute, by a graph where there is one."""
        tensors, spec = pytree.tree_flatten((args, kwargs))
        key = _key(tensors, spec)
        with self._lock:
            if key not in self._graphs:
                self._calls[key] = self._calls.get(key, 0) + 1
                if not self._compiled and self._calls[key] <= WORTH_TRACING:
                    return self._f(*args, **kwargs)
                self._graphs[key] = self._trace(tensors, spec)
            graph, result_spec = self._graphs[key]
        with torch.no_grad():
            outputs = graph(*tensors)
        result: Result = pytree.tree_unflatten(list(outputs), result_spec)
        return result

    def _trace(self, tensors: list[Any], spec: Any) -> tuple[Callable[..., Any], Any]:
        """The graph for inputs of one set of shapes, and the form of its result."""
        form: list[Any] = []

        def flat(*inputs: torch.Tensor) -> list[torch.Tensor]:
            args, kwargs = pytree.tree_unflatten(list(inputs), spec)
            outputs, result_spec = pytree.tree_flatten(self._f(*args, **kwargs))
            form.append(result_spec)
            return outputs

        traced = make_fx(flat)(*tensors)
        if any(node.op == "get_attr" for node in traced.graph.nodes):
            raise ValueError("the function closes over a tensor; pass it as an argument")
        if self._compiled:
            return compile_graph(traced, *tensors), form[-1]
        traced.graph.eliminate_dead_code()
        traced.recompile()
        return traced, form[-1]


def _key(tensors: list[Any], spec: Any) -> Any:
    """Return what arguments of one graph have in common."""
    return spec, tuple((t.shape, t.stride(), t.dtype, t.device) for t in tensors)
