"""The demo's archive: recorders' files that decode, a night that is dark, a truth that is aligned."""

from __future__ import annotations

from datetime import UTC, datetime, time
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import av
import numpy as np
import pytest
import torch
import zarr

from lednet.degrade import average_burst
from tasks.demo import CAMERAS, DemoArchive, build_demo_archive
from tasks.demo_film import Film, write_video
from tasks.demo_scene import make_scene
from tasks.site import read_site
from tasks.types import NANOSECONDS

SECONDS, FPS, WIDTH, HEIGHT = 1.2, 10, 128, 72
FRAMES = 6
"""Of a segment."""
SEGMENTS = {
    "pit-north": ("pit-north/2026-01-15/22-00-00.mp4", "pit-north/2026-01-15/22-00-03.mp4"),
    "silo-1": ("NVR2/silo1_20260115T140000Z.mp4", "NVR2/silo1_20260115T140003Z.mp4"),
}
BROKEN = "pit-north/2026-01-15/22-00-04.mp4"
IDS = tuple(camera.id for camera in CAMERAS)


class Built(NamedTuple):
    root: Path
    sample: DemoArchive


def build(root: Path) -> DemoArchive:
    return build_demo_archive(root, seconds=SECONDS, fps=FPS, subframes=4, width=WIDTH, height=HEIGHT)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    root = tmp_path_factory.mktemp("demo") / "sample"
    return Built(root, build(root))


def decoded(path: Path) -> tuple[list[Fraction], np.ndarray]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    pictures = np.stack([frame.to_ndarray(format="rgb24") for frame in frames])
    return [Fraction(frame.pts or 0) * (frame.time_base or 0) for frame in frames], pictures


def footage(built: Built, camera: str) -> np.ndarray:
    return np.concatenate([decoded(built.root / "archive" / name)[1] for name in SEGMENTS[camera]])


def truth(built: Built, camera: str) -> np.ndarray:
    return np.asarray(zarr.open_group(str(built.sample.truth[camera]), mode="r")["frames"])


@pytest.fixture(scope="module")
def film() -> Film:
    camera = CAMERAS[0]
    return Film(make_scene(camera.scene, WIDTH, HEIGHT), camera.recipe, FPS, 8, seed=0)


def test_the_archive_holds_the_recorders_files_and_no_other(built: Built) -> None:
    archive = built.root / "archive"
    files = {str(path.relative_to(archive)) for path in archive.rglob("*") if path.is_file()}
    assert files == {*SEGMENTS["pit-north"], *SEGMENTS["silo-1"], BROKEN}


def test_the_archive_is_named_by_url(built: Built) -> None:
    assert built.sample.archive == (built.root / "archive").as_uri()


def test_cameras_toml_describes_both_cameras(built: Built) -> None:
    site = read_site(str(built.sample.cameras_toml))
    assert [(c.id, c.scene, c.clock, c.rate) for c in site.cameras] == [
        ("pit-north", "outdoor", "local", Fraction(5)),
        ("silo-1", "indoor", "utc", Fraction(5)),
    ]


def test_the_night_covers_the_footage_and_little_more(built: Built) -> None:
    for camera in read_site(str(built.sample.cameras_toml)).cameras:
        assert (time.fromisoformat(camera.start), time.fromisoformat(camera.end)) == (time(22), time(22, 0, 6))


@pytest.mark.parametrize("camera", IDS)
def test_the_patterns_name_the_segments(built: Built, camera: str) -> None:
    described = read_site(str(built.sample.cameras_toml)).select([camera])[0]
    zone = UTC if described.clock == "utc" else ZoneInfo(described.timezone)
    starts = [datetime.strptime(name, described.pattern).replace(tzinfo=zone) for name in SEGMENTS[camera]]
    assert [start.astimezone(UTC) for start in starts] == [datetime(2026, 1, 15, 14, 0, s, tzinfo=UTC) for s in (0, 3)]


@pytest.mark.parametrize("name", [*SEGMENTS["pit-north"], *SEGMENTS["silo-1"]])
def test_a_segment_decodes_to_all_its_frames_at_their_times(built: Built, name: str) -> None:
    times, pictures = decoded(built.root / "archive" / name)
    assert times == [Fraction(k, FPS) for k in range(FRAMES)]
    assert pictures.shape == (FRAMES, HEIGHT, WIDTH, 3)


def test_the_broken_file_cannot_be_opened(built: Built) -> None:
    with pytest.raises(av.FFmpegError):
        av.open(str(built.root / "archive" / BROKEN))


@pytest.mark.parametrize("camera", IDS)
def test_the_night_is_much_darker_than_the_truth(built: Built, camera: str) -> None:
    assert footage(built, camera).mean() < 0.5 * truth(built, camera).mean()


@pytest.mark.parametrize("camera", IDS)
def test_the_night_is_not_black(built: Built, camera: str) -> None:
    assert footage(built, camera).mean() > 15


@pytest.mark.parametrize("camera", IDS)
def test_every_frame_resembles_its_own_truth_more_than_the_other_segments(built: Built, camera: str) -> None:
    dark, sharp = (a.mean(3).reshape(len(a), -1) for a in (footage(built, camera), truth(built, camera)))
    likeness = np.corrcoef(dark, sharp)[: len(dark), len(dark) :]
    own = np.diag(likeness)
    assert (own > np.diag(np.roll(likeness, FRAMES, 0))).all()


@pytest.mark.parametrize("camera", IDS)
def test_truth_times_match_the_segments_starts(built: Built, camera: str) -> None:
    start = int(datetime(2026, 1, 15, 14, tzinfo=UTC).timestamp()) * NANOSECONDS
    expected = [start + s * NANOSECONDS + k * NANOSECONDS // FPS for s in (0, 3) for k in range(FRAMES)]
    time_ns = np.asarray(zarr.open_group(str(built.sample.truth[camera]), mode="r")["time_ns"])
    assert time_ns.dtype == np.int64
    assert time_ns.tolist() == expected


def test_truth_is_the_scene_at_the_frames_time(built: Built) -> None:
    expected = make_scene("indoor", WIDTH, HEIGHT).render(3 + 2 / FPS)
    assert np.array_equal(truth(built, "silo-1")[FRAMES + 2], expected)


def test_the_same_seed_gives_the_same_footage(built: Built, tmp_path: Path) -> None:
    build(tmp_path)
    for name in SEGMENTS["pit-north"]:
        assert (tmp_path / "archive" / name).read_bytes() == (built.root / "archive" / name).read_bytes()


def test_building_again_leaves_nothing_of_the_last_sample(tmp_path: Path) -> None:
    build(tmp_path)
    build_demo_archive(tmp_path, 0.2, FPS, 1, night="2026-01-16", width=32, height=18)
    assert [path.name for path in (tmp_path / "archive" / "pit-north").iterdir()] == ["2026-01-16"]


def test_a_folder_with_somebodys_archive_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "precious.mp4").touch()
    with pytest.raises(FileExistsError, match="not the demo's"):
        build(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["archive", "precious.mp4"]


@pytest.mark.parametrize("wrong", [{"width": 33}, {"height": 17}, {"fps": 0}, {"subframes": 0}, {"seconds": 0.0}])
def test_what_cannot_be_filmed_is_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="cannot film"):
        build_demo_archive(tmp_path, **{"width": 32, "height": 18, **wrong})  # type: ignore[arg-type]


def test_an_exposure_is_the_average_of_the_burst_in_linear_light(film: Film) -> None:
    burst = [film.scene.render(k / 80) for k in range(3)]
    frames = torch.from_numpy(np.stack(burst)).permute(0, 3, 1, 2).float() / 255
    expected = average_burst(frames, torch.tensor(film.recipe.highlight_boost[0]))
    assert torch.allclose(film.expose(burst), expected, atol=1e-6)


def test_shake_leaves_the_frames_content_where_the_truth_has_it(film: Film) -> None:
    assert np.abs(film.shake(np.linspace(2, 2.1, 8)).mean(0)).max() < 1e-9


def test_shake_moves_the_camera_by_pixels_within_an_exposure(film: Film) -> None:
    paths = np.stack([film.shake(t + np.linspace(0, 0.1, 8)) for t in np.arange(0, 8, 0.5)])
    assert 1 < np.median(np.ptp(paths, axis=1)) < 8


def test_noise_differs_from_frame_to_frame(film: Film) -> None:
    assert not np.array_equal(film.shoot(1.0), film.shoot(1.0))


def test_colours_survive_the_file(tmp_path: Path) -> None:
    patches = np.zeros((64, 96, 3), np.uint8)
    for k, colour in enumerate(((200, 40, 30), (40, 160, 60), (30, 60, 190))):
        patches[:, 32 * k : 32 * (k + 1)] = colour
    write_video(tmp_path / "patches.mp4", iter([patches] * 3), FPS)
    pictures = decoded(tmp_path / "patches.mp4")[1].astype(int)
    assert np.abs(pictures[:, :, 8::32] - patches[:, 8::32]).max() <= 4
