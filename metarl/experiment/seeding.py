"""Counted seeds: every stream of random numbers has an address, so nothing has to be carried.

A resume, the number of threads and the number of workers cannot change a result, because the
generator of (iteration, phase) depends on nothing but the run's seed and these numbers.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Phase(IntEnum):
    """A phase is what a stream is for, the first number of its path: no two purposes share one."""

    INIT = 0  # initial parameters
    ROLLOUT = 2  # noise of training episodes, followed by (iteration, inner step)
    EVAL_ROLLOUT = 4  # noise of evaluation episodes, followed by the update
    ADAPT = 5  # a user's adaptation, followed by (update, episode)
    ACT = 6  # a user's adapted policy
    ORACLE = 7  # the players that an agent is compared with


def sequence(root_seed: int, *path: int) -> np.random.SeedSequence:
    """The seed sequence at an address.

    The path is the *spawn key*, which numpy keeps apart from the entropy: (1, 2) and (1, 2, 0)
    are different streams, which as plain entropy [1, 2] and [1, 2, 0] they would not be.

    Args:
        root_seed: the run's seed, 0 … 2⁶⁴ − 1.
        *path: for example `(Phase.ROLLOUT, iteration, inner_step)`, each 0 … 2³² − 1 (numpy would
            split a larger number into two, and so confuse it with a longer path).

    Raises:
        ValueError: for a number outside its range.
    """
    if not 0 <= root_seed < 2**64:
        raise ValueError(f"the seed must be between 0 and 2**64 - 1, got {root_seed}")
    if not all(0 <= number < 2**32 for number in path):
        raise ValueError(f"a seed's path has numbers between 0 and 2**32 - 1, got {path}")
    return np.random.SeedSequence(int(root_seed), spawn_key=tuple(int(n) for n in path))


def rng(root_seed: int, *path: int) -> np.random.Generator:
    """The generator at an address (see `sequence`); the same address gives the same stream."""
    return np.random.Generator(np.random.PCG64(sequence(root_seed, *path)))


def torch_seed(root_seed: int, *path: int) -> int:
    """A 63-bit seed for `torch.Generator().manual_seed` at an address (see `sequence`)."""
    return int(sequence(root_seed, *path).generate_state(1, np.uint64)[0] >> np.uint64(1))
