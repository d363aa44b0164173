"""RL²: what an update does, and that a memory is learnt."""

import time
from dataclasses import replace
from typing import Any

import array_api_compat.numpy
import gymnasium
import numpy as np
import pytest
import torch

from metarl.algorithms.rl2.algorithm import Rl2
from metarl.algorithms.rl2.config import Rl2Config
from metarl.algorithms.rl2.state import Rl2State
from metarl.algorithms.rl2.wiring import Rl2Method
from metarl.experiment.seeding import rng
from metarl.rl.intervals import interval
from metarl.rl.policy import entropy, log_prob
from metarl.rl.ppo import PpoBatch, take_trials, without_padding
from metarl.rl.rollout import NonFiniteError, rollout
from metarl.rl.trials import collect_trials
from metarl.tasks import TaskFamily, make_engine, make_family
from metarl.tasks.engines.base import EpisodeNoise, StepOutput
from metarl.tasks.trial import TrialEngine

CONFIG = Rl2Config(tasks=6, episodes=2, hidden=8, minibatches=2, epochs=2, lr=1e-2)
ENTROPY = CONFIG.entropy_weight
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "lstm, layer norm, embeddings": {
        "cell": "lstm",
        "layer_norm": True,
        "embeddings": (4, 4, 4),
        "head": (8,),
    },
    "transformer": {"policy": "transformer", "heads": 2, "context": 8, "transitions": True},
    "separate critic, squared loss": {"separate_critic": True, "value_loss": "squared"},
    "normalised, annealed": {
        "normalize_observations": True,
        "lr_schedule": "linear",
        "entropy_schedule": "linear",
    },
    "truncated, bootstrapped": {"bptt_steps": 3, "bootstrap_at_end": True},
    "raw rewards, early stop": {"normalize_rewards": False, "max_kl": 1e-3},
}


def family(env: str = "point-nav") -> TaskFamily:
    return make_family(env, horizon=4)


def algorithm(
    config: Rl2Config = CONFIG, threads: int = 1, env: str = "point-nav"
) -> tuple[Rl2, TrialEngine]:
    trial = TrialEngine(make_engine(family(env), config.tasks, 1), config.episodes)
    return Rl2(config, trial.observation_space, trial.action_space, threads=threads), trial


def iterate(
    config: Rl2Config = CONFIG, n: int = 2, threads: int = 1, env: str = "point-nav"
) -> tuple[Rl2State, dict[str, float]]:
    algo, trial = algorithm(config, threads, env)
    state, metrics = algo.init(0), {}
    for i in range(n):
        tasks = family(env).split("train").sample(config.tasks, 0, i)
        state, metrics = algo.iteration(state, trial, tasks, lambda k, i=i: rng(0, i, k))
    return state, metrics


def batch_of(algo: Rl2, trial: TrialEngine, state: Rl2State) -> PpoBatch:
    tasks = family().split("train").sample(algo.config.tasks, 0)
    trials = collect_trials(
        algo.learner(state), trial, tasks, rng(0), scaling=algo.scaling, device=algo.device
    )
    return algo.batch(trials, state, trial.horizon)[0]


@pytest.mark.parametrize("env", ["point-nav", "grid-navi"])
@pytest.mark.parametrize("options", VARIANTS.values(), ids=list(VARIANTS))
def test_every_variant_trains(options: dict[str, Any], env: str) -> None:
    """Parameters move and every metric is finite, with continuous and with discrete actions."""
    config = replace(CONFIG, **options)
    state, metrics = iterate(config, env=env)
    start = algorithm(config, env=env)[0].init(0)
    assert all(np.isfinite(value) for value in metrics.values())
    assert {"return/episode_1", "return/episode_2"} < set(metrics)
    assert metrics["ppo/steps"] >= 1 or options.get("max_kl")
    moved = [name for name, p in state.params.items() if not torch.equal(p, start.params[name])]
    assert set(moved) == set(state.params)


def test_the_number_of_threads_does_not_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does the order in which threads come back."""
    monkeypatch.setattr("metarl.rl.ppo_update.TrialPpo.shard", 1)
    one, two = iterate(threads=1)[0], iterate(threads=3)[0]
    assert one.tensors().keys() == two.tensors().keys()
    assert all(torch.equal(p, two.tensors()[name]) for name, p in one.tensors().items())


def test_a_state_survives_a_flat_dictionary() -> None:
    """All that a checkpoint must hold, in any order."""
    state, _ = iterate(replace(CONFIG, normalize_observations=True))
    again = Rl2State.from_tensors(dict(reversed(state.tensors().items())))
    assert [list(group) for group in again] == [sorted(group) for group in state]
    assert all(torch.equal(p, state.tensors()[name]) for name, p in again.tensors().items())


def test_the_ratio_is_one_before_the_first_step() -> None:
    """KL and clip fraction are zero on fresh data: sampling and updating compute the same."""
    algo, trial = algorithm()
    state = algo.init(0)
    _, terms = algo.ppo.gradient(state.params, batch_of(algo, trial, state), ENTROPY)
    assert float(terms.approx_kl) == pytest.approx(0.0, abs=1e-8)
    assert float(terms.clipped) == 0.0


def test_shards_and_copies_of_trials_leave_the_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a mean over steps, however they are divided."""
    algo, trial = algorithm()
    state = algo.init(0)
    batch = batch_of(algo, trial, state)
    plain, _ = algo.ppo.gradient(state.params, batch, ENTROPY)
    doubled, _ = algo.ppo.gradient(
        state.params, take_trials(batch, torch.tensor([*range(6), *range(6)])), ENTROPY
    )
    monkeypatch.setattr("metarl.rl.ppo_update.TrialPpo.shard", 2)
    sharded, _ = algo.ppo.gradient(state.params, batch, ENTROPY)
    for other in (doubled, sharded):
        torch.testing.assert_close(other, plain, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("value_loss", ["huber", "squared"])
def test_the_gradient_is_that_of_the_loss(value_loss: Any) -> None:
    """L = −min(ρA, clip(ρ)A) + w_V value − w_H entropy + w_R ½ (r̂ − r)², as one mean over steps."""
    config = replace(CONFIG, value_loss=value_loss, value_weight=0.7, prediction_weight=0.3)
    algo, trial = algorithm(config, env="grid-navi")
    state = algo.init(0)
    tasks = family("grid-navi").split("train").sample(6, 0)
    trials = collect_trials(
        algo.learner(state), trial, tasks, rng(0), scaling=algo.scaling, device=algo.device
    )
    b = algo.batch(trials, state, trial.horizon)[0]
    generator = torch.Generator().manual_seed(0)
    params = {  # moved, so that some ratios are clipped
        k: (p + 0.3 * torch.randn(p.shape, generator=generator)).requires_grad_()
        for k, p in state.params.items()
    }
    out, expected = algo.policy.expect(params, b.views, algo.policy.start(6, "cpu"), b.action)
    ratio = (log_prob(out.dist, b.action) - b.log_prob).exp()
    assert 0 < float(((ratio - 1).abs() > config.clip).float().mean()) < 1
    policy = -torch.minimum(ratio * b.advantage, ratio.clamp(0.8, 1.2) * b.advantage)
    error = (out.value - b.target).abs()
    value = 0.5 * error**2
    if value_loss == "huber":
        value = torch.where(error < 1, value, error - 0.5)
    surprise = 0.5 * (expected - b.reward) ** 2
    loss = policy + 0.7 * value - 0.05 * entropy(out.dist) + 0.3 * surprise
    naive = torch.autograd.grad(loss[b.mask].mean(), list(params.values()))
    found, _ = algo.ppo.gradient(params, b, 0.05)
    for one, other in zip(found.values(), naive, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_padding_changes_nothing() -> None:
    """NaN after the ends of trials reaches neither gradient nor terms."""
    algo, trial = algorithm()
    state = algo.init(0)
    batch = batch_of(algo, trial, state)
    mask = batch.mask.clone()
    mask[5:, 0] = False
    batch = batch._replace(mask=mask)
    broken = [f.masked_fill(~mask.view(*mask.shape, *[1] * (f.dim() - 2)), torch.nan)
              for f in batch[:-1]]  # fmt: skip
    plain, expected = algo.ppo.gradient(state.params, without_padding(batch), ENTROPY)
    dirty = without_padding(PpoBatch(*broken, mask=mask))
    gradient, terms = algo.ppo.gradient(state.params, dirty, ENTROPY)
    torch.testing.assert_close(gradient, plain, rtol=0, atol=0)
    assert terms == expected


def test_schedules_fall_from_the_first_iteration_to_the_last() -> None:
    """Half way a linear schedule steps as a constant one of half the value does."""
    falling: dict[str, Any] = {
        "lr_schedule": "linear",
        "entropy_schedule": "linear",
        "iterations": 10,
    }
    linear, trial = algorithm(replace(CONFIG, entropy_weight=0.2, **falling))
    constant, _ = algorithm(replace(CONFIG, entropy_weight=0.1, lr=CONFIG.lr / 2))
    state = linear.init(0)
    state = state._replace(counters={**state.counters, "iterations": torch.tensor(5.0)})
    batch = batch_of(linear, trial, state)
    stepped, _ = linear.ppo.update(state, batch, rng(0))
    expected, _ = constant.ppo.update(state, batch, rng(0))
    torch.testing.assert_close(stepped.params, expected.params, rtol=0, atol=1e-7)


def test_minibatches_hold_whole_trials_each_once_per_epoch() -> None:
    """Never a part of a trial's time."""
    algo, trial = algorithm()
    batch = batch_of(algo, trial, algo.init(0))
    parts = list(algo.ppo.minibatches(batch, np.random.default_rng(0)))
    assert [len(part) for part in parts] == [3, 3, 3, 3]
    for epoch in (parts[:2], parts[2:]):
        assert sorted(torch.cat(epoch).tolist()) == list(range(6))
    for part in parts:
        taken = take_trials(batch, part)
        assert all(field.shape[:2] == (8, 3) for field in taken)
        torch.testing.assert_close(taken.views[:, 1], batch.views[:, part[1]])


def test_truncation_cuts_gradients_but_not_the_memory() -> None:
    """Pieces of the whole length are no truncation; shorter ones see the same losses."""
    algo, trial = algorithm()
    state = algo.init(0)
    params = {k: p * 2 for k, p in state.params.items()}
    batch = batch_of(algo, trial, state)
    plain, terms = algo.ppo.gradient(params, batch, ENTROPY)
    for steps, same in ((8, True), (3, False)):
        cut, _ = algorithm(replace(CONFIG, bptt_steps=steps))
        gradient, other = cut.ppo.gradient(params, batch, ENTROPY)
        torch.testing.assert_close(torch.stack(other), torch.stack(terms), rtol=1e-5, atol=1e-6)
        weight = "actor.cell.weight_hh"
        assert torch.allclose(gradient[weight], plain[weight], rtol=1e-4, atol=1e-6) == same


def test_rewards_are_normalised_for_training_only() -> None:
    """The policy is shown what the environment pays."""
    algo, trial = algorithm()
    state = algo.init(0)
    tasks = family().split("train").sample(6, 0)
    trials = collect_trials(
        algo.learner(state), trial, tasks, rng(0), scaling=algo.scaling, device=algo.device
    )
    torch.testing.assert_close(trials.views[1:, :, -2], trials.reward[:-1])
    doubled = algo.batch(trials._replace(reward=10 * trials.reward), state, trial.horizon)[0]
    plain = algo.batch(trials, state, trial.horizon)[0]
    torch.testing.assert_close(doubled.target, plain.target, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("endless", [False, True])
@pytest.mark.parametrize("discount", [0.9, 1.0])
def test_a_critic_per_step_says_the_same_at_every_step_of_a_steady_reward(
    discount: float, endless: bool
) -> None:
    """Where every step pays 1, the mean reward of those that are left is 1, and no surprise."""
    if discount == 1 and endless:
        with pytest.raises(ValueError, match="discount"):
            replace(CONFIG, value_per_step=True, bootstrap_at_end=True, discount=1.0)
        return
    algo, trial = algorithm(
        replace(
            CONFIG,
            value_per_step=True,
            bootstrap_at_end=endless,
            discount=discount,
            normalize_rewards=False,
        )
    )
    state = algo.init(0)
    critic = {"critic.0.weight": torch.zeros_like, "critic.0.bias": torch.ones_like}
    made = {name: make(state.params[name]) for name, make in critic.items()}
    state = state._replace(params={**state.params, **made})
    trials = collect_trials(
        algo.learner(state),
        trial,
        family().split("train").sample(6, 0),
        rng(0),
        scaling=algo.scaling,
        device=algo.device,
        bootstrap=endless,
    )
    steady = trials._replace(reward=torch.ones_like(trials.reward))
    batch, *_ = algo.batch(steady, state, trial.horizon)
    torch.testing.assert_close(batch.target, torch.ones_like(batch.target))


def test_a_memory_learns_to_expect_rewards_on_request() -> None:
    """The goal's cell pays again, which is known once it has been found."""
    config = replace(CONFIG, tasks=64, prediction_weight=1.0, episodes=4, entropy_weight=0.1)
    losses = [iterate(config, n=n, env="grid-navi")[1]["ppo/prediction_loss"] for n in (1, 10)]
    assert losses[1] < losses[0]
    with pytest.raises(ValueError, match="needs discrete actions"):
        algorithm(config)


def test_the_step_size_is_annealed_to_zero() -> None:
    """After all iterations nothing moves."""
    config = replace(CONFIG, lr_schedule="linear", iterations=2)
    algo, trial = algorithm(config)
    tasks = family().split("train").sample(6, 0)
    state = iterate(config, n=2)[0]
    after, _ = algo.iteration(state, trial, tasks, lambda k: rng(0, 5, k))
    assert all(torch.equal(p, state.params[name]) for name, p in after.params.items())


def test_a_bootstrapped_trial_ends_with_the_value_of_a_further_episode() -> None:
    """Which starts where the others do: at zero; without the option the trial shows its own end."""
    for bootstrap in (False, True):
        config = replace(CONFIG, bootstrap_at_end=bootstrap)
        trial = Rl2Method().make_env(config, lambda t, e: make_engine(family(), t, e))
        trial.reset(family().split("train").sample(6, 0), trial.draw_noise(rng(0)).reset)
        for _ in range(trial.horizon):
            view = trial.step(np.full((6, 1, 2), 0.1), np.zeros((6, 1, 0)))[0]
        assert (view[..., -1] == 1).all()
        assert (view[..., :2] == 0).all() == bootstrap


def test_updates_end_once_the_kl_is_too_large() -> None:
    """All later minibatches are left out."""
    _, metrics = iterate(replace(CONFIG, lr=0.1, max_kl=1e-3), n=1)
    assert 1 <= metrics["ppo/steps"] < 4


def test_minibatches_that_are_not_finite_are_left_out() -> None:
    """One in each of two epochs has the trial that is not; the others are learnt from."""
    algo, trial = algorithm()
    state = algo.init(0)
    batch = batch_of(algo, trial, state)
    batch.advantage[:, 0] = torch.nan
    after, metrics = algo.ppo.update(state, batch, np.random.default_rng(0))
    assert (metrics["ppo/steps"], metrics["ppo/non_finite"]) == (2.0, 2.0)
    assert float(after.counters["adam"]) == 2.0
    assert all(p.isfinite().all() for p in after.params.values())
    assert not all(torch.equal(p, state.params[name]) for name, p in after.params.items())


def test_the_learner_goes_on_in_its_memory() -> None:
    """A rollout over trials gives what training's own collection gives; adapt is the identity."""
    algo, trial = algorithm()
    state = algo.init(0)
    learner = algo.learner(state)
    tasks = family().split("train").sample(6, 0)
    options = {"scaling": algo.scaling, "device": algo.device}
    episodes, memory = rollout(learner, learner.start(6), trial, tasks, rng(0), **options)
    trials = collect_trials(learner, trial, tasks, rng(0), **options)
    torch.testing.assert_close(episodes.reward[:, 0], trials.reward.T)
    torch.testing.assert_close(episodes.obs[:, 0], trials.views.transpose(0, 1))
    assert learner.adapt(memory, episodes) is memory


def test_several_trials_of_a_task_start_with_the_same_memory() -> None:
    """T tasks × E trials."""
    algo, _ = algorithm()
    learner = algo.learner(algo.init(0))
    trial = TrialEngine(make_engine(family(), 6, 3), 2)
    tasks = family().split("train").sample(6, 0)
    episodes, memory = rollout(
        learner, learner.start(6), trial, tasks, rng(0), scaling=algo.scaling, device=algo.device
    )
    assert memory[0].shape == (18, 8)
    assert episodes.reward.shape == (6, 3, 8)


def test_a_reward_that_is_not_finite_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Task, trial and step."""
    algo, trial = algorithm()
    tasks = family().split("train").sample(6, 0)
    step = trial.step

    def lost(action: Any, noise: Any) -> Any:
        found = step(action, noise)
        found[1][1] = np.nan
        return found

    monkeypatch.setattr(trial, "step", lost)
    with pytest.raises(NonFiniteError, match=r"task 1 .*goal.*episode 0, step 0"):
        algo.iteration(algo.init(0), trial, tasks, lambda k: rng(0, k))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"episodes": 0}, "--episodes must be at least 1, got 0"),
        ({"cell": "rnn"}, "--cell must be gru or lstm, got 'rnn'"),
        ({"policy": "mlp"}, "--policy must be recurrent or transformer, got 'mlp'"),
        ({"policy": "transformer", "heads": 3}, "--hidden must be a multiple of --heads 3, got 8"),
        ({"minibatches": 7}, "--minibatches must be at most --tasks, got 7"),
        ({"embeddings": (4, 4)}, "--embeddings must be three widths"),
        ({"lr": float("nan")}, "--lr must be positive and finite, got nan"),
        ({"gae_lambda": 2.0}, "--gae-lambda must be between 0 and 1, got 2.0"),
        ({"value_loss": "l1"}, "--value-loss must be huber or squared, got 'l1'"),
        ({"bptt_steps": -1}, "--bptt-steps must be at least 0, got -1"),
    ],
    ids=str,
)
def test_impossible_values_are_refused(change: dict[str, Any], message: str) -> None:
    """The option, what is allowed, and the value."""
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **change)


class CueEnv:
    """The cue, −1 or 1, is shown at the first step of the first episode; naming it pays later."""

    num_episodes, horizon, parts = 1, 3, ()
    xp, device, ends_early = array_api_compat.numpy, "cpu", False
    observation_space = gymnasium.spaces.Box(-1, 1, (1,))
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, num_tasks: int) -> None:
        self.num_tasks = num_tasks

    def draw_noise(self, rng: np.random.Generator) -> EpisodeNoise:
        return EpisodeNoise(np.zeros((self.num_tasks, 1)), np.zeros((3, self.num_tasks, 1)))

    def reset(self, tasks: Any, noise: Any, mask: Any = None) -> np.ndarray:
        """A trial starts without a mask, its later episodes with one."""
        self._cue, self._first, self._t = tasks["cue"][:, None], mask is None, 0
        return self._cue[..., None] * float(self._first)

    def step(self, action: np.ndarray, noise: Any) -> StepOutput:
        self._t += 1
        right = (2 * action - 1 == self._cue).astype(float) * (not self._first)
        never = np.zeros_like(right, dtype=bool)
        return StepOutput(np.zeros((*right.shape, 1)), right, never, never | (self._t >= 3), {})

    def require_intact(self) -> None:
        pass

    def close(self) -> None:
        pass


def remembering(tasks: int = 64, **options: Any) -> Rl2:
    config = Rl2Config(
        **{
            "tasks": tasks,
            "episodes": 3,
            "hidden": 16,
            "lr": 1e-2,
            "minibatches": 2,
            "entropy_weight": 0.003,
            **options,
        }
    )
    trial = TrialEngine(CueEnv(1), 3)
    return Rl2(config, trial.observation_space, trial.action_space)


def cues(tasks: int, *stream: int) -> dict[str, np.ndarray]:
    return {"cue": rng(1, *stream).choice([-1.0, 1.0], tasks)}


def remembered(algo: Rl2, iterations: int) -> tuple[Rl2State, list[float]]:
    """The state, and the share of the greatest return of every iteration: 6 of 3 × 3 steps."""
    trial = TrialEngine(CueEnv(algo.config.tasks), 3)
    state, shares = algo.init(0), []
    for i in range(iterations):
        tasks = cues(algo.config.tasks, i)
        state, m = algo.iteration(state, trial, tasks, lambda k, i=i: rng(0, i, k))
        shares.append((m["return/episode_2"] + m["return/episode_3"]) / 6)
    return state, shares


def test_a_cue_of_the_first_episode_begins_to_be_used_in_the_later_ones() -> None:
    """No policy without memory gets more than half of it on average."""
    assert np.mean(remembered(remembering(), 25)[1][-3:]) > 0.7


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cell": "lstm"},
        {"layer_norm": True},
        {"cell": "lstm", "layer_norm": True},
        {"policy": "transformer", "heads": 2, "context": 9, "lr": 3e-3},
    ],
    ids=["gru", "lstm", "normalised gru", "normalised lstm", "transformer"],
)
def test_a_cue_of_the_first_episode_is_remembered_to_the_end(options: dict[str, Any]) -> None:
    """At least 95 % of the greatest return on 1,000 other trials."""
    algo = remembering(**options)
    start = time.perf_counter()
    learner = algo.learner(remembered(algo, 100)[0])
    seconds = time.perf_counter() - start
    trials = collect_trials(
        learner,
        TrialEngine(CueEnv(1000), 3),
        cues(1000, 2, 0),
        rng(2),
        scaling=algo.scaling,
        device=algo.device,
    )
    mean, ci95 = interval(trials.reward.sum(0).double().numpy() / 6)
    print(f"{mean:.4f} ± {ci95:.4f} after {seconds:.0f} s")
    assert mean - ci95 >= 0.95
