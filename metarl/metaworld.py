"""A trained agent under Meta-World's own protocol, `metaworld.evaluation.metalearning_evaluation`.

    agent = metarl.load_agent(run)
    score = official_evaluation(agent.metaworld(), agent.family)

It steps N tasks, lets the agent adapt with the reward in sight, and then counts successes.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple, Protocol

import array_api_compat.numpy as np_xp
import numpy as np
import torch
from torch import Tensor

from metarl.rl.data import Episodes, StepInput
from metarl.rl.policy import mode
from metarl.rl.predict import fit_action
from metarl.rl.rollout import ActionScaling, Learner
from metarl.tasks import TaskFamily
from metarl.tasks.views import ActionCode, History, action_size, join


class Timestep(Protocol):
    """The protocol tells this of a step of adaptation (`metaworld.evaluation.Timestep`)."""

    observation: np.ndarray  # [N, O]
    action: np.ndarray  # [N, A]
    reward: np.ndarray  # [N]
    terminated: np.ndarray  # [N] bool
    truncated: np.ndarray  # [N] bool
    aux_policy_outputs: dict[str, np.ndarray]  # what `adapt_action` returned beside the action


class MetaWorldAgent:
    """Speaks `metaworld.evaluation.MetaLearningAgent`; adapts with stochastic actions.

    An agent that remembers (RL²) must be shown its previous action and reward, by environments made
    with `recurrent_info_in_obs=True, normalize_reward_in_recurrent_info=False`. These forget both
    at the end of an episode, but `step` has told them during adaptation. Every episode of
    evaluation starts from what the agent was after adaptation.
    """

    def __init__(
        self,
        learner: Learner[Any],
        family: TaskFamily,
        rng: np.random.Generator,
        *,
        scaling: ActionScaling,
        device: torch.device,
        remembers: bool,
        deterministic: bool,
    ) -> None:
        """Take a learner, and how it acts.

        Args:
            learner: who acts and adapts.
            family: what it was trained on.
            rng: of stochastic actions.
            scaling: the policy's units to the environment's.
            device: where the policy lives.
            remembers: whether it learns in its memory, from its previous action, reward and done.
            deterministic: evaluate with the distribution's mode instead of samples.
        """
        self.remembers = remembers
        self._learner: Any = learner  # one with a memory is asked whether it has room
        self._family = family
        self._rng = rng
        self._scaling = scaling
        self._device = device
        self._deterministic = deterministic
        self.init()

    def init(self) -> None:
        """Forget every task."""
        self._state: Any = None
        self._steps: list[Timestep] = []  # of adaptation, since the last one

    def adapt_action(self, observations: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Actions to learn from, and what `step` is to be given with them.

        Args:
            observations: `[N, O]`, or `[N, O + A + 2]` for an agent that remembers.

        Returns:
            Actions `[N, A]`, and by name the policy's own and their distribution.

        Raises:
            ValueError: the environments show something else.
        """
        if self._state is None:
            self._begin(len(observations))
        return self._act(observations)

    def step(self, timestep: Timestep) -> None:
        """Take note of a step of adaptation."""
        if not self.remembers:
            self._steps.append(copy.deepcopy(timestep))  # its arrays may be used again
            return
        done = np.logical_or(timestep.terminated, timestep.truncated)
        action = ActionCode(self._family.action_space)(timestep.action)
        self._history = History(action, np.array(timestep.reward), done)

    def adapt(self) -> None:
        """Learn from the episodes since the last call.

        Raises:
            ValueError: there was none.
        """
        if self._state is None:
            raise ValueError("nothing to adapt to: give at least one episode of adaptation")
        if not self.remembers:
            episodes = gather(self._steps, self._device)
            self._state = self._learner.adapt(self._state, episodes)
            self._steps = []
        self._adapted = self._state, self._history

    def eval_action(self, observations: np.ndarray) -> np.ndarray:
        """Actions `[N, A]` of what was learnt; `observations` as for `adapt_action`."""
        actions, _ = self._act(observations, deterministic=self._deterministic)
        self._told[:] = False
        return actions

    def reset(self, env_mask: np.ndarray) -> None:
        """Start an episode of evaluation where `env_mask` `[N]` holds."""
        if not self.remembers:
            return
        memory, history = self._adapted
        chosen = torch.from_numpy(np.asarray(env_mask)).to(self._device)
        self._state = tuple(
            torch.where(chosen.view(-1, *[1] * (now.dim() - 1)), after, now)
            for after, now in zip(memory, self._state, strict=True)
        )
        self._history = _choose(env_mask, history, self._history)
        self._told |= env_mask

    def _begin(self, count: int) -> None:
        """N tasks of which nothing is known."""
        self._state = self._learner.start(count)
        size = action_size(self._family.action_space)
        self._history = History(np.zeros((count, size)), np.zeros(count), np.zeros(count))
        self._told = np.ones(count, dtype=bool)  # whose history counts, whatever is shown

    def _act(
        self, observations: np.ndarray, deterministic: bool = False
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        views = torch.from_numpy(self._views(observations)).to(self._device).unsqueeze(1)
        zeros = torch.zeros(views.shape[:2], device=self._device)
        noise = self._learner.noise(self._rng, tuple(views.shape[:2])).to(self._device)
        # what else a learner may see is in the views
        inputs = StepInput(views, zeros, zeros, zeros.bool())
        if self.remembers:
            self._learner.require_room(self._state)
        drawn, self._state = self._learner.act(self._state, inputs, noise)
        action = mode(drawn.dist) if deterministic else drawn.action
        told = {"action": action, **{f"dist/{name}": p for name, p in drawn.dist.items()}}
        fitted = fit_action(self._family.action_space, self._scaling(action[:, 0]))
        return fitted, {name: value[:, 0].cpu().numpy() for name, value in told.items()}

    def _views(self, observations: np.ndarray) -> np.ndarray:
        """Return what the policy sees, `[N, …]` float32."""
        space = self._family.action_space
        obs, size = self._family.observation_space.shape[0], action_size(space)
        width = obs + size + 2 if self.remembers else obs
        if observations.shape[1:] != (width,):
            raise ValueError(
                f"this agent sees observations of the shape {(width,)}, got "
                f"{observations.shape[1:]}: make the environments with "
                f"recurrent_info_in_obs={self.remembers}"
            )
        seen = observations.astype(np.float32)
        if not self.remembers:
            return seen
        plain, action, reward, done = np.split(seen, [obs, obs + size, obs + size + 1], 1)
        shown = History(ActionCode(space)(action), reward[:, 0], done[:, 0])
        known = self._told & (np.asarray(self._history.done) == 0)
        if not np.allclose(shown.reward[known], self._history.reward[known], rtol=1e-3, atol=1e-3):
            raise ValueError(
                "the observations show another reward than the environment gives: make the "
                "environments with normalize_reward_in_recurrent_info=False"
            )
        view: np.ndarray = join(np_xp, plain, _choose(self._told, self._history, shown))
        return view


def gather(steps: list[Timestep], device: torch.device) -> Episodes:
    """The whole episodes `[N, E, H, …]` of steps that N environments took together.

    What follows an environment's last whole episode is left out. The observations after the
    episodes' ends are not told: `final_obs` is nan.

    Raises:
        ValueError: no episode is whole.
    """
    done = np.stack([np.logical_or(s.terminated, s.truncated) for s in steps])  # [S, N]
    number = done.cumsum(0) - done
    whole = number < done.sum(0)
    if not whole.any():
        raise ValueError("nothing to adapt to: give at least one episode of adaptation")
    index = np.arange(len(done))[:, None]
    env = np.broadcast_to(np.arange(done.shape[1]), done.shape)
    begun = np.concatenate([np.zeros_like(done[:1], int), np.where(done, index + 1, 0)[:-1]])
    time = index - np.maximum.accumulate(begun)
    places = env[whole], number[whole], time[whole]
    shape = tuple(int(each.max()) + 1 for each in (env, number[whole], time[whole]))

    def put(values: list[np.ndarray]) -> Tensor:
        stacked = np.stack(values)
        placed = np.zeros((*shape, *stacked.shape[2:]), stacked.dtype)
        placed[places] = stacked[whole]
        tensor = torch.from_numpy(placed).to(device)
        return tensor.float() if tensor.is_floating_point() else tensor

    told = {k: put([s.aux_policy_outputs[k] for s in steps]) for k in steps[0].aux_policy_outputs}
    obs = put([s.observation for s in steps])
    return Episodes(
        obs=obs,
        action=told.pop("action"),
        reward=put([s.reward for s in steps]),
        mask=put([np.ones(done.shape[1], bool)] * len(steps)),
        terminated=put([s.terminated for s in steps]),
        truncated=put([s.truncated for s in steps]),
        final_obs=torch.full_like(obs[:, :, 0], torch.nan),
        dist={name.removeprefix("dist/"): p for name, p in told.items()},
        metrics={},
    )


def _choose(mask: np.ndarray, one: History, other: History) -> History:
    """The one where `mask` `[N]` holds, and the other elsewhere."""
    action = np.where(mask[:, None], one.action, other.action)
    rest = (np.where(mask, a, b) for a, b in zip(one[1:], other[1:], strict=True))
    return History(action, *rest)


def official_evaluation(
    agent: MetaWorldAgent,
    family: TaskFamily,
    *,
    goals: int = 40,
    parallel: int = 1,
    adaptation_steps: int = 1,
    adaptation_episodes: int = 10,
    evaluation_episodes: int = 3,
    seed: int = 0,
) -> Score:
    """`metaworld.evaluation.metalearning_evaluation` on the test environments of a family.

    The defaults are Meta-World's own, but for `parallel`. The protocol counts the first episodes
    that end in an environment of a name, and success ends an episode: where several goals of an
    environment are taken at once, it counts those that are solved first, which flatters.

    Args:
        agent: `Agent.metaworld()`.
        family: one of Meta-World's; its horizon is kept, and only 500 steps are official.
        goals: of every test environment, 1 … 50.
        parallel: goals of an environment that are taken at once; Meta-World's default takes 4 of
            ML10 and ML45, and 20 of ML1.
        adaptation_steps: how often the agent adapts.
        adaptation_episodes: episodes that it adapts to each time.
        evaluation_episodes: episodes of every goal afterwards.
        seed: of the goals; 0 gives those of the family's test tasks to ML1.

    Raises:
        ValueError: another family, or an impossible count.
    """
    counts = {
        "adaptation steps": adaptation_steps,
        "adaptation episodes": adaptation_episodes,
        "evaluation episodes": evaluation_episodes,
    }
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"Meta-World's protocol needs at least 1 of {name}, got {count}")
    offered: Any = getattr(family.definition, "official_envs", None)
    if offered is None:
        raise ValueError(f"{family.name} is none of Meta-World's families")
    envs, rounds = offered(family, goals, parallel, seed=seed, shows_history=agent.remembers)
    from metaworld.evaluation import metalearning_evaluation  # heavy, and optional

    try:
        return Score(
            *metalearning_evaluation(
                agent, envs, rounds, adaptation_steps, adaptation_episodes, evaluation_episodes
            )
        )
    finally:
        envs.close()


class Score(NamedTuple):
    """Meta-World's protocol gives these figures; rates are from 0 to 1."""

    success: float  # rate of success, the mean over the test environments
    mean_return: float  # of episodes that end with success
    environments: dict[str, float]  # rate of success by name
