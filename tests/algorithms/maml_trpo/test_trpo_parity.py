"""With zero inner steps MAML-TRPO is TRPO: its update against sb3-contrib's."""

import torch
from sb3_contrib import TRPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import Tensor

from metarl.algorithms.maml_trpo.algorithm import MamlTrpo
from metarl.algorithms.maml_trpo.config import MamlTrpoConfig
from metarl.algorithms.maml_trpo.state import MetaState
from metarl.rl.data import PolicyBatch

TASKS, EPISODES, STEPS = 2, 4, 16
CONFIG = MamlTrpoConfig(
    tasks=TASKS, episodes=EPISODES, inner_steps=0, hidden=(8, 8), cg_iterations=60, cg_damping=0.1
)
NAMES = {
    "log_std": "log_std",
    "mlp_extractor.policy_net.0": "0",
    "mlp_extractor.policy_net.2": "1",
    "action_net": "2",
}


class DoubleExtractor(FlattenExtractor):
    """Observations in float64, as all weights here."""

    def forward(self, observations: Tensor) -> Tensor:
        return super().forward(observations).double()


def theirs() -> TRPO:
    count = TASKS * EPISODES
    model = TRPO(
        "MlpPolicy",
        "Pendulum-v1",
        n_steps=count * STEPS,
        batch_size=count * STEPS,
        cg_max_steps=CONFIG.cg_iterations,
        cg_damping=CONFIG.cg_damping,
        target_kl=CONFIG.max_kl,
        line_search_shrinking_factor=CONFIG.line_search_decay,
        normalize_advantage=False,
        policy_kwargs={
            "net_arch": {"pi": [8, 8], "vf": [8]},
            "features_extractor_class": DoubleExtractor,
            "ortho_init": False,
        },
        seed=0,
        device="cpu",
    )
    model.policy.double()
    return model


def our_name(name: str) -> str | None:
    for prefix, ours in NAMES.items():
        if name.startswith(prefix):
            return ours + name.removeprefix(prefix)
    return None


def parameters(model: TRPO) -> dict[str, Tensor]:
    named = {our_name(n): p.detach().clone() for n, p in model.policy.named_parameters()}
    return {n: named[n] for n in sorted(k for k in named if k is not None)}


def test_zero_inner_steps_equal_the_update_of_sb3_contrib() -> None:
    """The same data and weights in float64 give the same weights to 1e-3 of the step."""
    model = theirs()
    g = torch.Generator().manual_seed(0)
    shape = (TASKS, EPISODES, STEPS)
    obs = torch.randn(*shape, 3, generator=g).clamp(-1, 1)
    theta = parameters(model)
    pendulum = model.observation_space, model.action_space
    algorithm = MamlTrpo(CONFIG, *pendulum)
    state = MetaState(theta, {k: torch.zeros((), dtype=torch.float64) for k in theta})
    dist = algorithm.policy(state).distribution(theta, obs.double())
    action = dist["mean"] + torch.randn(*shape, 1, generator=g).double()
    advantage = torch.randn(*shape, generator=g).double()
    mask = torch.ones(shape, dtype=torch.bool)
    batch = PolicyBatch(obs.double(), action, advantage, mask, dist)

    objective = algorithm.objective(state, TASKS)
    objective.set_outer(batch)
    after, metrics = algorithm.outer_step(state, objective)
    assert metrics["outer/accepted"] == 1.0

    buffer = model.rollout_buffer
    rows = obs.numel() // 3
    buffer.observations[:] = obs.reshape(rows, 1, 3).numpy()
    buffer.actions = action.reshape(rows, 1, 1).numpy()
    buffer.advantages = advantage.reshape(rows, 1).numpy()
    with torch.no_grad():
        buffer.log_probs = (
            model.policy.get_distribution(obs.reshape(rows, 3))
            .log_prob(action.reshape(rows, 1))
            .reshape(rows, 1)
            .numpy()
        )
    buffer.returns = buffer.returns.astype("float64")
    buffer.values = buffer.values.astype("float64")
    buffer.full = True
    model.set_logger(Logger(None, []))
    model.train()

    expected = parameters(model)
    step = torch.cat([(expected[k] - theta[k]).flatten() for k in theta]).norm()
    error = torch.cat([(expected[k] - after.theta[k]).flatten() for k in theta]).norm()
    assert step > 0.01
    assert error < 1e-3 * step
