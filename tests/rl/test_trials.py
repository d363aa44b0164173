"""Trials as RL² collects them, and what is computed from them."""

import numpy as np
import torch

from metarl.algorithms.rl2.algorithm import Rl2
from metarl.algorithms.rl2.config import Rl2Config
from metarl.rl.cells import Memory
from metarl.rl.ppo import PpoBatch, PpoTerms, ppo_terms, without_padding
from metarl.rl.trials import (
    Trials,
    collect_trials,
    forward_returns,
    returns_by_episode,
    success_by_episode,
    trial_advantages,
)
from metarl.tasks import make_engine, make_family
from metarl.tasks.trial import TrialEngine

FAMILY = make_family("point-nav", horizon=4)
CONFIG = Rl2Config(tasks=3, episodes=3, hidden=8, minibatches=1)
# goals at one and two steps of +.1 (the policy below always goes right), and out of reach
TASKS = {"goal": np.array([[0.1, 0.0], [0.5, 0.5], [0.2, 0.0]])}


def collected(
    noise: float = 0.0, bootstrap: bool = True
) -> tuple[Rl2, dict[str, torch.Tensor], Trials]:
    env = TrialEngine(make_engine(FAMILY, 3, 2), 3)
    algo = Rl2(CONFIG, env.observation_space, env.action_space)
    state = algo.init(0)
    params = state.params
    params["actor.0.bias"][0] = 2.0  # beyond the bounds: one step of .1 to the right
    params["log_std"][:] = np.log(noise) if noise else -100.0
    trials = collect_trials(
        algo.learner(state), env, TASKS, np.random.default_rng(0), scaling=algo.scaling,
        device=algo.device, bootstrap=bootstrap,
    )  # fmt: skip
    return algo, params, trials


def test_what_was_shown_is_the_last_reward_and_done() -> None:
    """At every step of every trial, at an episode's end as within it; then padding."""
    _, _, t = collected()
    rows = [[3], [3], [12], [12], [6], [6]]
    np.testing.assert_array_equal(t.mask.sum(0)[:, None], rows)
    for n in range(6):
        real = t.mask[:, n]
        reward, done = t.views[real, n, -2], t.views[real, n, -1]
        torch.testing.assert_close(reward[1:], t.reward[real, n][:-1])
        ends = t.episode[real, n].diff().float()  # 1 where the next step is of a new episode
        torch.testing.assert_close(done[1:], ends)
        assert reward[0] == done[0] == 0
    np.testing.assert_array_equal(t.episode[t.mask[:, 4], 4], [0, 0, 1, 1, 2, 2])


def test_the_memory_lasts_for_a_trial_and_dies_with_it() -> None:
    """What was sampled step by step is what whole trials give from an empty memory."""
    algo, params, t = collected(noise=0.5)
    whole = algo.policy.unroll(params, t.views, algo.policy.start(6, algo.device))
    mean, value = whole.dist["mean"], whole.value
    torch.testing.assert_close(mean[t.mask], t.dist["mean"][t.mask], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(value[t.mask], t.value[t.mask], atol=1e-5, rtol=1e-5)
    memory: Memory = algo.policy.start(6, algo.device)
    fresh = algo.policy.unroll(params, t.views[4:], memory).value  # as if episodes cut it
    assert not torch.allclose(fresh[t.mask[4:]], t.value[4:][t.mask[4:]], atol=1e-5)


def test_advantages_cross_episodes_and_end_with_the_trial() -> None:
    """Σ (γλ)^l δ, by a plain loop over each trial; zero or the critic's value after its end."""
    gamma, lam = 0.9, 0.8
    for bootstrap in (False, True):
        _, _, t = collected(noise=0.5, bootstrap=bootstrap)
        found = trial_advantages(t, t.reward, discount=gamma, lam=lam)
        assert (t.final_value != 0).all() == bootstrap
        for n in range(6):
            steps = int(t.mask[:, n].sum())
            after = float(t.final_value[n]) if bootstrap else 0.0
            values = [*t.value[:steps, n].tolist(), after]
            reward = t.reward[:steps, n].tolist()
            delta = [reward[i] + gamma * values[i + 1] - values[i] for i in range(steps)]
            for i in range(steps):
                naive = sum((gamma * lam) ** (j - i) * delta[j] for j in range(i, steps))
                assert abs(float(found[i, n]) - naive) < 1e-5
            assert (found[steps:, n] == 0).all()


def test_the_value_after_a_trial_is_that_of_its_last_view() -> None:
    """Every trial's own, though trials end at different steps."""
    algo, params, t = collected(noise=0.5)
    for n in range(6):
        steps = int(t.mask[:, n].sum())
        if steps == len(t.mask):
            continue
        memory = algo.policy.start(1, algo.device)
        # the padding's first view is the one after the trial's last step
        views = t.views[: steps + 1, n : n + 1]
        value = algo.policy.unroll(params, views, memory).value[-1, 0]
        torch.testing.assert_close(t.final_value[n], value, atol=1e-5, rtol=1e-5)


def test_returns_are_those_of_each_episode() -> None:
    """Sums by the number of the episode."""
    reward = torch.tensor([[1.0], [2.0], [4.0], [8.0]])
    mask = torch.tensor([[True], [True], [True], [False]])
    episode = torch.tensor([[0], [0], [1], [2]])
    assert returns_by_episode(reward, mask, episode, 2).tolist() == [[3.0], [4.0]]


def test_running_returns_are_discounted_forwards() -> None:
    """R_t = γ R_{t−1} + r_t; padding adds nothing."""
    reward = torch.tensor([[1.0], [2.0], [torch.nan]])
    mask = torch.tensor([[True], [True], [False]])
    assert forward_returns(reward, mask, 0.5).tolist() == [[1.0], [2.5], [1.25]]


def test_ppo_is_its_formula() -> None:
    """−min(ρA, clip(ρ)A), the value's error, the entropy and the estimate of KL."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 2, 4, generator=generator)
    old, advantage, value, target = torch.randn(4, 3, 2, generator=generator)
    action = torch.tensor([[0, 1], [2, 3], [1, 1]])
    mask = torch.tensor([[True, True], [True, True], [True, False]])
    batch = PpoBatch(torch.zeros(3, 2, 1), action, old - 2, advantage, target, target, mask)
    batch = without_padding(batch)
    found = ppo_terms({"logits": logits}, value, batch, clip=0.2, value_loss="squared")
    expected = np.zeros(5)
    for i, j in mask.nonzero().tolist():
        p = np.exp(logits[i, j].double().numpy())
        p /= p.sum()
        ratio = p[action[i, j]] / np.exp(float(old[i, j]) - 2)
        a = float(advantage[i, j])
        expected += [
            -min(ratio * a, np.clip(ratio, 0.8, 1.2) * a),
            0.5 * float(value[i, j] - target[i, j]) ** 2,
            -(p * np.log(p)).sum(),
            abs(ratio - 1) > 0.2,
            ratio - 1 - np.log(ratio),
        ]
    np.testing.assert_allclose(torch.stack(list(found[:5])).numpy(), expected, rtol=1e-4)


def test_the_hubers_value_loss_is_linear_in_large_errors() -> None:
    """½ e² up to 1, then |e| − ½."""
    zero = torch.zeros(2, 1)
    value = torch.tensor([[0.5], [3.0]])
    batch = PpoBatch(zero, zero.long(), zero, zero, zero, zero, torch.ones(2, 1, dtype=torch.bool))
    terms: PpoTerms = ppo_terms(
        {"logits": torch.zeros(2, 1, 1)}, value, batch, clip=0.2, value_loss="huber"
    )
    assert float(terms.value) == 0.125 + 2.5


def test_success_may_be_told_at_some_steps_only() -> None:
    """Where it is not, there was none; where it never is, it is no metric."""
    assert not collected()[2].metrics

    class Telling(TrialEngine):
        def step(self, action, noise):
            found = super().step(action, noise)
            if found[4]["episode"].max() == 2:  # in the last episode, of all or of some trials
                found[4]["success"] = np.ones((3, 2))
            return found

    env = Telling(make_engine(FAMILY, 3, 2), 3)
    algo = Rl2(CONFIG, env.observation_space, env.action_space)
    trials = collect_trials(
        algo.learner(algo.init(0)), env, TASKS, np.random.default_rng(0), scaling=algo.scaling,
        device=algo.device,
    )  # fmt: skip
    assert trials.metrics["success"].shape == trials.reward.shape
    assert success_by_episode(trials, 3)[2].all()
