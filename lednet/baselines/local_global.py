"""A local branch with a global Transformer adjustment, and a loss of alike features.

Guo et al. 2024 name the local + global Transformer of Wei Yang et al. for underground coal mines; its code and its
sizes are not public. Its relative IAT is: Cui et al., "You only need 90K parameters to adapt light", BMVC 2022, whose
network is written here as a module, with the published tensors' names, so that its weights load (`iat` restores with
them alone). A branch at full size predicts a factor and a term for every pixel, ten learned queries ask a smaller
picture for a colour matrix and a gamma of the whole frame. The feature-similarity loss is the gradient part of FSIM
(Zhang, Zhang, Mou and Zhang, IEEE TIP 2011), added to the common one; its phase congruency is left out.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lednet.baselines.iat import BLOCKS, DARKEST, HEADS
from lednet.baselines.peer import Batch, Peer, Turn, conv, fp32

WIDTH, TOKENS, QUERIES = 16, 64, 10
SIMILARITY_WEIGHT = 0.2
FSIM_CONSTANT = 160 / 255**2
"""T2 of FSIM, for pictures in [0, 1]."""


class ColourNorm(nn.Module):
    """A learned mixing of the channels, with a scale and an offset each."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha, self.beta = nn.Parameter(torch.ones(1, 1, channels)), nn.Parameter(torch.zeros(1, 1, channels))
        self.color = nn.Parameter(torch.eye(channels))

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> the same."""
        mixed = torch.einsum("ij,njhw->nihw", self.color.to(x.dtype), x)
        return mixed * self.alpha.reshape(1, -1, 1, 1) + self.beta.reshape(1, -1, 1, 1)


def mlp(layer_in: nn.Module, layer_out: nn.Module) -> nn.Sequential:
    """Two layers with GELU between them, under the published names."""
    both = nn.Sequential()
    for name, layer in (("fc1", layer_in), ("act", nn.GELU()), ("fc2", layer_out)):
        both.add_module(name, layer)
    return both


class LocalBlock(nn.Module):
    """Position, depthwise mixing and a small MLP, each with a residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma_1 = nn.Parameter(torch.full((1, channels, 1, 1), 1e-2))
        self.gamma_2 = nn.Parameter(torch.full((1, channels, 1, 1), 1e-2))
        self.pos_embed = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm1, self.norm2 = ColourNorm(channels), ColourNorm(channels)
        self.conv1, self.conv2 = conv(channels, channels, 1), conv(channels, channels, 1)
        self.attn = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.mlp = mlp(conv(channels, 4 * channels, 1), conv(4 * channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> the same."""
        x = x + self.pos_embed(x)
        x = x + self.gamma_1 * self.conv2(self.attn(self.conv1(self.norm1(x))))
        out: Tensor = x + self.gamma_2 * self.mlp(self.norm2(x))
        return out


class LocalNet(nn.Module):
    """[n, 3, h, w] -> (factor, at least 0; term, within [-1, 1]) for every pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = conv(3, WIDTH)
        self.mul_blocks = nn.Sequential(*(LocalBlock(WIDTH) for _ in range(BLOCKS)))
        self.add_blocks = nn.Sequential(*(LocalBlock(WIDTH) for _ in range(BLOCKS)))
        self.mul_end = nn.Sequential(conv(WIDTH, 3), nn.ReLU())
        self.add_end = nn.Sequential(conv(WIDTH, 3), nn.Tanh())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Factor and term, each [n, 3, h, w]."""
        first = F.leaky_relu(self.conv1(x), 0.2)
        return self.mul_end(self.mul_blocks(first) + first), self.add_end(self.add_blocks(first) + first)


class Queries(nn.Module):
    """Learned queries that attend to all tokens of the frame."""

    def __init__(self) -> None:
        super().__init__()
        self.q = nn.Parameter(torch.ones(1, QUERIES, TOKENS))
        self.k, self.v = nn.Linear(TOKENS, TOKENS, bias=False), nn.Linear(TOKENS, TOKENS, bias=False)
        self.proj = nn.Linear(TOKENS, TOKENS)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens [n, k, 64] -> answers [n, 10, 64]."""

        def heads(t: Tensor) -> Tensor:
            return t.reshape(*t.shape[:2], HEADS, -1).transpose(1, 2)

        q = heads(self.q.to(tokens.dtype).expand(len(tokens), -1, -1))
        answers = F.scaled_dot_product_attention(q, heads(self.k(tokens)), heads(self.v(tokens)))
        out: Tensor = self.proj(answers.transpose(1, 2).flatten(2))
        return out


class Generator(nn.Module):
    """One Transformer layer: [n, 64, h, w] -> the queries' answers [n, 10, 64]."""

    def __init__(self) -> None:
        super().__init__()
        self.pos_embed = nn.Conv2d(TOKENS, TOKENS, 3, padding=1, groups=TOKENS)
        self.norm1, self.norm2, self.attn = nn.LayerNorm(TOKENS), nn.LayerNorm(TOKENS), Queries()
        self.mlp = mlp(nn.Linear(TOKENS, 4 * TOKENS), nn.Linear(4 * TOKENS, TOKENS))

    def forward(self, features: Tensor) -> Tensor:
        """Features [n, 64, h, w] -> answers [n, 10, 64]."""
        features = features + self.pos_embed(features)
        answers = self.attn(self.norm1(features.flatten(2).transpose(1, 2)))
        out: Tensor = answers + self.mlp(self.norm2(answers))
        return out


class GlobalNet(nn.Module):
    """[n, 3, h, w] -> gamma [n, 1] and colour matrix [n, 3, 3] of the frame."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma_base, self.color_base = nn.Parameter(torch.ones(1)), nn.Parameter(torch.eye(3))
        self.conv_large = nn.ModuleDict({"proj": nn.Sequential(
            conv(3, TOKENS // 2, stride=2), nn.BatchNorm2d(TOKENS // 2), nn.GELU(),
            conv(TOKENS // 2, TOKENS, stride=2), nn.BatchNorm2d(TOKENS),
        )})  # fmt: skip
        self.generator = Generator()
        self.gamma_linear, self.color_linear = nn.Linear(TOKENS, 1), nn.Linear(TOKENS, 1)
        for layer in (self.gamma_linear, self.color_linear):
            nn.init.normal_(layer.weight, std=1e-3)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Gamma [n, 1] and matrix [n, 3, 3]."""
        answers = self.generator(self.conv_large["proj"](x))
        colour = self.color_linear(answers[:, 1:]).reshape(-1, 3, 3) + self.color_base
        return self.gamma_linear(answers[:, 0]) + self.gamma_base, colour


class LocalGlobal(Peer):
    """Local branch and global adjustment."""

    name, title = "local_global", "local branch, global Transformer"
    source = "after Wei Yang et al., named by Guo et al. 2024; Cui et al., BMVC 2022"
    published_parameters = "91,154 (IAT, counted from the public code by tests/bench/check_peers.py)"
    multiple = 4
    learning_rate = 1e-3
    bytes_per_pixel = 800

    def __init__(self) -> None:
        super().__init__()
        self.local_net, self.global_net = LocalNet(), GlobalNet()

    def forward(self, x: Tensor) -> Tensor:
        """[n, 3, h, w], sides multiples of 4 -> restored, in [0, 1]. The branches see it from -1 to 1."""
        x = 2 * x - 1
        factor, term = self.local_net(x)
        gamma, colour = self.global_net(x)
        lit = torch.einsum("nij,njhw->nihw", colour.float(), (x * factor + term).float()).clamp(DARKEST, 1)
        restored: Tensor = (lit ** gamma.float()[:, :, None, None]).to(x.dtype)
        return restored

    def losses(self, batch: Batch) -> Iterator[Turn]:
        """The common loss, and what the features lack of being alike."""
        image = self.restore(batch.degraded).float()
        loss = batch.supervise(image) + SIMILARITY_WEIGHT * (1 - feature_similarity(image, batch.label))
        yield Turn("all", loss, image)


def feature_similarity(x: Tensor, y: Tensor) -> Tensor:
    """Mean similarity of the gradients of two pictures [n, 3, h, w] in [0, 1]: FSIM's eq. 5; 1 for equal ones."""
    with fp32(x):
        a, b = (_gradient(t.mean(1, keepdim=True)) for t in (x, y))
    return ((2 * (a * b + 1e-12).sqrt() + FSIM_CONSTANT) / (a + b + FSIM_CONSTANT)).mean()


def _gradient(grey: Tensor) -> Tensor:
    """Squared magnitude of the Scharr gradient of [n, 1, h, w]."""
    kernel = torch.tensor([[3.0, 0, -3], [10, 0, -10], [3, 0, -3]], device=grey.device) / 16
    return F.conv2d(grey, kernel[None, None]).square() + F.conv2d(grey, kernel.T[None, None]).square()
