"""Compiling survives what ends other commands."""

import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import fx

from metarl.core.compile.compiling import compile_graph

GRAPH = fx.symbolic_trace(lambda x: x + 1)


@pytest.mark.parametrize("signal", ["INT", "TERM"])
def test_an_interrupt_does_not_end_the_compiler(
    signal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal sends Ctrl-C to every process of a command, those that compile included."""
    said = []

    def with_compiler(graph: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        def call(x: torch.Tensor) -> torch.Tensor:
            shell = ["sh", "-c", f"kill -{signal} $$; echo done"]
            said.append(subprocess.run(shell, stdout=subprocess.PIPE, check=False).stdout)
            return graph(x)

        return call

    monkeypatch.setattr(torch, "compile", with_compiler)
    compile_graph(GRAPH, torch.ones(2))
    assert said == [b"done\n"]


@pytest.mark.parametrize(("device", "in_cpp"), [("cpu", True), ("meta", False)])
def test_only_a_cpus_graph_is_called_from_cpp(
    device: str, in_cpp: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU's kernels are launched as the compiler launches them by default."""
    given = []

    def record(graph: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        given.append(options["options"]["cpp_wrapper"])
        return graph

    monkeypatch.setattr(torch, "compile", record)
    compile_graph(GRAPH, torch.ones(2, device=device))
    assert given == [in_cpp]


def test_what_goes_wrong_in_compiling_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not lost in another thread."""

    def broken(x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no compiler")

    monkeypatch.setattr(torch, "compile", lambda graph, **options: broken)
    with pytest.raises(RuntimeError, match="no compiler"):
        compile_graph(GRAPH, torch.ones(2))
