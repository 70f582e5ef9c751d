"""Growing a LEDNet into a larger one: same pictures at first, other pictures after learning, refusals."""

from __future__ import annotations

import pytest
import torch

from lednet.growth import grow
from lednet.model import SIZES, LEDNet, LEDNetConfig

TINY = LEDNetConfig((32, 32, 64), (1, 1, 1), 1, (1, 1), axis_window=16)
LARGER = {
    "wider": LEDNetConfig((64, 128, 64), (1, 1, 1), 1, (1, 1), axis_window=16),
    "deeper": LEDNetConfig((32, 32, 64), (1, 2, 1), 3, (2, 1), axis_window=16),
    "both": LEDNetConfig((64, 64, 128), (2, 1, 2), 1, (1, 2), axis_window=16),
}


@pytest.fixture
def trained() -> LEDNet:
    """A LEDNet whose every weight is something, as after training: fresh ones end in zeros and can't tell."""
    torch.manual_seed(3)
    network = LEDNet(TINY)
    with torch.no_grad():
        for weights in network.parameters():
            weights.add_(torch.randn_like(weights) * 0.05)
    return network.eval()


@pytest.mark.parametrize("how", LARGER)
def test_a_grown_network_restores_as_the_one_it_grew_from(trained: LEDNet, how: str) -> None:
    frame = torch.rand(2, 3, 40, 56)
    with torch.no_grad():
        expected, found = trained.restore(frame), grow(trained, LARGER[how]).restore(frame)
    assert expected.image.std() > 0.05
    torch.testing.assert_close(found.image, expected.image, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.side, expected.side, atol=1e-4, rtol=0)


def test_the_shipped_sizes_can_grow_into_the_next() -> None:
    small = LEDNet("small").eval()
    frame = torch.rand(1, 3, 32, 32)
    base = grow(small, "base")
    assert grow(base, "large").config == SIZES["large"]
    with torch.no_grad():
        torch.testing.assert_close(base(frame), small(frame), atol=1e-4, rtol=0)


def test_copies_of_a_channel_learn_apart(trained: LEDNet) -> None:
    grown = grow(trained, LARGER["wider"]).train()
    image, _ = grown(torch.rand(2, 3, 40, 56))
    image.square().mean().backward()
    gradient = grown.stem.weight.grad
    assert gradient is not None
    first, copy = gradient[:32], gradient[32:]
    assert (first - copy).abs().max() > 0.1 * first.abs().max()


def test_every_new_block_learns(trained: LEDNet) -> None:
    grown = grow(trained, LARGER["deeper"]).train()
    image, side = grown(torch.rand(2, 3, 40, 56))
    (image.square().mean() + side.square().mean()).backward()
    weights = dict(grown.named_parameters())
    for block in ("encoder2.1", "middle.1", "middle.2", "decoder1.1"):
        for layer in ("0.out", "1.out", "2.project"):
            gradient = weights[f"{block}.{layer}.weight"].grad
            assert gradient is not None
            assert gradient.abs().max() > 0


@pytest.mark.parametrize(
    ("size", "cause"),
    [
        (LEDNetConfig((32, 32, 96), (1, 1, 1), 1, (1, 1), axis_window=16), "need doubles"),
        (LEDNetConfig((32, 32, 64), (1, 0, 1), 1, (1, 1), axis_window=16), "as many blocks"),
        (LEDNetConfig((32, 32, 64), (1, 1, 1), 1, (1, 1), axis_window=32), "axis_window"),
        (LEDNetConfig((32, 32, 64), (1, 1, 1), 1, (1, 1), axis_window=16, attention_at_half=False), "attention at 1/2"),
    ],
)
def test_what_can_not_grow_is_refused(trained: LEDNet, size: LEDNetConfig, cause: str) -> None:
    with pytest.raises(ValueError, match=cause):
        grow(trained, size)


def test_another_seed_shares_the_weights_out_otherwise(trained: LEDNet) -> None:
    weights = [grow(trained, LARGER["wider"], seed).state_dict() for seed in (0, 0, 1)]
    same, other = ([torch.equal(weights[0][name], w[name]) for name in w] for w in weights[1:])
    assert all(same)
    assert not all(other)
