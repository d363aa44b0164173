"""PPO over whole trials: minibatches are over trials, errors go back through all of their time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from metarl.core.mapping import Workers
from metarl.core.one_thread import one_thread
from metarl.core.params import Params, global_norm, leaves, map_params
from metarl.rl.ppo import PpoBatch, PpoConfig, PpoState, PpoTerms, ppo_terms, take_trials
from metarl.rl.recurrent import RecurrentPolicy

_ADAM_EPS = 1e-8


State = TypeVar("State", bound=PpoState)


class Schedule(NamedTuple):
    """These numbers change from iteration to iteration."""

    lr: float
    entropy_weight: float


class Steps(NamedTuple):
    """The steps of an iteration say this of themselves."""

    terms: Tensor  # [minibatches, terms], the means that each began with
    norms: Tensor  # [steps], of the gradients
    skipped: int  # minibatches whose gradient was not finite


class TrialPpo:
    """Steps the parameters of a recurrent policy on a batch of trials."""

    shard = 64
    """Trials that one thread differentiates at a time; fixed, so that threads change no bit."""

    def __init__(
        self, config: PpoConfig, policy: RecurrentPolicy, device: torch.device, workers: Workers
    ) -> None:
        """Make the update of a policy's parameters.

        Args:
            config: hyper-parameters.
            policy: whose parameters are stepped.
            device: where they live.
            workers: threads of the update on a CPU.
        """
        self.config = config
        self.policy = policy
        self.device = device
        self.workers = workers

    @one_thread()
    def update(
        self, state: State, batch: PpoBatch, rng: np.random.Generator
    ) -> tuple[State, dict[str, float]]:
        """Epochs of minibatches of whole trials; returns the next state and the metrics."""
        c = self.config
        left = max(1 - float(state.counters["iterations"]) / c.iterations, 0.0)
        lr = c.lr * (left if c.lr_schedule == "linear" else 1.0)
        entropy_weight = c.entropy_weight * (left if c.entropy_schedule == "linear" else 1.0)
        schedule = Schedule(lr, entropy_weight)
        indices = list(self.minibatches(batch, rng))
        after, done = self._epochs(state, batch, indices, schedule, reads=c.max_kl > 0)
        norms = done.norms.tolist()
        if not all(map(math.isfinite, norms)):  # rare: once more, with an eye on every step
            after, done = self._epochs(state, batch, indices, schedule, reads=True)
            norms = done.norms.tolist()
        means = dict(zip(PpoTerms._fields, done.terms.mean(0).tolist(), strict=True))
        return after, {
            "ppo/policy_loss": means["policy"],
            "ppo/value_loss": means["value"],
            "ppo/entropy": means["entropy"],
            "ppo/prediction_loss": means["prediction"],
            "ppo/clip_fraction": means["clipped"],
            "ppo/approx_kl": means["approx_kl"],
            "ppo/grad_norm": float(np.mean(norms)) if norms else 0.0,
            "ppo/steps": float(len(norms)),
            "ppo/non_finite": float(done.skipped),
        }

    def _epochs(
        self,
        state: State,
        batch: PpoBatch,
        indices: list[Tensor],
        schedule: Schedule,
        *,
        reads: bool,
    ) -> tuple[State, Steps]:
        """The steps of all minibatches.

        Args:
            state: before them.
            batch: all trials.
            indices: the trials of every minibatch.
            schedule: of this iteration.
            reads: read every gradient's norm, to leave out steps that are not finite, and every
                KL, to end once it is too large; a GPU would be waited for.
        """
        c = self.config
        params, optimizer = self._optimizer(state, schedule.lr)
        seen: list[Tensor] = []  # the terms of every minibatch
        norms = [torch.zeros(0, device=self.device)]
        skipped = 0
        for index in indices:
            gradient, terms = self.gradient(
                params, take_trials(batch, index), schedule.entropy_weight
            )
            seen.append(torch.stack(terms))
            if reads and c.max_kl and float(terms.approx_kl) > c.max_kl:
                break
            norm = global_norm(gradient)
            if reads and not bool(torch.isfinite(norm)):
                skipped += 1
                continue
            norms.append(norm.unsqueeze(0))
            shrink = (c.max_grad_norm / (norm.double() + 1e-6)).clamp(max=1.0).to(norm.dtype)
            for name, p in params.items():
                p.grad = gradient[name] * shrink
            optimizer.step()
        steps = Steps(torch.stack(seen), torch.cat(norms), skipped)
        return self._after(state, params, optimizer), steps

    @one_thread()
    def gradient(
        self, params: Params, batch: PpoBatch, entropy_weight: float
    ) -> tuple[Params, PpoTerms]:
        """The gradient of the loss over a minibatch, and the means of its terms.

        L = mean(policy) + w_V mean(value) − w_H mean(entropy) + w_R mean(prediction)

        with w_H = `entropy_weight`.

        A thread takes a fixed number of trials at a time and sums are in the trials' order, so
        that the number of threads changes no bit.
        """
        shards = [batch]
        if self.device.type == "cpu":
            columns = (torch.split(field, self.shard, 1) for field in batch)
            shards = [PpoBatch(*row) for row in zip(*columns, strict=True)]
        count = batch.mask.sum().clamp(min=1)
        parts = self.workers.map(
            lambda shard: self._shard(params, shard, count, entropy_weight), shards
        )
        gradient = {name: _sum([g[name] for g, _ in parts]) for name in params}
        return gradient, PpoTerms(*map(_sum, zip(*(t for _, t in parts), strict=True)))

    def _shard(
        self, params: Params, batch: PpoBatch, count: Tensor, entropy_weight: float
    ) -> tuple[Params, PpoTerms]:
        """The share of some trials in `gradient`, through time in pieces of `bptt_steps`."""
        c = self.config
        theta = leaves(params)
        memory = self.policy.start(batch.mask.shape[1], self.device)
        gradients, totals = [], []
        length = c.bptt_steps or len(batch.mask)
        columns = (torch.split(field, length) for field in batch)
        for piece in (PpoBatch(*row) for row in zip(*columns, strict=True)):
            surprise = torch.zeros((), device=self.device)
            if c.prediction_weight:
                output, expected = self.policy.expect(theta, piece.views, memory, piece.action)
                error = torch.where(piece.mask, expected - piece.reward, 0.0)
                surprise = 0.5 * error.square().sum()
            else:
                output = self.policy.unroll(theta, piece.views, memory)
            memory = tuple(m.detach() for m in output.memory)
            terms = ppo_terms(
                output.dist, output.value, piece, clip=c.clip, value_loss=c.value_loss
            )
            terms = PpoTerms(*(term / count for term in terms._replace(prediction=surprise)))
            loss = terms.policy + c.value_weight * terms.value - entropy_weight * terms.entropy
            loss = loss + c.prediction_weight * terms.prediction
            gradients.append(torch.autograd.grad(loss, list(theta.values())))
            totals.append([term.detach() for term in terms])
        summed = map(_sum, zip(*gradients, strict=True))
        return (
            dict(zip(theta, summed, strict=True)),
            PpoTerms(*map(_sum, zip(*totals, strict=True))),
        )

    def minibatches(self, batch: PpoBatch, rng: np.random.Generator) -> Iterator[Tensor]:
        """Indices of the trials of every minibatch of every epoch."""
        for _ in range(self.config.epochs):
            order = torch.from_numpy(rng.permutation(batch.mask.shape[1]))
            order = order.to(self.device, non_blocking=True)
            yield from order.tensor_split(self.config.minibatches)

    def _optimizer(self, state: State, lr: float) -> tuple[Params, torch.optim.Adam]:
        """Adam as it was, on a copy of the parameters."""
        params = map_params(lambda p: p.clone(), state.params)
        optimizer = torch.optim.Adam(list(params.values()), lr=lr, eps=_ADAM_EPS)
        step = state.counters["adam"].cpu()
        for name, p in params.items():
            optimizer.state[p] = {
                "step": step.clone(),
                "exp_avg": state.first[name].clone(),
                "exp_avg_sq": state.second[name].clone(),
            }
        return params, optimizer

    def _after(self, state: State, params: Params, optimizer: torch.optim.Adam) -> State:
        """The state after an iteration's steps."""
        moments = [optimizer.state[p] for p in params.values()]
        return state._replace(
            params=params,
            first={k: m["exp_avg"] for k, m in zip(params, moments, strict=True)},
            second={k: m["exp_avg_sq"] for k, m in zip(params, moments, strict=True)},
            counters={
                "adam": moments[0]["step"].to(self.device),
                "iterations": state.counters["iterations"] + 1,
            },
        )


def _sum(terms: Sequence[Tensor]) -> Tensor:
    """The sum, always in the same order."""
    return torch.stack(list(terms)).sum(0)
