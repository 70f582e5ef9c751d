"""Frames by codec: read back by others, exactly or nearly, the same bytes every time; what can't be stored is told.

Not covered: whole nights (`test_nights_by_codec`), the bounds of the settings (`test_site`).
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import xarray
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from zarr.codecs import ShardingCodec
from zarr.storage import MemoryStore

from tasks import codecs, storage, store
from tasks.codecs import CodecError
from tasks.decode import Header
from tasks.settings import CODECS, JPEG, JPEGXL, JPEGXL_LOSSLESS, ZSTD, NightSettings
from tests.tasks.planning import SMALL, plan, put
from tests.tasks.runs import SHARDS, SLOTS, folder_of, night_plan

Frames = NDArray[np.uint8]

ROOT = Path(__file__).resolve().parents[2]
LOSSLESS = (ZSTD, JPEGXL_LOSSLESS)
LEAST_PSNR = {JPEG: 40, JPEGXL: 36}
each = pytest.mark.parametrize("codec", CODECS)


@pytest.fixture(scope="module")
def natural() -> Frames:
    """A restored frame, [1, h, w, 3]: the upper right quarter of the picture in README."""
    picture = cv2.imread(str(ROOT / "docs/images/before_after.jpg"))
    assert picture is not None
    height, width = picture.shape[:2]
    return np.ascontiguousarray(picture[None, : height // 2, width // 2 :, ::-1])


def night_of(codec: str) -> NightSettings:
    return NightSettings(codec=codec)


def store_run(folder: Path, told: NightSettings, frames: Frames) -> Path:
    """Lay a run out and write its shards; returns its Zarr group."""
    planned = night_plan(storage.normalise(str(folder)))
    planned = replace(planned, height=frames.shape[1], width=frames.shape[2])
    store.create_run(planned, told, "1.2.3")
    for shard in SHARDS:
        store.write_shard(planned.items[0], shard, frames[shard.first : shard.first + shard.count])
    return folder_of(planned) / "frames.zarr"


def ten(natural: Frames) -> Frames:
    """Ten small frames that differ, of an odd size."""
    return np.concatenate([natural[:, 10 * k : 10 * k + 61, 20 * k : 20 * k + 83] for k in range(SLOTS)])


@each
def test_a_night_is_read_back_through_xarray(codec: str, natural: Frames, tmp_path: Path) -> None:
    frames = ten(natural)
    read = xarray.open_zarr(store_run(tmp_path, night_of(codec), frames), chunks=None)["frames"].to_numpy()
    assert (read.shape, read.dtype) == (frames.shape, np.uint8)
    if codec in LOSSLESS:
        assert np.array_equal(read, frames)
    else:
        assert np.abs(read.astype(int) - frames).mean() < 3


@each
def test_one_frame_can_be_read_without_the_others(codec: str, natural: Frames, tmp_path: Path) -> None:
    group = store_run(tmp_path, night_of(codec), ten(natural))
    night = xarray.open_zarr(group, chunks=None)["frames"]
    assert np.array_equal(night[5].to_numpy(), night.to_numpy()[5])


READER = """
import sys, xarray
for path in sys.argv[1:]:
    print(float(xarray.open_zarr(path, chunks=None)["frames"].mean()))
sys.exit("torch" in sys.modules)
"""


def test_a_process_that_imports_nothing_of_ours_opens_them(natural: Frames, tmp_path: Path) -> None:
    frames = ten(natural)
    groups = [str(store_run(tmp_path / codec, night_of(codec), frames)) for codec in CODECS]
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", READER, *groups],
        capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [float(line) for line in done.stdout.split()] == pytest.approx([frames.mean()] * len(CODECS), abs=1)


@each
def test_the_same_frames_give_the_same_bytes(codec: str, natural: Frames, tmp_path: Path) -> None:
    frames = ten(natural)
    first, second = (store_run(tmp_path / name, night_of(codec), frames) for name in "ab")
    for path in sorted(p for p in first.rglob("*") if p.is_file()):
        assert path.read_bytes() == (second / path.relative_to(first)).read_bytes(), path


@pytest.mark.parametrize("codec", LOSSLESS)
@settings(max_examples=30, deadline=None)
@given(frame=arrays(np.uint8, st.tuples(st.just(1), st.integers(1, 20), st.integers(1, 20), st.just(3))))
def test_a_lossless_codec_keeps_every_bit_of_anything(codec: str, frame: Frames) -> None:
    assert codecs.stored_frame(night_of(codec), frame).psnr_db == float("inf")


@settings(max_examples=60, deadline=None)
@given(
    told=st.builds(
        NightSettings,
        codec=st.sampled_from(CODECS),
        zstd_level=st.integers(1, 22),
        jpegxl_effort=st.integers(1, 9),
        jpegxl_distance=st.floats(0.1, 25),
        jpeg_quality=st.integers(1, 100),
    )
)
def test_whatever_the_settings_let_through_stores_a_frame(told: NightSettings) -> None:
    codecs.check(told, 9, 16)
    frame = np.arange(9 * 16 * 3, dtype=np.uint8).reshape(1, 9, 16, 3)
    stored = codecs.stored_frame(told, frame)
    assert stored.bytes > 0
    assert (stored.psnr_db == float("inf")) or told.codec not in LOSSLESS


@pytest.mark.parametrize("codec", LEAST_PSNR)
def test_a_lossy_codec_stays_near_a_natural_frame_in_far_fewer_bytes(codec: str, natural: Frames) -> None:
    stored, whole = (codecs.stored_frame(night_of(c), natural) for c in (codec, ZSTD))
    assert LEAST_PSNR[codec] < stored.psnr_db < 60
    assert stored.bytes < whole.bytes / 3


@pytest.mark.parametrize("codec", LEAST_PSNR)
def test_a_slot_without_a_frame_stays_black(codec: str) -> None:
    assert codecs.stored_frame(night_of(codec), np.zeros((1, 48, 64, 3), np.uint8)).psnr_db == float("inf")


@pytest.mark.parametrize(
    ("worse", "better"),
    [({"codec": JPEG, "jpeg_quality": 60}, {"codec": JPEG}),
     ({"codec": JPEGXL, "jpegxl_distance": 3.0}, {"codec": JPEGXL})],
)  # fmt: skip
def test_quality_and_distance_are_heard(worse: dict[str, object], better: dict[str, object], natural: Frames) -> None:
    low, high = (codecs.stored_frame(NightSettings(**told), natural) for told in (worse, better))  # type: ignore[arg-type]
    assert low.psnr_db < high.psnr_db
    assert low.bytes < high.bytes


def test_a_higher_effort_stores_fewer_bytes(natural: Frames) -> None:
    low, high = (NightSettings(codec=JPEGXL_LOSSLESS, jpegxl_effort=effort) for effort in (1, 4))
    assert codecs.stored_frame(high, natural).bytes < codecs.stored_frame(low, natural).bytes


@each
def test_the_metadata_names_the_codec_as_other_readers_know_it(codec: str) -> None:
    array = zarr.create_array(
        MemoryStore(), shape=(4, 8, 8, 3), dtype="uint8", chunks=(1, 8, 8, 3), shards=(4, 8, 8, 3),
        **codecs.array_codecs(NightSettings(codec=codec)),
    )  # fmt: skip
    (sharding,) = array.metadata.codecs  # type: ignore[union-attr]
    assert isinstance(sharding, ShardingCodec)
    told = [c.to_dict() for c in sharding.codecs]
    assert (
        told
        == {
            ZSTD: [
                {"name": "transpose", "configuration": {"order": (0, 1, 3, 2)}},
                {"name": "bytes"},  # of a single byte, which has no order
                {"name": "zstd", "configuration": {"level": 1, "checksum": False}},
            ],
            JPEGXL_LOSSLESS: [
                {"name": "imagecodecs_jpegxl", "configuration": {"effort": 1, "lossless": True, "numthreads": 1}}
            ],
            JPEGXL: [
                {
                    "name": "imagecodecs_jpegxl",
                    "configuration": {"effort": 1, "distance": 1.0, "lossless": False, "numthreads": 1},
                }
            ],
            JPEG: [{"name": "imagecodecs_jpeg", "configuration": {"level": 95, "subsampling": "444"}}],
        }[codec]
    )


@pytest.mark.parametrize("codec", [JPEG, JPEGXL, JPEGXL_LOSSLESS])
def test_bytes_that_are_no_image_are_an_error_and_no_frame(codec: str, natural: Frames, tmp_path: Path) -> None:
    group = store_run(tmp_path, night_of(codec), ten(natural))
    shard = group / "frames/c/0/0/0/0"
    data = bytearray(shard.read_bytes())
    data[:64] = bytes(64)  # of the first frame; the index stands at the end
    shard.write_bytes(data)
    frames = xarray.open_zarr(group, chunks=None)["frames"]
    with pytest.raises((ValueError, RuntimeError)):
        frames[0].to_numpy()
    assert frames[1].to_numpy().any()


# What is told of them


def test_the_settings_come_first_then_all_others_each_once() -> None:
    labels = [codecs.label(s) for s in codecs.choices(NightSettings(codec=JPEG, zstd_level=9, jpeg_quality=80))]
    assert labels == ["jpeg 80", "zstd 1", "zstd 3", "zstd 9", "jpegxl-lossless, effort 1",
                      "jpegxl, distance 1, effort 1"]  # fmt: skip


def test_without_imagecodecs_the_others_are_of_zstd_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    assert [codecs.label(s) for s in codecs.choices(NightSettings())] == ["zstd 1", "zstd 3", "zstd 9"]


@pytest.mark.parametrize(("codec", "lossy"), [(JPEG, True), (JPEGXL, True), (JPEGXL_LOSSLESS, False)])
def test_the_attributes_say_whether_frames_are_the_very_ones(codec: str, lossy: bool, tmp_path: Path) -> None:
    store.create_run(night_plan(storage.normalise(str(tmp_path))), night_of(codec), "1")
    attributes = dict(zarr.open_group(tmp_path / "run/frames.zarr", mode="r").attrs)
    assert attributes["lossy"] is lossy
    assert attributes["codec"] == codecs.label(night_of(codec))
    settings_told: dict[str, object] = attributes["settings"]  # type: ignore[assignment]
    assert settings_told["codec"] == codec


def test_a_night_stored_as_by_default_says_nothing_of_its_codec() -> None:
    assert codecs.provenance(NightSettings()) == {}


def test_nights_stored_pixel_by_pixel_before_have_other_run_keys() -> None:
    assert NightSettings().stored()["codec"] == ZSTD


@each
def test_only_what_decides_the_bytes_makes_another_run(codec: str) -> None:
    changed = {
        "zstd_level": {"zstd_level": 9}, "jpegxl_effort": {"jpegxl_effort": 5}, "jpeg_quality": {"jpeg_quality": 80},
        "jpegxl_distance": {"jpegxl_distance": 2.0},
    }  # fmt: skip
    heard = {
        name
        for name, other in changed.items()
        if replace(night_of(codec), **other).stored() != night_of(codec).stored()
    }
    assert heard == {
        ZSTD: {"zstd_level"}, JPEGXL_LOSSLESS: {"jpegxl_effort"}, JPEGXL: {"jpegxl_effort", "jpegxl_distance"},
        JPEG: {"jpeg_quality"},
    }[codec]  # fmt: skip


# What can't be


@pytest.mark.parametrize("codec", [JPEG, JPEGXL, JPEGXL_LOSSLESS])
def test_missing_imagecodecs_is_told_before_anything_is_stored(
    codec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = put(tmp_path, range(0, 60, 10))
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(
        CodecError, match=rf'codec = "{codec}" in \[settings\] .* needs imagecodecs .*requirements\.lock'
    ):
        plan(archive, settings=replace(SMALL, codec=codec), store=f"file://{tmp_path}/store")
    assert not (tmp_path / "store").exists()


def test_zstd_needs_no_imagecodecs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    assert plan(put(tmp_path, range(0, 60, 10))).shards > 0


def test_a_package_that_was_installed_before_its_codecs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> None:
        raise KeyError(name)

    monkeypatch.setattr(codecs, "get_codec_class", unknown)
    with pytest.raises(CodecError, match=r"does not know 'imagecodecs_jpeg'.*install lednet again"):
        codecs.check(night_of(JPEG))


def test_frames_beyond_jpegs_bounds_are_told_when_the_night_is_planned(tmp_path: Path) -> None:
    archive = put(tmp_path, range(0, 60, 10))

    def wide(url: str) -> Header:
        return Header(None, None, 65_536, 48, 25.0)

    with pytest.raises(CodecError, match=r"65535 pixels a side, not 65536x48; set codec to another"):
        plan(archive, settings=replace(SMALL, codec=JPEG), probe=wide)
    assert plan(archive, settings=replace(SMALL, codec=JPEGXL), probe=wide).width == 65_536


@pytest.mark.parametrize("codec", CODECS)
def test_the_longest_side_that_is_let_through_can_be_stored(codec: str) -> None:
    frame = np.zeros((1, 1, codecs.JPEG_MOST_SIDE, 3), np.uint8)
    codecs.check(night_of(codec), 1, codecs.JPEG_MOST_SIDE)
    assert codecs.stored_frame(night_of(codec), frame).bytes > 0
