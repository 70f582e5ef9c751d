"""What compression does to a frame: JPEG, and the transform of H.264 where nothing is predicted."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

_LUMA_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
_CHROMA_TABLE = (
    (17, 18, 24, 47, 99, 99, 99, 99), (18, 21, 26, 66, 99, 99, 99, 99), (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99), *((99,) * 8,) * 4,
)  # fmt: skip
_TO_YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


@lru_cache(maxsize=4)
def _colours(device: torch.device) -> tuple[Tensor, Tensor]:
    """RGB to YCbCr and back, made once: inverting a matrix on a GPU waits for all that it has to do."""
    with torch.inference_mode(False):
        there = torch.tensor(_TO_YCBCR)
        return there.to(device), torch.linalg.inv(there).to(device)


def _dct_matrix(device: torch.device) -> Tensor:
    k = torch.arange(8, device=device, dtype=torch.float32)
    basis = torch.cos((2 * k[None] + 1) * k[:, None] * math.pi / 16) / 2
    basis[0] /= math.sqrt(2)
    return basis


def _quantise_blocks(plane: Tensor, table: Tensor) -> Tensor:
    """Quantise the 8x8 DCT coefficients of planes [n, h, w] (multiples of 8) by tables [n, 8, 8]."""
    n, height, width = plane.shape
    basis = _dct_matrix(plane.device)
    blocks = plane.reshape(n, height // 8, 8, width // 8, 8).transpose(2, 3)
    table = table[:, None, None]
    coefficients = (basis @ blocks @ basis.T / table).round() * table
    return (basis.T @ coefficients @ basis).transpose(2, 3).reshape(n, height, width)


def _code_blocks(x: Tensor, luma: Tensor, chroma: Tensor) -> Tensor:
    """sRGB images through YCbCr 4:2:0 and 8x8 blocks quantised by tables [n, 8, 8] of 8-bit levels."""
    x = x.float()  # as the transform's matrices are
    height, width = x.shape[2:]
    to_ycbcr, to_rgb = _colours(x.device)
    padded = F.pad(x, (0, -width % 16, 0, -height % 16), mode="replicate") * 255
    ycbcr = torch.einsum("ij,njhw->nihw", to_ycbcr, padded)
    y = _quantise_blocks(ycbcr[:, 0] - 128, luma) + 128
    half = F.avg_pool2d(ycbcr[:, 1:], 2)
    half = _quantise_blocks(half.flatten(0, 1), chroma.repeat_interleave(2, 0)).reshape(half.shape)
    cbcr = F.interpolate(half, scale_factor=2, mode="bilinear", align_corners=False)
    rgb = torch.einsum("ij,njhw->nihw", to_rgb, torch.cat([y[:, None], cbcr], 1)) / 255
    return rgb[:, :, :height, :width].clamp(0, 1)


def jpeg(x: Tensor, quality: Tensor) -> Tensor:
    """What JPEG does to sRGB images: YCbCr 4:2:0, 8x8 DCT, quantised by the standard's tables (ITU-T T.81, annex K).

    Args:
        quality: [n], 1 to 100, in the Independent JPEG Group's scale.
    """
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None, None]
    luma, chroma = (
        ((torch.tensor(t, device=x.device, dtype=torch.float32) * scale + 50) / 100).floor().clamp(1, 255)
        for t in (_LUMA_TABLE, _CHROMA_TABLE)
    )
    return _code_blocks(x, luma, chroma)


def transform_coding(x: Tensor, qp: Tensor) -> Tensor:
    """What H.264's 8x8 transform and flat quantiser leave of sRGB images coded without prediction (ITU-T H.264, 8.5).

    The step doubles every six of the quantisation parameter, Qstep = 0.625 * 2 ** (qp / 6) in 8-bit levels; luma and
    4:2:0 chroma take the same one. Prediction makes real streams better at the same qp, the loop filter smoother.

    Args:
        qp: [n], 0 to 51; cameras at night run at 28 to 45.
    """
    step = (0.625 * 2 ** (qp / 6))[:, None, None].expand(-1, 8, 8)
    return _code_blocks(x, step, step)
