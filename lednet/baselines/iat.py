"""IAT, the Illumination Adaptive Transformer, with its published weights for LOL-v2.

Source: Cui et al., "You only need 90K parameters to adapt light: a light weight transformer for image enhancement and
exposure correction", BMVC 2022. A local branch at full size predicts a product and a sum for every pixel, a global
one (ten learned queries over features at a quarter of each side) a colour matrix and a gamma for the whole frame.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lednet.baselines.published import Published

BLOCKS, HEADS, DARKEST = 3, 4, 1e-8


def _colour_norm(weights: Published, x: Tensor, name: str) -> Tensor:
    """A learned mixing of the channels, then a scale and an offset: the paper's light normalisation."""
    mixed = torch.einsum("ij,njhw->nihw", weights[f"{name}.color"], x)
    return mixed * weights[f"{name}.alpha"].reshape(1, -1, 1, 1) + weights[f"{name}.beta"].reshape(1, -1, 1, 1)


def _block(weights: Published, x: Tensor, name: str) -> Tensor:
    x = x + weights.conv(x, f"{name}.pos_embed")
    inner = weights.conv(_colour_norm(weights, x, f"{name}.norm1"), f"{name}.conv1")
    inner = weights.conv(weights.conv(inner, f"{name}.attn"), f"{name}.conv2")
    x = x + weights[f"{name}.gamma_1"] * inner
    inner = F.gelu(weights.conv(_colour_norm(weights, x, f"{name}.norm2"), f"{name}.mlp.fc1"))
    return x + weights[f"{name}.gamma_2"] * weights.conv(inner, f"{name}.mlp.fc2")


def local_branch(weights: Published, x: Tensor) -> tuple[Tensor, Tensor]:
    """Frames [n, 3, h, w] -> (factor, at least 0; term, within [-1, 1]), each of that shape."""
    first = F.leaky_relu(weights.conv(x, "local_net.conv1"), 0.2)
    ends = []
    for kind in ("mul", "add"):
        features = first
        for i in range(BLOCKS):
            features = _block(weights, features, f"local_net.{kind}_blocks.{i}")
        ends.append(weights.conv(features + first, f"local_net.{kind}_end.0"))
    return ends[0].relu(), ends[1].tanh()


def global_branch(weights: Published, x: Tensor) -> tuple[Tensor, Tensor]:
    """Frames [n, 3, h, w] -> (gamma [n, 1], colour matrix [n, 3, 3])."""
    embed, generator = "global_net.conv_large.proj", "global_net.generator"
    features = F.gelu(weights.batch_norm(weights.conv(x, f"{embed}.0", stride=2), f"{embed}.1"))
    features = weights.batch_norm(weights.conv(features, f"{embed}.3", stride=2), f"{embed}.4")
    features = features + weights.conv(features, f"{generator}.pos_embed")
    tokens = weights.layer_norm(features.flatten(2).transpose(1, 2), f"{generator}.norm1")

    def heads(t: Tensor) -> Tensor:
        return t.reshape(*t.shape[:2], HEADS, -1).transpose(1, 2)

    queries = weights[f"{generator}.attn.q"].expand(len(x), -1, -1)
    keys, values = (heads(weights.linear(tokens, f"{generator}.attn.{part}")) for part in "kv")
    answers = F.scaled_dot_product_attention(heads(queries), keys, values).transpose(1, 2).flatten(2)
    answers = weights.linear(answers, f"{generator}.attn.proj")
    inner = F.gelu(weights.linear(weights.layer_norm(answers, f"{generator}.norm2"), f"{generator}.mlp.fc1"))
    answers = answers + weights.linear(inner, f"{generator}.mlp.fc2")
    gamma = weights.linear(answers[:, 0], "global_net.gamma_linear") + weights["global_net.gamma_base"]
    colour = weights.linear(answers[:, 1:], "global_net.color_linear").reshape(-1, 3, 3)
    return gamma, colour + weights["global_net.color_base"]


def restore_iat(weights: Published, x: Tensor) -> Tensor:
    """sRGB [n, 3, h, w] in [0, 1] -> the same. These weights were trained on input from -1 to 1."""
    x = 2 * x - 1
    factor, term = local_branch(weights, x)
    gamma, colour = global_branch(weights, x)
    lit = torch.einsum("nij,njhw->nihw", colour, x * factor + term).clamp(DARKEST, 1)
    return (lit ** gamma[:, :, None, None]).clamp(0, 1)
