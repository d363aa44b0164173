"""Tasks one at a time, over threads and vmapped give the same."""

from threading import Event

import pytest
import torch

from metarl.core.adapt import adapt
from metarl.core.mapping import TaskMapping, Workers, over_tasks
from metarl.core.params import broadcast, map_params
from tests.core.test_adapt import network, network_loss


def test_every_worker_has_one_torch_thread() -> None:
    """More would wait for each other, and round otherwise than one does."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert Workers(2).map(lambda _: torch.get_num_threads(), [0, 1, 2, 3]) == [1] * 4
    finally:
        torch.set_num_threads(threads)


def test_what_still_runs_when_another_fails_is_told_and_waited_for() -> None:
    """Nothing goes on in the background, and the workers can be used again."""
    workers, begun, stopping, ended = Workers(2), Event(), Event(), []

    def work(i: int) -> None:
        if i == 1:
            begun.wait(60)
            raise OSError("lost")
        begun.set()
        ended.append(stopping.wait(60))

    with pytest.raises(OSError, match="lost"):
        workers.map(work, [0, 1], stopping=stopping)
    assert ended == [True]
    assert workers.map(lambda i: 2 * i, [0, 1, 2]) == [0, 2, 4]
    workers.close()


@pytest.mark.parametrize("how", ["threads", "vmap"])
def test_every_mapping_gives_what_the_loop_gives(how: TaskMapping) -> None:
    """Adapting five tasks: threads bit for bit, vmap within rounding."""
    params, _ = network()
    rates = map_params(lambda p: torch.full_like(p, 0.1), params)
    data = [network(i)[1][0] for i in range(5)]
    batch = (torch.stack([x for x, _ in data]), torch.stack([y for _, y in data]))

    def adapted(theta, support):
        return adapt(theta, [support, support], network_loss, rates)

    theta = broadcast(params, 5)
    expected = over_tasks(adapted, how="loop")(theta, batch)
    actual = over_tasks(adapted, how=how, workers=Workers(2))(theta, batch)
    for name, value in expected.items():
        if how == "threads":
            assert torch.equal(actual[name], value)
        else:
            torch.testing.assert_close(actual[name], value, rtol=1e-10, atol=1e-12)


def test_impossible_mappings_are_refused() -> None:
    """The message names the value and the allowed ones."""
    with pytest.raises(ValueError, match="'loop', 'threads' or 'vmap', got 'gpu'"):
        over_tasks(lambda p: p, how="gpu")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs workers"):
        over_tasks(lambda p: p, how="threads")
    with pytest.raises(ValueError, match="threads must be at least 1, got 0"):
        Workers(0)
