"""How a GPU rounds products, and only where that is asked for."""

import pytest
import torch

from metarl.core.precision import products, require_precision


def settings() -> tuple[str, bool]:
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


def test_the_precision_holds_within_a_block_only() -> None:
    """What torch was set to is set again, whatever happens in the block."""
    before = settings()
    with products("tf32"):
        assert settings() == ("high", True)
        with products("float32"):
            assert settings() == ("highest", False)
        assert settings() == ("high", True)
    with pytest.raises(RuntimeError), products("float32"):
        raise RuntimeError
    assert settings() == before


def test_a_precision_that_a_device_does_not_have_is_refused() -> None:
    """Names what it needs."""
    with pytest.raises(ValueError, match="--precision tf32 needs --device cuda, got cpu"):
        require_precision("tf32", torch.device("cpu"))
    with pytest.raises(ValueError, match="must be float32 or tf32, got 'tf23'"):
        require_precision("tf23", torch.device("cpu"))
    require_precision("tf32", torch.device("cuda"))


@pytest.mark.gpu
def test_a_gpu_keeps_to_the_precision() -> None:
    """A product of ones plus 2⁻¹² keeps its last bits in float32, and loses them in TF32."""
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    a, b = torch.full((64, 64), 1 + 2.0**-12, device="cuda"), torch.eye(64, device="cuda")
    with products("float32"):
        assert torch.equal(a @ b, a)
    with products("tf32"):
        assert not torch.equal(a @ b, a)
