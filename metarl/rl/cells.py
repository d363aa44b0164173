"""Recurrent cells as pure functions of their parameters; time-major, a trial at once or a step.

Without layer normalisation a cell is one of torch's fused kernels, for a sequence or for a step.
With it, every gate's input and recurrent sums are normalised apart (Ba et al. 2016, arXiv
1607.06450, section 3.1) and time is a loop. Weights start orthogonal, gate by gate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from metarl.core.params import Params

CellName = Literal["gru", "lstm"]
Memory = tuple[Tensor, ...]
"""What a cell remembers of every trial, each `[N, …]`."""


class Cell(Protocol):
    """A causal map from sequences to sequences that can go on where it stopped."""

    @property
    def hidden(self) -> int:
        """Width of the features."""

    def init(self, inputs: int, generator: torch.Generator) -> Params:
        """Fresh parameters for sequences of width `inputs`."""

    def start(self, num_trials: int, device: torch.device) -> Memory:
        """The memory before a trial's first step."""

    def unroll(self, params: Params, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """Features `[S, N, hidden]` of inputs `[S, N, inputs]`, and the memory after them."""


@dataclass(frozen=True)
class Gru:
    """A gated recurrent unit (arXiv 1406.1078), in torch's form.

    r = σ(W_r x + U_r h),  z = σ(W_z x + U_z h),  n = tanh(W_n x + r (U_n h)),
    h' = (1 − z) n + z h
    """

    hidden: int
    layer_norm: bool = False

    def init(self, inputs: int, generator: torch.Generator) -> Params:
        """Orthogonal weights, zero biases."""
        return _init(3, inputs, self.hidden, self.layer_norm, generator)

    def start(self, num_trials: int, device: torch.device) -> Memory:
        """h = 0, `[N, hidden]`."""
        return (torch.zeros(num_trials, self.hidden, device=device),)

    def unroll(self, params: Params, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """Features `[S, N, hidden]` of inputs `[S, N, inputs]`, and the memory after them."""
        if not self.layer_norm:
            if _acts(x):
                h = torch.gru_cell(x.squeeze(0), memory[0], *_fused(params))
                return h.unsqueeze(0), (h,)
            train = torch.is_grad_enabled()
            h0 = memory[0].unsqueeze(0)
            out, h = torch.gru(x, h0, _fused(params), True, 1, 0.0, train, False, False)
            return out, (h.squeeze(0),)
        (h,) = memory
        rows = []
        for gates in self._gates(params, "ih", x).unbind(0):
            recurrent = self._gates(params, "hh", h)
            r, z = (gates[..., :2, :] + recurrent[..., :2, :]).sigmoid().unbind(-2)
            n = torch.tanh(gates[..., 2, :] + r * recurrent[..., 2, :])
            h = torch.lerp(n, h, z)
            rows.append(h)
        return torch.stack(rows), (h,)

    def _gates(self, params: Params, which: str, x: Tensor) -> Tensor:
        return _normalized_gates(params, which, x, 3)


@dataclass(frozen=True)
class Lstm:
    """Long short-term memory (Hochreiter and Schmidhuber 1997), in torch's form.

    i, f, g, o = σ, σ, tanh, σ of (W x + U h),  c' = f c + i g,  h' = o tanh(c')

    The forget gate's bias starts at 1. With layer normalisation c' is normalised within the tanh.
    """

    hidden: int
    layer_norm: bool = False

    def init(self, inputs: int, generator: torch.Generator) -> Params:
        """Orthogonal weights, zero biases except the forget gate's."""
        params = _init(4, inputs, self.hidden, self.layer_norm, generator)
        params["bias_ih"][self.hidden : 2 * self.hidden] = 1.0
        if self.layer_norm:
            params["norm_c"] = torch.ones(self.hidden)
            params["bias_c"] = torch.zeros(self.hidden)
        return params

    def start(self, num_trials: int, device: torch.device) -> Memory:
        """h = c = 0, each `[N, hidden]`."""
        zero = torch.zeros(num_trials, self.hidden, device=device)
        return zero, zero.clone()

    def unroll(self, params: Params, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """Features `[S, N, hidden]` of inputs `[S, N, inputs]`, and the memory after them."""
        if not self.layer_norm:
            if _acts(x):
                h, c = torch.lstm_cell(x.squeeze(0), memory, *_fused(params))
                return h.unsqueeze(0), (h, c)
            train = torch.is_grad_enabled()
            start = [m.unsqueeze(0) for m in memory]
            out, h, c = torch.lstm(x, start, _fused(params), True, 1, 0.0, train, False, False)
            return out, (h.squeeze(0), c.squeeze(0))
        h, c = memory
        rows = []
        for gates in _normalized_gates(params, "ih", x, 4).unbind(0):
            i, f, g, o = (gates + _normalized_gates(params, "hh", h, 4)).unbind(-2)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            normal = functional.layer_norm(c, (self.hidden,), params["norm_c"], params["bias_c"])
            h = o.sigmoid() * normal.tanh()
            rows.append(h)
        return torch.stack(rows), (h, c)


def make_cell(name: str, hidden: int, *, layer_norm: bool) -> Cell:
    """The cell of a name.

    Raises:
        ValueError: an unknown name.
    """
    if name == "gru":
        return Gru(hidden, layer_norm)
    if name == "lstm":
        return Lstm(hidden, layer_norm)
    raise ValueError(f"--cell must be gru or lstm, got {name!r}")


def orthogonal(rows: int, columns: int, generator: torch.Generator, gain: float = 1.0) -> Tensor:
    """A random matrix `[rows, columns]` with orthonormal rows or columns, times `gain`."""
    return torch.nn.init.orthogonal_(torch.empty(rows, columns), gain, generator)


def _init(
    gates: int, inputs: int, hidden: int, layer_norm: bool, generator: torch.Generator
) -> Params:
    params: Params = {}
    for name, width in (("ih", inputs), ("hh", hidden)):
        blocks = [orthogonal(hidden, width, generator) for _ in range(gates)]
        params[f"weight_{name}"] = torch.cat(blocks)
        params[f"bias_{name}"] = torch.zeros(gates * hidden)
        if layer_norm:
            params[f"norm_{name}"] = torch.ones(gates * hidden)
    return params


def _acts(x: Tensor) -> bool:
    """Say whether inputs `[S, N, inputs]` are a single step on a GPU.

    cuDNN, made for sequences, would first copy all weights together, every time.
    """
    return len(x) == 1 and x.device.type != "cpu"


def _fused(params: Params) -> list[Tensor]:
    return [params[name] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]


def _normalized_gates(params: Params, which: str, x: Tensor, gates: int) -> Tensor:
    """LN(W x) · gain + bias, gate by gate: `[…, inputs]` to `[…, gates, hidden]`."""
    sums = functional.linear(x, params[f"weight_{which}"])
    sums = sums.view(*x.shape[:-1], gates, -1)
    normal = functional.layer_norm(sums, sums.shape[-1:])
    gain, bias = (params[f"{name}_{which}"].view(gates, -1) for name in ("norm", "bias"))
    return normal * gain + bias
