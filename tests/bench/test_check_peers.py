"""What the bench of the peers must notice: a weight without a place, an output that differs, files that are missing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from lednet.baselines.peers import PEERS
from tests.bench import check_peers
from tests.bench.carry_weights import carry


def test_weights_arrive_under_their_new_names() -> None:
    theirs, ours = nn.ModuleDict({"body1": nn.Linear(2, 3)}), nn.ModuleDict({"first": nn.Linear(2, 3)})
    carry(theirs.state_dict(), ours, [("body1", "first")])
    assert torch.equal(theirs.get_parameter("body1.weight"), ours.get_parameter("first.weight"))


@pytest.mark.parametrize(("shape", "message"), [((2, 3), "nothing for our second"), ((3, 2), "no place in ours")])
def test_a_tensor_without_its_like_is_named(shape: tuple[int, int], message: str) -> None:
    theirs = {"first.weight": torch.zeros(3, 2), "second.bias": torch.zeros(3)}
    ours = nn.ModuleDict({"first": nn.Linear(*shape, bias=False), "second": nn.Linear(2, 3)})
    with pytest.raises(ValueError, match=message):
        carry(theirs, ours, [])


def test_a_network_that_computes_something_else_is_noticed() -> None:
    check = check_peers.CHECKS["Zero-DCE"]
    ours, theirs = (PEERS[check.ours]().eval() for _ in range(2))
    carry(theirs.state_dict(), ours, [])
    pictures = [torch.rand(1, 3, 16, 16)]
    same = check._replace(run=lambda network, x: network(x))
    gap = check_peers.difference(same, theirs, ours, pictures)
    assert gap.rounding
    assert gap.largest == 0
    other = check._replace(run=lambda network, x: network(x) + 1e-3)
    assert not check_peers.difference(other, theirs, ours, pictures).rounding


def test_what_the_folder_lacks_is_said_and_a_look_at_nothing_does_not_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["check_peers", str(tmp_path)])
    monkeypatch.setattr("torch.set_flush_denormal", bool)  # it would last longer than this test
    with pytest.raises(SystemExit, match="nothing in it to compare with"):
        check_peers.main()
    said = capsys.readouterr().err
    assert all(f"{name}: left out" in said for name in (*check_peers.CHECKS, "LL-Net"))


def test_missing_weights_are_replaced_by_the_same_random_ones_every_time(tmp_path: Path) -> None:
    networks = []
    for _ in range(2):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        cause = check_peers.fill(tmp_path, check_peers.CHECKS["Zero-DCE"], network)
        networks.append(network.state_dict())
    assert cause == "random: REF has no Epoch99.pth"
    assert all(torch.equal(networks[0][name], networks[1][name]) for name in networks[0])
    assert networks[0]["1.weight"].std() > 0
    assert networks[0]["1.running_var"].min() > 0


def test_llnets_layers_are_counted_from_its_script(tmp_path: Path) -> None:
    script = tmp_path / "llnet_color/llnet_color.py"
    script.parent.mkdir()
    script.write_text("patch_size = (2,2)\nhp_hlsize = [5]\nprint 'Python 2'\n")
    assert check_peers.count_llnet(tmp_path) == (12 * 5 + 5) + (5 * 12 + 12)
