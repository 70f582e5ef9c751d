"""The detector's own arithmetic is right, both runtimes find the same, and agreement counts what it says."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from lednet.detect import (
    CLASSES,
    PADDING,
    RUNTIMES,
    SIDE,
    STRIDES,
    Agreement,
    Detection,
    Detector,
    agreement,
    decode,
    finds,
    letterbox,
    overlaps,
    per_class,
)
from lednet.losses import WeightsMissingError

WEIGHTS = Path(__file__).resolve().parents[3] / "shared/data/weights/yolox_nano.onnx"
CELLS = sum((SIDE // s) ** 2 for s in STRIDES)


@pytest.fixture(scope="module", params=sorted(RUNTIMES))
def detector(request: pytest.FixtureRequest) -> Detector:
    if not WEIGHTS.is_file():
        pytest.skip(f"no {WEIGHTS}")
    if request.param == "onnxruntime":
        pytest.importorskip("onnxruntime")
    return Detector(WEIGHTS, request.param)


def still(name: str) -> np.ndarray:
    """A photograph that scikit-image ships, RGB."""
    image = cv2.imread(str(Path(skimage.data.__file__).with_name(name)))
    assert image is not None
    return np.ascontiguousarray(image[:, :, ::-1])


def find(label: str, box: tuple[float, float, float, float], score: float = 0.9) -> Detection:
    return Detection(label, score, box)


def cell(x: float, y: float, w: float, h: float, label: str, score: float) -> np.ndarray:
    row = np.zeros(85, np.float32)
    row[:5], row[5 + CLASSES.index(label)] = (x, y, w, h, 1), score
    return row


def test_missing_weights_mean_not_computed_and_the_message_says_why(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissingError, match=r"detections not computed: no detector at .*none\.onnx; pass"):
        Detector(tmp_path / "none.onnx")


@pytest.mark.parametrize("runtime", sorted(RUNTIMES))
def test_a_file_that_is_no_network_is_an_error_that_names_it(runtime: str, tmp_path: Path) -> None:
    if runtime == "onnxruntime":
        pytest.importorskip("onnxruntime")
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"no network" * 20)
    with pytest.raises(ValueError, match=r"broken\.onnx"):
        Detector(path, runtime)


def test_an_unknown_runtime_is_an_error_that_names_the_known(tmp_path: Path) -> None:
    (tmp_path / "some.onnx").touch()
    with pytest.raises(ValueError, match="choose one of onnxruntime, opencv"):
        Detector(tmp_path / "some.onnx", "tensorflow")


def test_a_runtime_that_is_not_installed_is_an_error_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "some.onnx").touch()
    with pytest.raises(ValueError, match="onnxruntime does not load"):
        Detector(tmp_path / "some.onnx", "onnxruntime")


def test_the_frame_lies_in_the_upper_left_in_bgr_and_the_rest_is_grey() -> None:
    frame = np.zeros((100, 208, 3), np.uint8)
    frame[:, :, 0] = 200  # red
    data, scale = letterbox(frame)
    assert (data.shape, scale) == ((1, 3, SIDE, SIDE), 2)
    assert data[0, :, :200].reshape(3, -1).T.tolist() == [[0, 0, 200]] * (200 * SIDE)
    assert (data[0, :, 200:] == PADDING).all()


@pytest.mark.parametrize(("index", "centre"), [(0, (0, 0)), (53, (8, 8)), (52 * 52, (0, 0)), (52 * 52 + 1, (16, 0))])
def test_a_cells_offset_is_from_its_corner_in_its_stride(index: int, centre: tuple[int, int]) -> None:
    raw = np.zeros((1, CELLS, 85), np.float32)
    raw[0, index, :4] = (0.5, 0.25, math.log(3), math.log(2))
    stride = 8 if index < 52 * 52 else 16
    expected = [centre[0] + stride / 2, centre[1] + stride / 4, 3 * stride, 2 * stride]
    assert decode(raw)[index, :4].tolist() == pytest.approx(expected, rel=1e-5)


def test_an_output_of_another_shape_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"\(1, 8400, 85\), not \(1, 3549, 85\)"):
        decode(np.zeros((1, 8400, 85)))


def test_boxes_are_in_the_frames_pixels_and_inside_it() -> None:
    (found,) = finds(cell(50, 40, 20, 100, "car", 0.8)[None], 0.5, (150, 300), 0.3)
    assert found.label == "car"
    assert found.score == pytest.approx(0.8)
    assert found.box == pytest.approx((80, 0, 120, 150))


def test_of_overlapping_boxes_of_a_class_the_surest_stays() -> None:
    cells = np.stack([cell(50, 50, 20, 20, "car", 0.6), cell(51, 50, 20, 20, "car", 0.9),
                      cell(50, 50, 20, 20, "bus", 0.5), cell(90, 50, 20, 20, "car", 0.4)])  # fmt: skip
    found = finds(cells, 1, (200, 200), 0.3)
    assert [(d.label, round(d.score, 1)) for d in found] == [("car", 0.9), ("bus", 0.5), ("car", 0.4)]


def test_unsure_cells_are_no_finds() -> None:
    assert finds(cell(50, 50, 20, 20, "car", 0.29)[None], 1, (200, 200), 0.3) == []


def test_overlap_is_intersection_over_union() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [4, 4, 4, 4]], float)
    assert overlaps(boxes[:1], boxes)[0].tolist() == pytest.approx([1, 1 / 3, 0, 0])


def test_agreement_wants_the_class_and_the_place() -> None:
    wanted = [find("car", (0, 0, 10, 10)), find("person", (50, 0, 60, 30))]
    assert agreement([find("car", (0, 0, 10, 9))], wanted) == Agreement(1, 1, 2)
    assert agreement([find("bus", (0, 0, 10, 10))], wanted) == Agreement(0, 1, 2)
    assert agreement([find("car", (6, 0, 16, 10))], wanted) == Agreement(0, 1, 2)


def test_one_wanted_object_is_matched_once() -> None:
    wanted = [find("car", (0, 0, 10, 10))]
    assert agreement([find("car", (0, 0, 10, 10)), find("car", (0, 0, 10, 9))], wanted) == Agreement(1, 2, 1)


def test_figures_of_an_agreement() -> None:
    total = Agreement(1, 2, 4) + Agreement(2, 2, 2)
    assert (total.precision, total.recall, total.f1) == (3 / 4, 3 / 6, 6 / 10)
    nothing = Agreement(0, 0, 0)
    assert all(math.isnan(v) for v in (nothing.precision, nothing.recall, nothing.f1))


def test_finds_are_counted_by_class() -> None:
    boxes = [find("car", (0, 0, 1, 1)), find("person", (0, 0, 1, 1)), find("car", (2, 2, 3, 3))]
    assert per_class(boxes) == {"car": 2, "person": 1}


@pytest.mark.parametrize(("name", "label"), [("astronaut.png", "person"), ("chelsea.png", "cat")])
def test_real_weights_find_what_the_photograph_shows(name: str, label: str, detector: Detector) -> None:
    found = detector.detect(still(name))
    assert found[0].label == label
    left, top, right, bottom = found[0].box
    assert (right - left) * (bottom - top) > 0.4 * still(name)[:, :, 0].size


def test_darkness_costs_agreement(detector: Detector) -> None:
    frame = still("chelsea.png")
    wanted = detector.detect(frame)
    assert agreement(detector.detect(frame), wanted).f1 == 1
    assert agreement(detector.detect((frame // 40).astype(np.uint8)), wanted).recall < 1


def test_both_runtimes_find_the_same() -> None:
    if not WEIGHTS.is_file():
        pytest.skip(f"no {WEIGHTS}")
    pytest.importorskip("onnxruntime")
    one, other = (Detector(WEIGHTS, runtime).detect(still("astronaut.png")) for runtime in sorted(RUNTIMES))
    assert agreement(one, other).f1 == 1
    assert [d.score for d in one] == pytest.approx([d.score for d in other], abs=1e-3)
