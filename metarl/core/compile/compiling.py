"""Compiling a graph, in a way that Ctrl-C does not break."""

from __future__ import annotations

import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, fx


def compile_graph(graph: fx.GraphModule, *example: Tensor) -> Callable[..., Any]:
    """The graph for the shapes of `example`, without gradients; takes seconds.

    On a CPU it calls C++ once, as wrappers in Python would hold the interpreter's lock; on a GPU it
    is Triton's kernels. A terminal sends Ctrl-C to the compiler's processes too, and they would die
    of it, whereas the command ends in order only after what it is doing. So they are started from a
    thread that blocks the signals, which they inherit, while the command's own threads see them.
    """
    on_cpu = all(x.device.type == "cpu" for x in example)
    compiled: Callable[..., Any] = torch.compile(
        graph, dynamic=False, options={"cpp_wrapper": on_cpu}
    )

    def first_call(threads: int) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        torch.set_num_threads(threads)  # new threads do not inherit it, and the code depends on it
        with torch.no_grad():
            compiled(*example)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(first_call, torch.get_num_threads()).result()
    return compiled
