"""What the tests of a night's way share: small footage, a camera, an untrained model, and an S3 server of our own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import boto3
import httpx
import numpy as np
import pytest
import s3fs
import torch
import zarr
from moto.server import ThreadedMotoServer
from numpy.typing import NDArray
from torch import Tensor
from zarr.core.sync import sync as in_zarrs_loop

from lednet import Restorer, checkpoint
from lednet.model import LEDNet, LEDNetConfig
from tasks import storage, store
from tasks.enhance import enhance_item
from tasks.plan import plan_night
from tasks.publish import publish
from tasks.settings import NightSettings
from tasks.types import Camera, CameraNight, NightPlan

HEIGHT, WIDTH = 48, 64
FPS = 10
NIGHT = "2026-01-15"
START_NS = 1_768_514_400_000_000_000
"""2026-01-15 22:00 UTC."""
SHARD = 4
"""Slots in a shard."""
CAMERA = Camera("pit", "Pit", "outdoor", "UTC", "pit/%Y-%m-%d/%H%M%S.*", Fraction(5), "22:00", "22:00:07")
"""A night of 35 slots: eight whole shards and a short one."""

Frames = NDArray[np.uint8]


def pictures(count: int, height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> Frames:
    """Dark frames that all differ: a bright bar wanders over a smooth ground."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    ground = 20 + 15 * np.sin(x / 9 + seed) + 10 * np.cos(y / 7)
    frames = np.repeat(ground[None, :, :, None], count, 0) * rng.uniform(0.5, 1, 3)
    for k in range(count):
        left = (7 * k + 11 * seed) % (width - 6)
        frames[k, 4 : height - 4, left : left + 6] += 60 + 2 * k
    return frames.clip(0, 255).astype(np.uint8)


def write_clip(
    path: Path,
    frames: Frames,
    fps: int = FPS,
    *,
    times: list[int] | None = None,
    base: Fraction = Fraction(1, 1000),
    gop: int = 5,
    tone: str | None = None,
    sample_rate: int = 48_000,
) -> Path:
    """Write frames as H.264, at their own `times` (in units of `base`) if given, with a tone of some audio codec."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = frames.shape[1:3]
    even = height % 2 == 0 and width % 2 == 0
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=fps, options={"crf": "12", "preset": "ultrafast", "g": str(gop)})
        video.height, video.width, video.pix_fmt = height, width, "yuv420p" if even else "yuv444p"
        video.codec_context.thread_count = 1
        if times is not None:
            video.codec_context.time_base = base
        sound = out.add_stream(tone, rate=sample_rate, layout="mono") if tone else None
        for k, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[k], base
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if sound is not None:
            first = times[0] * base if times else Fraction(0)
            samples = int(len(frames) / fps * sample_rate)
            wave = (8000 * np.sin(np.arange(samples) * 2 * np.pi * 440 / sample_rate)).astype(np.int16)
            for begin in range(0, samples, 1024):
                block = av.AudioFrame.from_ndarray(wave[None, begin : begin + 1024], format="s16", layout="mono")
                block.sample_rate, block.time_base = sample_rate, Fraction(1, sample_rate)
                block.pts = begin + int(first * sample_rate)
                out.mux(sound.encode(block))
            out.mux(sound.encode(None))
    return path


def decode(path: Path) -> tuple[list[Fraction], Frames]:
    """Times and frames of a video file, by PyAV alone."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    times = [Fraction(f.pts or 0) * (f.time_base or 0) for f in frames]
    return times, np.stack([f.to_ndarray(format="rgb24") for f in frames])


def save_checkpoint(folder: Path) -> str:
    """The least LEDNet there is, untrained, as a checkpoint; the same at every call."""
    torch.manual_seed(0)
    model = LEDNet(LEDNetConfig((32, 32, 32), (0, 0, 1), 0, (0, 0), axis_window=8))
    checkpoint.save(folder / "tiny.safetensors", model, half=False, training={}, validation={})
    return str(folder / "tiny.safetensors")


def film(archive: Path, counts: tuple[int, ...] = (20, 20, 9), camera: str = "pit") -> list[Path]:
    """The night's footage: two seconds, a gap of two, then three seconds in two files, ending before the night does."""
    folder = archive / camera / NIGHT
    starts = ("220000.mp4", "220004.mp4", "220006.mp4")
    return [
        write_clip(folder / name, pictures(count, seed=k))
        for k, (name, count) in enumerate(zip(starts, counts, strict=False))
    ]


def small_settings(weights: str) -> NightSettings:
    """Settings that cut a small night into many shards, and those into several work items."""
    return NightSettings(
        checkpoint=weights, shard_mb=1, shard_least=SHARD, shard_most=SHARD, item_slots=3 * SHARD,
        preview_pictures=8, preview_width=48, queue_batches=2,
    )  # fmt: skip


def watched(restorer: Restorer, told: Callable[[int], None]) -> Restorer:
    """The same restorer, which tells how many frames it restores before each pass."""
    copied = copy(restorer)

    def restore_image(x: Tensor, known: Sequence[Tensor] = ()) -> Tensor:
        told(len(x))
        return restorer.restore_image(x, known)

    copied.restore_image = restore_image  # type: ignore[method-assign]
    return copied


def plan(archive: str, store_url: str, settings: NightSettings, camera: Camera = CAMERA) -> NightPlan:
    return plan_night(camera, NIGHT, archive, store_url, settings)


def enhance(planned: NightPlan, settings: NightSettings) -> None:
    """Lay a run out and do its work items, as the flow does."""
    store.create_run(planned, settings, "0")
    for item in planned.items:
        enhance_item(item, settings)


def run_night(archive: str, store_url: str, settings: NightSettings, camera: Camera = CAMERA) -> CameraNight:
    """Plan, enhance and publish."""
    planned = plan(archive, store_url, settings, camera)
    enhance(planned, settings)
    return publish(planned, store_url, settings)


class Site(NamedTuple):
    """An archive, a store beside it, and settings; as URLs, so that they may lie in S3 as well."""

    archive: str
    store: str
    settings: NightSettings

    @property
    def folder(self) -> Path:
        """Of the store, where that is local."""
        return Path(self.store.removeprefix("file://"))

    def footage(self, name: str) -> Path:
        """A file of the archive, where that is local."""
        return Path(self.archive.removeprefix("file://")) / "pit" / NIGHT / name

    def plan(self) -> NightPlan:
        return plan(self.archive, self.store, self.settings)

    def enhance(self) -> NightPlan:
        planned = self.plan()
        enhance(planned, self.settings)
        return planned

    def run(self) -> CameraNight:
        return run_night(self.archive, self.store, self.settings)

    def manifest(self) -> dict[str, Any]:
        manifest = store.read_manifest(self.store, CAMERA.id, NIGHT)
        assert manifest is not None
        return manifest


def make_site(root: Path, counts: tuple[int, ...] = (20, 20, 9)) -> Site:
    """A filmed night, an untrained model and nothing done yet."""
    film(root / "archive", counts)
    settings = small_settings(save_checkpoint(root))
    return Site(storage.normalise(str(root / "archive")), storage.normalise(str(root / "store")), settings)


def frames_of(planned: NightPlan) -> Frames:
    """All frames of a night as they are stored."""
    return np.asarray(zarr.open_array(storage.zarr_store(store.frames_url(planned.run_url)), path="frames", mode="r"))


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let retries come at once, in this process and in the decoding helpers that it starts."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    here = os.environ.get("PYTHONPATH", os.getcwd())
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent / "no_pauses"), here]))


@contextmanager
def s3_bucket() -> Iterator[str]:
    """URL of an empty bucket on an S3 server of our own, which the environment names."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    httpx.post(f"http://{host}:{port}/moto-api/reset").raise_for_status()  # all servers of a process share one memory
    with pytest.MonkeyPatch.context() as environment:
        for name in [n for n in os.environ if n.startswith("AWS_")]:
            environment.delenv(name)
        environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        environment.setenv("AWS_ACCESS_KEY_ID", "tests")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "tests")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        # Instances are cached by their arguments, among which the environment is not.
        s3fs.S3FileSystem.clear_instance_cache()
        boto3.client("s3").create_bucket(Bucket="mine")
        try:
            yield "s3://mine"
        finally:
            for fs in s3fs.S3FileSystem._cache.values():
                if fs.asynchronous and fs._s3 is not None:  # those that Zarr uses, while its loop and the server run
                    in_zarrs_loop(fs._s3creator.__aexit__(None, None, None))
            s3fs.S3FileSystem.clear_instance_cache()
            server.stop()
