"""A causal transformer over the trial, as a `Cell` whose memory is its key-value cache.

Pre-norm layers (arXiv 2002.04745) with learnt positions: what a step sees is itself and the steps
of its trial before it, `context` of them at most.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from metarl.core.params import Params
from metarl.rl.cells import Memory, orthogonal

_POSITION_STD = 0.02


@dataclass(frozen=True)
class Transformer:
    """x ← x + W_o attention(LN x),  x ← x + W_2 gelu(W_1 LN x) in every layer, LN at the end."""

    hidden: int
    layers: int
    heads: int
    context: int

    def init(self, inputs: int, generator: torch.Generator) -> Params:
        """Orthogonal weights, zero biases, positions N(0, .02²)."""
        d = self.hidden
        params: Params = {
            "input.weight": orthogonal(d, inputs, generator),
            "input.bias": torch.zeros(d),
            "position": _POSITION_STD * torch.randn(self.context, d, generator=generator),
            **_norm("norm", d),
        }
        for i in range(self.layers):
            params |= _norm(f"{i}.norm_attention", d) | _norm(f"{i}.norm_mlp", d)
            for name, fan_in, fan_out in (
                ("query", d, d),
                ("key", d, d),
                ("value", d, d),
                ("output", d, d),
                ("up", d, 4 * d),
                ("down", 4 * d, d),
            ):
                params[f"{i}.{name}.weight"] = orthogonal(fan_out, fan_in, generator)
                params[f"{i}.{name}.bias"] = torch.zeros(fan_out)
        return params

    def start(self, num_trials: int, device: torch.device) -> Memory:
        """Keys and values, each `[N, layers, context, hidden]`, and how many there are `[N]`."""
        shape = (num_trials, self.layers, self.context, self.hidden)
        length = torch.zeros(num_trials, dtype=torch.int64, device=device)
        return torch.zeros(shape, device=device), torch.zeros(shape, device=device), length

    def unroll(self, params: Params, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """Features `[S, N, hidden]` of inputs `[S, N, inputs]`, and the memory after them.

        Raises:
            ValueError: the trial is longer than the context; says what it needs.
        """
        keys, values, length = memory
        steps = len(x)
        if x.device.type == "cpu":  # asking a GPU would wait for it: whoever acts there asks first
            require_context(self.context, int(length.max()) + steps)
        # the position of every step in its trial, [N, S]
        at = length.unsqueeze(1) + torch.arange(steps, device=x.device)
        visible = torch.arange(self.context, device=x.device) <= at.unsqueeze(-1)  # [N, S, context]
        h = _linear(params, "input", x.transpose(0, 1)) + params["position"][at]  # [N, S, hidden]
        cached = []
        for i in range(self.layers):
            normal = _normalize(params, f"{i}.norm_attention", h)
            key, value = (
                _write(cache[:, i], at, _linear(params, f"{i}.{name}", normal))
                for cache, name in ((keys, "key"), (values, "value"))
            )
            cached.append((key, value))
            query = _linear(params, f"{i}.query", normal)
            seen = self._attend(query, key, value, visible)
            h = h + _linear(params, f"{i}.output", seen)
            up = _linear(params, f"{i}.up", _normalize(params, f"{i}.norm_mlp", h))
            h = h + _linear(params, f"{i}.down", functional.gelu(up))
        after = tuple(torch.stack(column, 1) for column in zip(*cached, strict=True))
        features = _normalize(params, "norm", h).transpose(0, 1)
        return features, (*after, length + steps)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, visible: Tensor) -> Tensor:
        """softmax(q kᵀ / √d) v of every head, over what is visible: `[N, S, hidden]`."""

        def split(rows: Tensor) -> Tensor:  # [N, …, hidden] to [N, heads, …, hidden / heads]
            return rows.view(*rows.shape[:2], self.heads, -1).transpose(1, 2)

        seen = functional.scaled_dot_product_attention(
            split(query), split(key), split(value), visible.unsqueeze(1)
        )
        return seen.transpose(1, 2).flatten(2)


def require_context(context: int, steps: int) -> None:
    """Refuse trials that are longer than a transformer can see.

    Raises:
        ValueError: says what context they need.
    """
    if steps > context:
        raise ValueError(
            f"a trial of {steps} steps is longer than the transformer's context of {context}: "
            f"train with --context {steps}, or give fewer or shorter episodes"
        )


def _write(cache: Tensor, at: Tensor, rows: Tensor) -> Tensor:
    """The cache `[N, context, hidden]` with rows `[N, S, hidden]` at positions `[N, S]`."""
    return cache.scatter(1, at.unsqueeze(-1).expand_as(rows), rows)


def _norm(name: str, size: int) -> Params:
    return {f"{name}.weight": torch.ones(size), f"{name}.bias": torch.zeros(size)}


def _normalize(params: Params, name: str, x: Tensor) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], params[f"{name}.weight"], params[f"{name}.bias"])


def _linear(params: Params, name: str, x: Tensor) -> Tensor:
    return functional.linear(x, params[f"{name}.weight"], params[f"{name}.bias"])
