"""A convolution with its bias and its rectifier in one pass, for networks that only ever look at images.

On the CPU it runs through oneDNN with weights laid out once for the machine, bias and rectifier applied while the
result is still in the cache; elsewhere, and where that is not built in, it is torch's own convolution.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def _fused_is_there() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


class Convolution:
    """y = max(0, w * x + b), or without the rectifier.

    Args:
        weight: `(out, in, height, width)`.
        bias: `(out,)`.
        relu: whether the rectifier is applied.
        fused: None decides by the device and by what torch was built with.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        *,
        stride: int = 1,
        padding: tuple[int, int] = (0, 0),
        relu: bool = True,
        fused: bool | None = None,
    ) -> None:
        self.weight = weight.contiguous(memory_format=torch.channels_last)
        self.bias = bias
        self.stride, self.padding, self.relu = stride, padding, relu
        self._fused = (weight.device.type == "cpu" and _fused_is_there()) if fused is None else fused
        self._packed: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """`(n, in, h, w)` to `(n, out, h', w')`, channels last in memory."""
        if not self._fused:
            y = F.conv2d(x, self.weight, self.bias, self.stride, self.padding)
            return y.relu_() if self.relu else y
        stride, dilation = (self.stride, self.stride), (1, 1)
        if self._packed is None:  # the layout depends on the size of the images, which is known only now
            self._packed = torch.ops.mkldnn._reorder_convolution_weight(
                self.weight, self.padding, stride, dilation, 1, list(x.shape)
            )
            self.weight = self.weight[:0]
        y = torch.ops.mkldnn._convolution_pointwise(
            x, self._packed, self.bias, self.padding, stride, dilation, 1, "relu" if self.relu else "none", [], ""
        )
        assert isinstance(y, Tensor)
        return y


def joined(parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Weights and biases of convolutions of one input and one kernel size, as those of a single one."""
    return torch.cat([weight for weight, _ in parts]), torch.cat([bias for _, bias in parts])
