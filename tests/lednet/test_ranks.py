"""Training in two processes at once, with the variables that torchrun sets, over the CPU's own transport."""

from __future__ import annotations

import copy
import multiprocessing
import os
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp

from lednet.clips import Clip
from lednet.model import SIZES, LEDNetConfig
from lednet.ranks import Ranks, join, leave
from lednet.train_settings import LightSettings, Stage, TrainSettings
from lednet.trainer import Trainer

STEPS = 4
CPU = torch.device("cpu")


CONFIG = LEDNetConfig((32, 32, 32), (1, 0, 0), 0, (0, 0), axis_window=16)


def settings() -> TrainSettings:
    """Of a run of four small steps."""
    return TrainSettings(
        size="tiny", steps=2, warmup_steps=1, stages=(Stage(1.0, 32, 32, 1),), save_every=100, log_every=1,
        light=LightSettings(2, ((2, 32, 32),)),
    )  # fmt: skip


def clips() -> list[Clip]:
    frames = torch.randint(0, 256, (20, 3, 40, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return [Clip("still", frames[:6], False), Clip("burst", frames, True)]


def train_one(rank: int, port: int, folder: Path) -> None:
    """One process: a run of `STEPS`, then the same run interrupted after two; leaves what it came to in `folder`."""
    torch.set_num_threads(1)
    SIZES["tiny"] = CONFIG
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), LOCAL_RANK=str(rank),
                      WORLD_SIZE="2")  # fmt: skip
    ranks, device = join(CPU)
    came_to: dict[str, Any] = {"first": ranks.first}
    straight = Trainer(settings(), clips(), [], device, None, folder, None, ranks)
    came_to["batch"] = straight.batches.take(0, last=False)[0]
    straight.batches.go_on_from(torch.Generator().manual_seed(ranks.seed(1)).get_state())
    came_to["start"] = copy.deepcopy(straight.model.state_dict())
    straight.run("test")
    came_to["straight"] = straight.model.state_dict()
    (folder / "state.pt").unlink(missing_ok=True)
    ranks.wait()
    for first, last in ((0, 2), (2, STEPS)):
        part = Trainer(settings(), clips(), [], device, None, folder, None, ranks)
        part.resume()
        assert part.step == first
        while part.step < last:
            part.train_step()
        part.save_state()
    came_to["resumed"] = part.model.state_dict()
    torch.save(came_to, folder / f"rank{rank}.pt")
    leave()


@pytest.fixture(scope="module")
def came_to(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What two processes came to."""
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Forked from a process that has read torch and what its optimizers import, and has no threads.
    multiprocessing.set_forkserver_preload(["torch._dynamo", __name__])
    mp.start_processes(train_one, (port, folder), nprocs=2, start_method="forkserver")  # type: ignore[no-untyped-call]
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


def test_each_process_learns_from_batches_of_its_own(came_to: list[dict[str, Any]]) -> None:
    assert not torch.equal(came_to[0]["batch"], came_to[1]["batch"])


def test_all_processes_keep_the_same_weights(came_to: list[dict[str, Any]]) -> None:
    first, second = (each["straight"] for each in came_to)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], value) for name, value in came_to[0]["start"].items())


def test_an_interrupted_run_of_two_processes_equals_an_unbroken_one_to_the_bit(came_to: list[dict[str, Any]]) -> None:
    for each in came_to:
        assert all(torch.equal(value, each["resumed"][name]) for name, value in each["straight"].items())


def test_only_the_first_process_writes(came_to: list[dict[str, Any]]) -> None:
    assert [each["first"] for each in came_to] == [True, False]


def test_a_state_of_two_processes_is_not_taken_for_that_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIZES, "tiny", CONFIG)
    trainer = Trainer(settings(), clips(), [], CPU, None, tmp_path)
    state = trainer.state()
    torch.save(state | {"generators": state["generators"] * 2}, tmp_path / "state.pt")
    with pytest.raises(ValueError, match=r"is of 2 processes, this run has 1; start as many"):
        trainer.resume()


def test_a_process_alone_averages_nothing() -> None:
    x = torch.tensor([1.0, 2.0])
    Ranks().average([x, None])
    assert x.tolist() == [1.0, 2.0]
