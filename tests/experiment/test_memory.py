"""Memory that runs out is told apart from other errors, in figures where there are any."""

import re

import pytest
import torch

from metarl.experiment.memory import OutOfMemory, enough_memory

TORCH = (
    "CUDA out of memory. Tried to allocate {asked}. GPU 0 has a total capacity of 80.00 GiB of "
    "which {free} is free. Process 7 has 1.00 GiB memory in use. Of the allocated memory 0 bytes …"
)


def message(error: Exception, tasks: int = 40) -> str:
    with (
        pytest.raises(OutOfMemory) as caught,
        enough_memory(tasks, "20 episodes", "Take fewer --tasks"),
    ):
        raise error
    return str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Failed to allocate 4096 bytes on device 'cuda:0'"),
        RuntimeError("CUDA graph capture failed. Warp CUDA error 2: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried …"),
        torch.OutOfMemoryError("CUDA out of memory."),
        MemoryError("Unable to allocate 9.00 GiB for an array"),
    ],
    ids=["warp", "capture", "cublas", "cpu", "torch", "numpy"],
)
def test_what_each_library_says_is_passed_on(error: Exception) -> None:
    """With what did not fit, and the way out."""
    said = message(error)
    assert said.startswith(
        f"40 tasks × 20 episodes do not fit into the memory: {error}".rstrip(".")
    )
    assert said.endswith(" Take fewer --tasks.")


@pytest.mark.parametrize(
    ("asked", "free", "need", "room"),
    [
        ("20.00 GiB", "10.00 GiB", 90, 35),  # 40 · 80 / 90
        ("512.00 MiB", "256.00 MiB", 80.25, 39),
        ("2.00 MiB", "1.00 GiB", 80, 39),  # enough is free, but in pieces
        ("720.00 GiB", "80.00 GiB", 720, 4),
    ],
)
def test_torchs_figures_tell_what_is_needed(asked: str, free: str, need: float, room: int) -> None:
    """At least, and how many tasks fit at most: in proportion, and fewer than did not fit."""
    said = message(torch.OutOfMemoryError(TORCH.format(asked=asked, free=free)))
    found = re.search(r"makes (\S+) GiB at least .* room for (\d+) tasks at most", said)
    assert found is not None
    assert (float(found[1]), int(found[2])) == (need, room)
    assert "Process" not in said


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        RuntimeError(
            "Failed to allocate 8 bytes on device 'cuda:0':  memory pools are not enabled"
        ),
        ValueError("out of memory"),
        type("OfOurs", (RuntimeError,), {})("the simulator is out of memory"),
    ],
    ids=["shapes", "pools", "value", "of ours"],
)
def test_other_errors_pass(error: Exception) -> None:
    """As they are."""
    with pytest.raises(type(error)) as caught, enough_memory(1, "", ""):
        raise error
    assert caught.value is error
