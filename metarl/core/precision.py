"""Whether a GPU may round the factors of float32 products to TensorFloat-32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from metarl.core.choices import Precision


@contextmanager
def products(precision: Precision) -> Iterator[None]:
    """Within the block matrix products, convolutions and recurrent cells keep to `precision`.

    torch's own default is mixed: full precision for products, TensorFloat-32 (10 bits of the
    mantissa) for convolutions and cells. On a CPU all is float32 whatever is asked for.
    """
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def require_precision(precision: str, device: torch.device) -> None:
    """Refuse what a device does not have.

    Raises:
        ValueError: an unknown precision, or TensorFloat-32 without a GPU.
    """
    if precision not in ("float32", "tf32"):
        raise ValueError(f"--precision must be float32 or tf32, got {precision!r}")
    if precision == "tf32" and device.type != "cuda":
        raise ValueError(f"--precision tf32 needs --device cuda, got {device.type}")
