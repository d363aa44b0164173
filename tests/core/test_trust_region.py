"""Conjugate gradient and the backtracking line search."""

import torch
from torch import Tensor

from metarl.core.trust_region import Candidate, conjugate_gradient, line_search


def test_conjugate_gradient_solves_what_linalg_solves() -> None:
    """On a random positive definite system, after as many iterations as unknowns."""
    g = torch.Generator().manual_seed(0)
    root = torch.randn(8, 8, generator=g, dtype=torch.float64)
    a = root @ root.T + torch.eye(8, dtype=torch.float64)
    b = torch.randn(8, generator=g, dtype=torch.float64)
    solution = conjugate_gradient(lambda v: a @ v, b, iterations=20, tolerance=1e-24)
    torch.testing.assert_close(solution.x, torch.linalg.solve(a, b), rtol=1e-9, atol=1e-9)
    assert solution.residual < 1e-9


def test_the_residual_is_the_share_of_the_right_hand_side_that_is_left() -> None:
    """‖b − A x‖ / ‖b‖ after few iterations, and `product` is A x."""
    a, b = torch.diag(torch.tensor([1.0, 2.0, 4.0])), torch.tensor([1.0, -1.0, 0.5])
    for iterations in (1, 2):
        found = conjugate_gradient(lambda v: a @ v, b, iterations=iterations)
        left = (b - a @ found.x).norm() / b.norm()
        assert 0.05 < float(left) < 0.9
        torch.testing.assert_close(found.residual, left)
        torch.testing.assert_close(found.product, a @ found.x)


def test_products_after_convergence_change_nothing() -> None:
    """Where nothing may ask whether it has converged."""
    a, b = torch.diag(torch.tensor([1.0, 2.0, 4.0])), torch.tensor([1.0, -1.0, 0.5])
    for rhs in (b, torch.zeros(3)):
        stopped, whole = (
            conjugate_gradient(lambda v: a @ v, rhs, iterations=20, stops=stops)
            for stops in (True, False)
        )
        assert all(torch.equal(one, other) for one, other in zip(stopped, whole, strict=True))


def test_a_zero_gradient_gives_a_zero_step() -> None:
    """No division by zero where there is nothing to solve."""
    solution = conjugate_gradient(lambda v: v, torch.zeros(3), iterations=5)
    assert float(solution.residual) == 0.0
    assert not solution.x.any()


def search(evaluate) -> tuple[Tensor, object]:
    start = torch.tensor([1.0])
    result = line_search(
        start, torch.tensor([-1.0]), evaluate, Candidate(1.0, 0.0), max_kl=0.1, steps=6, decay=0.5
    )
    return start, result


def test_the_line_search_takes_the_first_candidate_within_the_region() -> None:
    """It halves the step until the KL bound holds."""
    start, result = search(lambda x: Candidate(float(x**2), float((x - 1) ** 2)))
    assert result.accepted
    assert result.backtracks == 2
    assert float(result.vector) == 0.75
    assert float(start) == 1.0


def test_a_failed_line_search_returns_the_start_itself() -> None:
    """The same object, not a copy, and the trial of the start."""
    for trial in (Candidate(2.0, 0.0), Candidate(0.0, 1.0), Candidate(float("nan"), 0.0)):
        start, result = search(lambda _, t=trial: t)
        assert result.vector is start
        assert not result.accepted
        assert result.found == Candidate(1.0, 0.0)
