"""Memory of a work item on long files: `python -m tests.bench.bench_memory [--minutes 2 30] [--limit-mb 4096]`.

For each length a 1080p file is made, and as many slots of it, spread over all of it, restored and stored by a fresh
process as a worker does it, and its helper that decodes; each may map no more than the limit, or it dies. Prints the
peaks of both. The file is two encoded seconds over and over, so that it costs little to make; a decoder can't tell.
Not covered: the model's own memory per size (`lednet bench`).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import psutil

from lednet import __version__
from tasks import storage
from tasks.bench_clip import FPS, NIGHT, drawn_clip
from tasks.enhance import enhance_item
from tasks.plan import plan_night
from tasks.settings import NightSettings
from tasks.store import create_run
from tasks.types import Camera

HEIGHT, WIDTH = 1080, 1920
PIECE_S = 2
"""Encoded; the file repeats it."""


def repeated(piece: Path, target: Path, times: int) -> None:
    """Write a clip's packets over and over, one showing after the other."""
    with av.open(str(piece)) as source, av.open(str(target), "w") as out:
        stream = source.streams.video[0]
        copy = out.add_stream_from_template(stream)
        packets = [p for p in source.demux(stream) if p.dts is not None and p.pts is not None]
        assert stream.time_base is not None
        length = round(PIECE_S / stream.time_base)
        for k in range(times):
            for packet in packets:
                shown = av.Packet(bytes(packet))
                assert packet.pts is not None
                assert packet.dts is not None
                shown.pts, shown.dts = packet.pts + k * length, packet.dts + k * length
                shown.time_base, shown.stream, shown.is_keyframe = stream.time_base, copy, packet.is_keyframe
                out.mux(shown)


def work(archive: Path, minutes: int, slots: int, limit_mb: int) -> None:
    """Restore one work item under the limit, and print what it took as JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (limit_mb * 2**20,) * 2)
    rate = Fraction(slots, 60 * minutes)
    camera = Camera("long", "Long", "outdoor", "UTC", "long/%Y-%m-%d_%H-%M-%S.mp4", rate, "22:00", f"22:{minutes:02}")
    settings = NightSettings(decode_memory_mb=limit_mb)
    with TemporaryDirectory(prefix="lednet-bench-") as folder:
        places = storage.normalise(str(archive)), storage.normalise(folder), settings
        plan = plan_night(camera, NIGHT, *places)
        create_run(plan, settings, __version__)
        started = time.perf_counter()
        frames = sum(enhance_item(item, settings).frames for item in plan.items)
        took = time.perf_counter() - started
    mine = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (decoder,) = psutil.Process().children()
    status = Path(f"/proc/{decoder.pid}/status").read_text().splitlines()
    theirs = next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
    print(json.dumps({"frames": frames, "seconds": took, "worker_mb": mine, "decoder_mb": theirs}))


def main() -> None:
    """Print a line a length."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=int, nargs="+", default=[2, 30])
    parser.add_argument("--slots", type=int, default=6)
    parser.add_argument("--limit-mb", type=int, default=4096)
    parser.add_argument("--archive", type=Path, help="of the file that is there already: what each process is given")
    options = parser.parse_args()
    if options.archive:
        work(options.archive, options.minutes[0], options.slots, options.limit_mb)
        return
    with TemporaryDirectory(prefix="lednet-bench-") as name:
        piece = Path(name) / "piece.mp4"
        drawn_clip(piece, PIECE_S * FPS, HEIGHT, WIDTH)
        for minutes in options.minutes:
            file = Path(name) / str(minutes) / "long" / f"{NIGHT}_22-00-00.mp4"
            file.parent.mkdir(parents=True)
            repeated(piece, file, 60 * minutes // PIECE_S)
            size = file.stat().st_size / 1e6
            command = [sys.executable, "-m", "tests.bench.bench_memory", "--archive", str(file.parents[1])]
            command += ["--minutes", str(minutes), "--slots", str(options.slots), "--limit-mb", str(options.limit_mb)]
            told = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            print(
                f"{minutes} minutes of {WIDTH}x{HEIGHT}, {size:.0f} MB: {told['frames']} frames in "
                f"{told['seconds']:.0f} s, peak {told['worker_mb']:.0f} MB in the worker, "
                f"{told['decoder_mb']:.0f} MB in its decoder, each bounded at {options.limit_mb} MB of address space",
                flush=True,
            )
            file.unlink()


if __name__ == "__main__":
    main()
