"""Meta-training for few-shot learning: draw tasks, average their outer gradients, take a step.

What is learnt and how is the learner's matter (`maml.py`, `reptile.py`, `protonet.py`, …).
"""

from __future__ import annotations

import math
import time
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from metarl.core.adam import Moments, adam_step, no_moments, shrunk
from metarl.core.compile.traced import Traced
from metarl.core.mapping import TaskMapping, Workers, unstack_tasks
from metarl.core.one_thread import one_thread
from metarl.core.params import Params, broadcast, global_norm, leaves, map_params, unstack
from metarl.fewshot.config import FewShotConfig
from metarl.fewshot.data.task import Split
from metarl.fewshot.learners.protocol import FewShotLearner


@runtime_checkable
class OwnGradient(Protocol):
    """A learner whose outer step is not the mean gradient of its loss."""

    def task_gradient(self, theta: Params, task: Split) -> tuple[Tensor, Params]:
        """The loss of one task and what takes the place of its gradient."""

    def aggregate(self, gradients: Params) -> Params:
        """One gradient of those of all tasks, `[T, …]` each."""


class FewShotState(NamedTuple):
    """Everything that meta-training changes."""

    theta: Params
    moments: Moments
    iterations: Tensor  # so far, a float64 scalar

    def tensors(self) -> dict[str, Tensor]:
        """A flat dictionary for a checkpoint."""
        groups = {"theta": self.theta, "first": self.moments.first, "second": self.moments.second}
        flat = {f"{group}/{name}": p for group, row in groups.items() for name, p in row.items()}
        return flat | {"adam": self.moments.steps, "iterations": self.iterations}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> FewShotState:
        """The inverse of `tensors`; names are sorted, as sums depend on their order."""
        groups: dict[str, Params] = {"theta": {}, "first": {}, "second": {}}
        for key in sorted(tensors):
            group, _, name = key.partition("/")
            if name:
                groups[group][name] = tensors[key]
        moments = Moments(groups["first"], groups["second"], tensors["adam"])
        return cls(groups["theta"], moments, tensors["iterations"])


class FewShot:
    """Steps the meta-parameters of a learner; what training changes lives in `FewShotState`."""

    def __init__(
        self,
        config: FewShotConfig,
        learner: FewShotLearner,
        *,
        how: TaskMapping = "vmap",
        compiled: bool = False,
        workers: Workers | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        """Take a learner, and how to map over tasks.

        Args:
            config: hyper-parameters.
            learner: whose loss is descended.
            how: tasks in one vmapped call, one at a time, or on the threads of `workers`.
            compiled: compile the vmapped gradient (seconds, once).
            workers: the threads of "threads", and of evaluations.
            device: where the tensors live.

        Raises:
            ValueError: an unknown `how`, or "threads" without `workers`, or `compiled` without
                "vmap".
        """
        if how not in ("vmap", "loop", "threads") or (how == "threads" and workers is None):
            raise ValueError(f"how must be vmap, loop or threads (with workers), got {how!r}")
        if how == "vmap" and not learner.vmaps:
            raise ValueError("this algorithm takes one task at a time: use --how loop or threads")
        if compiled and how != "vmap":
            raise ValueError(f"only the vmapped gradient can be compiled, got how={how!r}")
        self.config = config
        self.learner = learner
        self.device = torch.device(device)
        self.workers = workers or Workers(1)
        self._how = how
        self._vmapped = Traced(self._all_tasks, compiled=compiled)

    @one_thread()
    def init(self, seed: int) -> FewShotState:
        """Fresh meta-parameters; the same seed gives the same bits."""
        theta = self.learner.init(torch.Generator().manual_seed(seed))
        theta = {name: theta[name].to(self.device) for name in sorted(theta)}
        return FewShotState(theta, no_moments(theta), torch.zeros((), dtype=torch.float64))

    @one_thread()
    def iteration(
        self, state: FewShotState, batch: Split, given: Params | None = None
    ) -> tuple[FewShotState, dict[str, float | Tensor]]:
        """One meta-iteration on T tasks.

        Args:
            state: before it.
            batch: the tasks.
            given: what stands beside θ in each task's loss, `[T, …]` each, such as the masks of
                `metarl.fewshot.networks.network.dropout`.

        A gradient that is not finite leaves the state but for its count of iterations.

        Returns:
            The next state and the metrics (tensors are scalars, not read yet).
        """
        started = time.perf_counter()
        constants = self.learner.constants(int(state.iterations))
        shared = broadcast(map_params(lambda p: p.to(self.device), constants), len(batch.query.y))
        loss, gradient = self.gradient(state.theta, batch, {**(given or {}), **shared})
        norm = global_norm(gradient)
        finite = bool(torch.isfinite(norm))
        theta, moments = self._stepped(state, gradient) if finite else state[:2]
        metrics: dict[str, float | Tensor] = {
            "outer/loss": loss,
            "outer/grad_norm": norm,
            "outer/non_finite": float(not finite),
            "time/update": time.perf_counter() - started,
        }
        return FewShotState(theta, moments, state.iterations + 1), metrics

    def _stepped(self, state: FewShotState, gradient: Params) -> tuple[Params, Moments]:
        """θ and what Adam remembers, after one step."""
        c, theta, lr = self.config, state.theta, self.lr(float(state.iterations))
        fixed = self.learner.undecayed
        decay = frozenset(k for k in theta if k.endswith(".weight") and not k.startswith(fixed))
        if c.outer_optimizer == "sgd":
            theta = shrunk(theta, lr * c.weight_decay, decay)
            return map_params(lambda p, g: p - lr * g, theta, gradient), state.moments
        return adam_step(
            theta, gradient, state.moments, lr=lr, weight_decay=c.weight_decay, decay=decay
        )

    def lr(self, iteration: float) -> float:
        """The outer step size after so many iterations."""
        c = self.config
        done = min(iteration / c.iterations, 1.0)
        factors = {
            "constant": 1.0,
            "linear": 1 - done,
            "cosine": (1 + math.cos(math.pi * done)) / 2,
        }
        return c.lr * factors[c.lr_schedule]

    @one_thread()
    def gradient(
        self, theta: Params, batch: Split, given: Params | None = None
    ) -> tuple[Tensor, Params]:
        """The mean outer loss over tasks and its gradient (or what takes its place)."""
        given = given or {}
        if self._how == "vmap":
            return self._vmapped(theta, batch, given)
        tasks = unstack_tasks(batch)
        workers = self.workers if self._how == "threads" else Workers(1)
        rows = workers.map(
            lambda task, own: self._one_task(theta, task, own),
            tasks,
            unstack(given) if given else [{}] * len(tasks),
        )
        loss = torch.stack([row for row, _ in rows]).mean()
        return loss, self._joined({name: torch.stack([g[name] for _, g in rows]) for name in theta})

    def _all_tasks(self, theta: Params, batch: Split, given: Params) -> tuple[Tensor, Params]:
        """All tasks at once."""
        if isinstance(self.learner, OwnGradient):
            per_task = torch.func.vmap(self.learner.task_gradient, (None, 0))
            losses, gradients = per_task(theta, batch)
            return losses.mean(), self._joined(gradients)

        def mean_loss(theta: Params) -> Tensor:
            losses: Tensor = torch.func.vmap(self._task_loss, (None, 0, 0))(theta, batch, given)
            return losses.mean()

        gradient, loss = torch.func.grad_and_value(mean_loss)(theta)
        return loss, gradient

    def _task_loss(self, theta: Params, task: Split, given: Params) -> Tensor:
        """Compute the loss of one task, with what it is given."""
        return self.learner.loss({**theta, **given}, task)

    def _one_task(self, theta: Params, task: Split, given: Params) -> tuple[Tensor, Params]:
        """One task by plain autograd, whose calls cost less."""
        if isinstance(self.learner, OwnGradient):
            return self.learner.task_gradient(theta, task)
        theta = leaves(theta)
        with torch.enable_grad():
            loss = self._task_loss(theta, task, given)
            gradient = torch.autograd.grad(loss, list(theta.values()), materialize_grads=True)
        return loss.detach(), dict(zip(theta, gradient, strict=True))

    def _joined(self, gradients: Params) -> Params:
        """One gradient of those of all tasks, `[T, …]` each."""
        if isinstance(self.learner, OwnGradient):
            return self.learner.aggregate(gradients)
        return map_params(lambda g: g.mean(0), gradients)
