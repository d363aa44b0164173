"""A function of trees of tensors, traced through its derivatives and compiled."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Compiled(Generic[Arguments, Result]):
    """`Compiled(f)(…) = f(…)`, as few fused loops; inputs of equal shapes share a graph.

    The trace is taken around the outermost function, with its derivatives and `vmap`s in it; the
    result records no gradients. `f` must not close over tensors.
    """

    def __init__(self, f: Callable[Arguments, Result]) -> None:
        """Args: f: takes and returns trees of tensors, and does not depend on their values."""
        self._f = f
        self._lock = threading.Lock()
        self._graphs: dict[Any, tuple[Callable[..., Any], Any]] = {}

    def __call__(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        """Compile for these shapes if they are new (seconds), and compute."""
        tensors, spec = pytree.tree_flatten((args, kwargs))
        key = spec, tuple((t.shape, t.stride(), t.dtype, t.device) for t in tensors)
        with self._lock:
            if key not in self._graphs:
                self._graphs[key] = self._compile(tensors, spec)
            graph, result_spec = self._graphs[key]
        with torch.no_grad():
            outputs = graph(*tensors)
        result: Result = pytree.tree_unflatten(list(outputs), result_spec)
        return result

    def _compile(self, tensors: list[Any], spec: Any) -> tuple[Callable[..., Any], Any]:
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
        return torch.compile(traced, dynamic=False, options={"cpp_wrapper": True}), form[-1]
