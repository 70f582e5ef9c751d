"""What storing a restored frame costs by codec: `python -m tests.bench.bench_codecs [FOLDER]`.

Restores a few frames of every clip in FOLDER (../shared/data/night by default) with the shipped small network and
stores each as raw, zstd, lossless and lossy JPEG XL, and JPEG: bytes, megabytes a second on one thread, PSNR against
the restored frame. Each codec works frame by frame, as a chunk of the store is one frame. Not covered: what Zarr and
the storage add (`tests.bench.bench_storage`).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import av
import imagecodecs as ic
import numpy as np
from numcodecs.zstd import Zstd

from lednet import Restorer
from tasks import codecs as codecs_of_nights

ROOT = Path(__file__).resolve().parents[2]
FOOTAGE = ROOT / "../shared/data/night"
BY_ROW = [axis - 1 for axis in codecs_of_nights.CHANNELS_BY_ROW[1:]]
"""As nights are stored, of one frame."""
NIGHT_SLOTS = 25 * 3600 * 10
"""Frames of a camera's night of ten hours at 25 a second."""


class Codec(NamedTuple):
    name: str
    encode: Callable[[np.ndarray], bytes]
    decode: Callable[[bytes], np.ndarray]


def codecs(shape: tuple[int, ...]) -> Iterator[Codec]:
    """Every codec for frames of a shape."""

    def frame(data: Any) -> np.ndarray:
        return np.frombuffer(data, np.uint8).reshape(shape)

    yield Codec("raw", np.ndarray.tobytes, frame)
    height, width, channels = shape
    for level in (1, 3, 9):
        zstd = Zstd(level=level)
        yield Codec(
            f"zstd {level}",
            lambda x, z=zstd: z.encode(np.ascontiguousarray(x.transpose(BY_ROW))),
            lambda data, z=zstd: np.ascontiguousarray(
                np.frombuffer(z.decode(data), np.uint8).reshape(height, channels, width).transpose(0, 2, 1)
            ),
        )
    for level in (1, 3):
        zstd = Zstd(level=level)
        yield Codec(f"zstd {level}, by pixel", zstd.encode, lambda data, z=zstd: frame(z.decode(data)))
    for effort in (1, 3):
        yield Codec(
            f"JPEG XL lossless, effort {effort}",
            lambda x, e=effort: ic.jpegxl_encode(x, lossless=True, effort=e, numthreads=1),
            lambda data: ic.jpegxl_decode(data, numthreads=1),
        )
    for distance in (0.5, 1.0):
        yield Codec(
            f"JPEG XL, distance {distance:g}, effort 3",
            lambda x, d=distance: ic.jpegxl_encode(x, lossless=False, distance=d, effort=3, numthreads=1),
            lambda data: ic.jpegxl_decode(data, numthreads=1),
        )
    for level in (95, 90):
        yield Codec(f"JPEG {level}, 4:4:4", lambda x, q=level: ic.jpeg8_encode(x, level=q, subsampling="444"),
                    ic.jpeg8_decode)  # fmt: skip


def restored_frames(clip: Path, count: int) -> list[np.ndarray]:
    """Frames spread over a clip, restored."""
    restorer = Restorer("small", device="cpu")
    with av.open(str(clip)) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    picked = [frames[round(k * (len(frames) - 1) / max(1, count - 1))] for k in range(count)]
    return [restorer.restore(np.asarray(f, np.uint8)[None])[0] for f in picked]


def measure(frames: list[np.ndarray], codec: Codec) -> dict[str, float]:
    """Share of the raw bytes, speeds, least PSNR over the frames (infinite: the same bytes)."""
    size, encode, decode, worst = 0, 0.0, 0.0, float("inf")
    for frame in frames:
        started = time.process_time()
        data = codec.encode(frame)
        encoded = time.process_time()
        back = codec.decode(data)
        encode, decode = encode + encoded - started, decode + time.process_time() - encoded
        size += len(data)
        error = float(np.square(back.astype(np.float32) - frame).mean())
        worst = min(worst, 10 * np.log10(255**2 / error) if error else float("inf"))
    raw = sum(f.nbytes for f in frames)
    return {
        "share": size / raw, "bytes": size, "encode_mb_s": raw / 1e6 / max(encode, 1e-9),
        "decode_mb_s": raw / 1e6 / max(decode, 1e-9), "psnr": worst,
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=FOOTAGE)
    parser.add_argument("--frames", type=int, default=4, help="of each clip")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    clips = sorted(p for p in options.folder.glob("*") if p.suffix in (".mp4", ".mpg", ".avi", ".mkv"))
    if not clips:
        print(f"{options.folder}: no clip in it; name a folder with night footage", file=sys.stderr)
        return 1
    rows = []
    for clip in clips:
        frames = restored_frames(clip, options.frames)
        height, width = frames[0].shape[:2]
        for codec in codecs(frames[0].shape):
            rows.append(
                {"clip": clip.stem, "frame": f"{width}x{height}", "codec": codec.name, **measure(frames, codec)}
            )
    if options.json:
        print(json.dumps(rows))
        return 0
    print("| clip | frame | codec | of raw | TB a 1080p night | encode MB/s | decode MB/s | least PSNR, dB |")
    print("|---|---|---|---:|---:|---:|---:|---:|")
    for r in rows:
        night = r["share"] * 1920 * 1080 * 3 * NIGHT_SLOTS / 1e12
        psnr = "lossless" if np.isinf(r["psnr"]) else f"{r['psnr']:.1f}"
        print(f"| {r['clip']} | {r['frame']} | {r['codec']} | {r['share']:.1%} | {night:.2f} "
              f"| {r['encode_mb_s']:.0f} | {r['decode_mb_s']:.0f} | {psnr} |")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
