"""Growth: a larger LEDNet that begins by restoring just as a trained smaller one does.

Covers widening by whole factors and deepening. Wider: every channel is there several times over, and what is read from
copies is shared among them unevenly, so that they learn apart although they begin equal; means and variances over
channels, and so the norms, stay what they were. Deeper: a new block begins by adding nothing. Not covered: training
itself (`lednet.trainer`, which grows what `--init` names when `--size` is larger).

Source: Chen et al., "Net2Net: Accelerating Learning via Knowledge Transfer", ICLR 2016.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lednet.attention import HEAD_CHANNELS
from lednet.model import LEDNet, LEDNetConfig

UNEVEN = 0.5
"""How unevenly copies are read: deviation of the shares' differences, as a part of the weights' own deviation."""

ADDS = ("out", "project")
"""The layers of a block that write into its residual; zero in a new block."""


def grow(trained: LEDNet, size: str | LEDNetConfig, seed: int = 0) -> LEDNet:
    """A LEDNet of `size` whose output equals that of `trained`, up to rounding, in evaluation mode on the CPU.

    Args:
        trained: a network no wider and no deeper anywhere; each of its widths, also inside its fusions, divides the
            new one's.
        size: as of `LEDNet`.
        seed: of the unevenness.

    Raises:
        ValueError: if one can't grow into the other.
    """
    grown = LEDNet(size)
    before, after = trained.config, grown.config
    shallower = any(new < old for new, old in zip(_depths(after), _depths(before), strict=True))
    if shallower or after.axis_window != before.axis_window:
        raise ValueError(f"{before} can't grow into {after}: need as many blocks or more, and the same axis_window")
    if after.attention_at_half != before.attention_at_half:
        raise ValueError(f"{before} can't grow into {after}: one has attention at 1/2, the other none")
    chance = torch.Generator().manual_seed(seed)
    known = {name: weights.cpu() for name, weights in trained.state_dict().items()}
    drawn = grown.state_dict()
    if any(new % old for name in known for new, old in zip(drawn[name].shape, known[name].shape, strict=True)):
        raise ValueError(f"channels {before.channels} can't grow into {after.channels}: need doubles, or their doubles")
    state = {
        name: _grown(known[name], new, chance) if name in known else _silent(name, new) for name, new in drawn.items()
    }
    grown.load_state_dict(state)
    return grown.eval()


def _depths(config: LEDNetConfig) -> tuple[int, ...]:
    return (*config.encoder_blocks, config.middle_blocks, *config.decoder_blocks)


def _silent(name: str, new: Tensor) -> Tensor:
    """A tensor of a new block: as it was drawn, but zero where the block writes."""
    return torch.zeros_like(new) if name.split(".")[-2] in ADDS else new


def _grown(old: Tensor, new: Tensor, chance: torch.Generator) -> Tensor:
    """`old` in the shape of `new`: copied along what it writes, shared out along what it reads (axis 1)."""
    if old.shape == new.shape:
        return old
    wide = _copied(old, 0, new.shape[0] // old.shape[0])
    copies = new.shape[1] // old.shape[1] if old.ndim > 1 else 1
    if copies == 1:
        return wide
    differences = torch.randn(copies, *wide.shape, generator=chance) * (UNEVEN * wide.std() / copies)
    differences -= differences.mean(0)
    return _interleaved([wide / copies + part for part in differences], 1)


def _copied(x: Tensor, axis: int, times: int) -> Tensor:
    return _interleaved([x] * times, axis)


def _interleaved(copies: list[Tensor], axis: int) -> Tensor:
    """Join tensors along an axis a head's channels at a time, so that heads, and the halves of a gate, stay whole."""
    block = min(HEAD_CHANNELS, copies[0].shape[axis])
    parts = [torch.split(x, block, axis) for x in copies]
    return torch.cat([part for together in zip(*parts, strict=True) for part in together], axis)
