"""The learned peers: their published sizes, what defines each, and that each can learn one pair by heart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lednet import Restorer, checkpoint
from lednet.baselines import darkir, drbn, dslr, enlighten_gan, lednet_eccv, llnet, local_global, retinex_unet, unet
from lednet.baselines import zero_dce_training as zero_dce
from lednet.baselines.iat import restore_iat
from lednet.baselines.peer import Batch, Peer
from lednet.baselines.peers import PEERS
from lednet.baselines.published import Published
from lednet.baselines.registry import ALIKE
from lednet.baselines.zero_dce import restore_zero_dce
from lednet.losses import LEDNetLoss, LossWeights
from lednet.metrics import psnr

CPU = torch.device("cpu")
PUBLIC = "counted from the public code by tests/bench/check_peers.py"
COUNTS = {
    "drbn": (576_829, PUBLIC + "; 0.577 M: Li et al., TPAMI 2021"),
    "dslr": (14_931_337, PUBLIC),
    "enlighten_gan": (8_636_675, PUBLIC + "; 8.637 M: Li et al., TPAMI 2021"),
    "dpdnet": (31_035_151 - 9 * 3 * 64, "31.03 M: the public code's layers with six input channels; here three"),
    "llnet": (17_908_000 + 10_467, PUBLIC + ", by its layers' widths; 17.908 M without biases: Li et al."),
    "zero_dce_trained": (79_416, PUBLIC + ", as in its published weights; 0.079 M: the paper"),
    "retinex_unet": (
        207_748 + 1_927_012,
        "RetinexNet's 0.555 M less its relighting network, 347,457; the U-Net is ours",
    ),
    "local_global": (91_154, PUBLIC + ", as in its published weights"),
    "lednet_eccv": (7_405_434, PUBLIC + ", 7,408,893 with the side image's 3,459; 7.4 M: the paper"),
    "darkir": (3_314_723, PUBLIC + ", 3,321,638 with the side image's 6,915; 3.31 M: the paper"),
}
"""Trained numbers that restore, and where the number is from."""


@pytest.fixture(scope="module")
def peers() -> dict[str, Peer]:
    """One of each, untrained."""
    torch.manual_seed(0)
    return {name: kind().eval() for name, kind in PEERS.items()}


@pytest.fixture
def pair(textured: Callable[[int, int], Tensor]) -> tuple[Tensor, Tensor]:
    """(dark, bright), two pictures of 32x32 each."""
    label = torch.cat([textured(32, 32), textured(48, 48)[:, :, 16:, 16:]])
    return (label**2.2 * 0.5).clamp(0, 1), label


def batch_of(pair: tuple[Tensor, Tensor], done: float) -> Batch:
    return Batch(*pair, done, LEDNetLoss(LossWeights(), None))


# All of them


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_has_its_published_number_of_parameters(name: str, peers: dict[str, Peer]) -> None:
    assert sum(p.numel() for p in peers[name].restoring().values()) == COUNTS[name][0], COUNTS[name][1]


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_is_shipped_as_it_was_trained_beside_the_others(name: str) -> None:
    card, alike = (checkpoint.identify(n)[0] for n in (name, ALIKE))
    assert card.config == {"model": name}
    assert card.training["steps_done"] == alike.training["steps_done"]
    assert card.training["clips"] == alike.training["clips"]
    assert card.training["settings"]["seed"] == alike.training["settings"]["seed"]


@pytest.mark.parametrize("name", PEERS)
def test_frames_of_any_size_come_back_finite_in_fp32_and_bf16(name: str, peers: dict[str, Peer]) -> None:
    frames = np.random.default_rng(0).integers(0, 90, (1, 33, 50, 3), np.uint8)
    for precision in ("bf16", "fp32"):  # fp32 last: the network is converted in place
        restored = Restorer(peers[name], device="cpu", precision=precision).restore(frames)
        assert restored.shape == frames.shape


@pytest.mark.parametrize(
    ("name", "done"),
    [(name, 0.95) for name in PEERS] + [("drbn", 0.0), ("retinex_unet", 0.0), ("llnet", 0.0)],
)
def test_a_pair_is_learnt_by_heart(name: str, done: float, pair: tuple[Tensor, Tensor]) -> None:
    torch.manual_seed(0)
    peer = PEERS[name]().train()
    for dropout in (m for m in peer.modules() if isinstance(m, nn.Dropout)):
        dropout.p = 0.0
    few = 2 if name == "enlighten_gan" else 1  # which needs another scene to compare with
    batch = batch_of((pair[0][:few], pair[1][:few]), done)
    group = next(iter(peer.losses(batch))).group
    rate = {"dpdnet": 3e-4, "lednet_eccv": 5e-4, "retinex_unet": 5e-4, "enlighten_gan": 4e-3}.get(name, 2e-3)
    optimizer = torch.optim.Adam(peer.groups()[group], lr=rate)
    losses = []
    slow = ("drbn", "enlighten_gan", "lednet_eccv", "retinex_unet")  # the others have learnt enough after half of that
    for _ in range(8 if name in slow else 4):
        torch.manual_seed(1)  # LL-Net's patches and corruption
        turn = next(iter(peer.losses(batch)))  # the first turn is the restorer's; critics stand still
        optimizer.zero_grad()
        turn.loss.backward()
        optimizer.step()
        losses.append(float(turn.loss.detach()))
    least = 0.005 if name == "enlighten_gan" else 0.01  # untrained critics hardly tell pictures apart
    assert losses[-1] < losses[0] - least * abs(losses[0])


@pytest.mark.parametrize("name", ["local_global", "zero_dce_trained"])
def test_a_tiled_frame_is_near_the_whole_one(name: str, peers: dict[str, Peer]) -> None:
    y, x = np.mgrid[:300, :420]
    frame = (60 + 40 * np.sin(x / 37) * np.cos(y / 23))[None, :, :, None].repeat(3, 3).astype(np.uint8)
    whole, tiled = (Restorer(peers[name], device="cpu") for _ in range(2))
    tiled.pixels_at_once = 256 * 256
    difference = np.abs(whole.restore(frame).astype(int) - tiled.restore(frame).astype(int))
    assert difference.mean() < 3  # those with a global part see another frame in each tile


# Checkpoints


@pytest.mark.parametrize("name", ["drbn", "enlighten_gan", "local_global", "lednet_eccv"])
def test_a_checkpoint_restores_as_the_peer_and_holds_no_helpers(
    name: str, peers: dict[str, Peer], tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    card = checkpoint.save(path, peers[name], half=False, training={}, validation={})
    assert card.config == {"model": name}
    assert not [k for k in checkpoint.read_safetensors(path.read_bytes(), "") if k.startswith("helpers.")]
    frames = np.random.default_rng(1).integers(0, 90, (1, 40, 40, 3), np.uint8)
    loaded, direct = Restorer(path, device="cpu"), Restorer(peers[name], device="cpu")
    assert loaded.name == "model"
    np.testing.assert_array_equal(loaded.restore(frames), direct.restore(frames))


def test_a_peers_checkpoint_is_refused_where_a_lednet_is_wanted(peers: dict[str, Peer], tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, peers["zero_dce_trained"], half=True, training={}, validation={})
    with pytest.raises(checkpoint.CheckpointError, match="a Zero-DCE and no LEDNet"):
        checkpoint.load(path)


def test_a_card_of_an_unknown_network_is_refused_with_the_known_ones(peers: dict[str, Peer], tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, peers["zero_dce_trained"], half=True, training={}, validation={})
    card = checkpoint.card_path(path)
    card.write_text(card.read_text().replace("zero_dce_trained", "zero_dec"))
    with pytest.raises(checkpoint.CheckpointError, match=r"no network is called 'zero_dec'.*drbn"):
        Restorer(path, device="cpu")


# What defines each


def test_drbns_bands_sum_to_the_image_and_unweighed_ones_are_it(
    peers: dict[str, Peer], textured: Callable[[int, int], Tensor]
) -> None:
    net = peers["drbn"]
    assert isinstance(net, drbn.DRBN)
    with torch.no_grad():
        images = net.bands(textured(32, 36))
        torch.testing.assert_close(sum(drbn.split_bands(images).chunk(3, 1)), images[0])
        torch.testing.assert_close(net(textured(32, 36)), images[0])  # untrained, the recomposition weighs all by one


def test_drbns_recomposition_learns_while_the_bands_stand_still(pair: tuple[Tensor, Tensor]) -> None:
    net = drbn.DRBN()
    pair = pair[0][:1], pair[1][:1]
    turns = net.losses(batch_of(pair, 0.9))
    next(turns).loss.backward()
    assert all(p.grad is None for p in net.recursions.parameters())
    assert [next(turns).group, *(t.group for t in turns)] == ["critic"]


def test_dslrs_pyramid_adds_up_to_the_picture(textured: Callable[[int, int], Tensor]) -> None:
    for size in ((32, 32), (33, 47)):
        x = textured(*size)
        parts = dslr.pyramid(x, 3)
        assert len(parts) == 3
        torch.testing.assert_close(dslr.add_up(parts)[-1], x)


def test_enlightengan_sees_no_label_beside_its_own_input(pair: tuple[Tensor, Tensor]) -> None:
    torch.manual_seed(0)
    net = enlighten_gan.EnlightenGAN()
    seen: list[Tensor] = []
    net.helpers["whole"].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    groups = [turn.group for turn in net.losses(batch_of(pair, 0.5))]
    assert groups == ["generator", "whole_critic", "local_critic"]
    normal = (seen[1] + 1) / 2
    torch.testing.assert_close(normal, pair[1][[1, 0]].flip(3))


def test_enlightengans_local_critic_sees_patches_and_attention_is_dark_places(pair: tuple[Tensor, Tensor]) -> None:
    assert enlighten_gan.cut(torch.rand(2, 3, 64, 80)).shape == (2 * enlighten_gan.PATCHES, 3, 32, 32)
    dark, bright = enlighten_gan.attention(torch.zeros(1, 3, 8, 8)), enlighten_gan.attention(torch.ones(1, 3, 8, 8))
    assert float(dark.min()) == 1.0
    assert float(bright.max()) == pytest.approx(0.0, abs=1e-6)
    white = torch.ones(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(enlighten_gan.EnlightenGAN().eval()(white), white)


def test_the_unet_sees_far_and_keeps_the_size() -> None:
    net = unet.UNet(3, (8, 16, 32))
    x = torch.zeros(1, 3, 32, 32)
    with torch.no_grad():
        before = net(x)
        x[..., 16, 16] = 1
        changed = (net(x) - before).abs().sum(1)[0] > 0
    assert before.shape == (1, 8, 32, 32)
    assert changed.any(0).sum() > 16


def test_llnet_restores_each_pixel_from_patches_of_it_alone() -> None:
    net = llnet.LLNet()
    net.restore_patches = lambda patches: patches  # type: ignore[method-assign]
    for size in ((40, 53), (17, 17), (9, 30), (120, 20)):
        x = torch.rand(2, 3, *size)
        torch.testing.assert_close(net(x), x)


def test_llnet_is_unrolled_into_its_own_transpose_after_pretraining(pair: tuple[Tensor, Tensor]) -> None:
    net = llnet.LLNet()
    groups = [next(iter(net.losses(batch_of(pair, done)))).group for done in (0.0, 0.1, 0.25, 0.35)]
    assert groups == ["layer0", "layer1", "layer2", "all"]
    for a, b in zip(net.encode, net.decode, strict=True):
        assert torch.equal(a.weight.T, b.weight)  # type: ignore[operator]


def test_zero_dces_losses_never_look_at_the_label(pair: tuple[Tensor, Tensor]) -> None:
    net = zero_dce.ZeroDCE()
    losses = [next(iter(net.losses(batch_of((pair[0], label), 0.5)))).loss for label in (pair[1], 1 - pair[1])]
    assert torch.equal(*losses)


def test_zero_dces_losses_are_zero_for_what_they_ask_for(textured: Callable[[int, int], Tensor]) -> None:
    x = textured(32, 32)
    assert float(zero_dce.spatial_loss(x, x)) == 0
    assert float(zero_dce.exposure_loss(torch.full((1, 3, 32, 32), zero_dce.EXPOSED))) < 1e-12
    assert float(zero_dce.colour_loss(x.mean(1, keepdim=True).repeat(1, 3, 1, 1))) < 1e-5
    assert float(zero_dce.smoothness_loss(torch.full((1, 24, 8, 8), 0.3))) == 0


def test_retinex_light_and_reflectance_are_within_zero_and_one_and_edges_are_free(pair: tuple[Tensor, Tensor]) -> None:
    reflectance, light = retinex_unet.Decomposition()(pair[0])
    assert reflectance.shape == (2, 3, 32, 32)
    assert light.shape == (2, 1, 32, 32)
    assert 0 <= float(light.detach().min()) <= float(light.detach().max()) <= 1
    step = torch.zeros(1, 1, 8, 8)
    step[..., 4:] = 1
    flat, edged = torch.zeros(1, 3, 8, 8), step.repeat(1, 3, 1, 1)
    assert retinex_unet.unsmooth(step, edged) < 0.01 * retinex_unet.unsmooth(step, flat)


def test_feature_similarity_is_one_for_equal_pictures_and_falls_with_blur(
    textured: Callable[[int, int], Tensor],
) -> None:
    x = textured(32, 32)
    blurred = torch.nn.functional.avg_pool2d(x, 5, 1, 2)
    assert float(local_global.feature_similarity(x, x)) == pytest.approx(1, abs=1e-4)
    assert local_global.feature_similarity(blurred, x) < 0.98


def test_the_eccv_lednets_curves_keep_black_and_white_and_brighten_between(peers: dict[str, Peer]) -> None:
    curve = lednet_eccv.CurveAttention(8)
    for end in (0.0, 1.0):
        torch.testing.assert_close(curve(torch.full((1, 8, 6, 6), end)), torch.full((1, 8, 6, 6), end))
    x = torch.rand(1, 8, 6, 6) * 0.8 + 0.1
    assert (curve(x) > x).all()


def test_filter_adaptive_skips_with_the_unit_kernel_change_nothing_and_with_another_shift() -> None:
    x = torch.rand(1, 2, 7, 9)
    kernels = torch.zeros(1, 2, 25, 7, 9)
    kernels[:, :, 12] = 1
    torch.testing.assert_close(lednet_eccv.filter_by(x, kernels.reshape(1, 50, 7, 9)), x)
    kernels = kernels.roll(1, 2)  # one to the right of the middle
    torch.testing.assert_close(lednet_eccv.filter_by(x, kernels.reshape(1, 50, 7, 9))[..., :-1], x[..., 1:])


def test_darkir_changes_amplitudes_and_keeps_phases(textured: Callable[[int, int], Tensor]) -> None:
    part = darkir.AmplitudeMLP(3)
    x = textured(16, 20)
    with torch.no_grad():
        before, after = torch.fft.rfft2(x), torch.fft.rfft2(part(x))
    strong = (before.abs() > 1e-2) & (after.abs() > 1e-2)
    turned = (before * after.conj())[strong]
    assert float((turned.imag.abs() / turned.abs()).max()) < 1e-2  # the same line; a negative amplitude points back


def test_an_untrained_darkir_is_the_picture_and_its_blocks_wait_at_zero(peers: dict[str, Peer]) -> None:
    x = torch.rand(1, 32, 8, 8)
    for kind in (darkir.LightBlock, darkir.BlurBlock):
        torch.testing.assert_close(kind(32)(x), x)


# Published weights


@pytest.fixture(scope="module")
def published() -> Path:
    here = Path(__file__).resolve()
    for base in (here.parents[3], here.parents[4]):
        if (base / "shared/data/weights/zerodce.pth").is_file():
            return base / "shared/data/weights"
    pytest.skip("no published weights at ../shared/data/weights")


@pytest.mark.parametrize(
    ("name", "file", "restore"),
    [("zero_dce_trained", "zerodce.pth", restore_zero_dce), ("local_global", "iat_lol.pth", restore_iat)],
)
def test_published_weights_load_and_restore_as_their_adapter_does(
    name: str, file: str, restore: Callable[..., Tensor], published: Path, textured: Callable[[int, int], Tensor]
) -> None:
    weights = Published(published, file, CPU)
    net = PEERS[name]()
    net.load_state_dict(weights.tensors)
    dark = textured(32, 48) ** 2.2 * 0.4
    with torch.no_grad():
        own = net.eval().restore(dark).clamp(0, 1)
        assert float(psnr(own, restore(weights, dark))) > 80
