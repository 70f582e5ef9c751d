"""An archive of real footage in two recorder layouts, with the faults that real archives have.

    python tests/real_archive.py DATA OUT       # DATA holds night/ and train/, OUT gets archive/ and cameras.toml

Three cameras, one of them infrared; of the gate's files one is cut off in the middle, one is empty, one is no video.
The clips are copied, never changed; `EXPECTED` says what a night of it must come to.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

NIGHT = "2026-01-15"

CAMERAS = """
[settings]
shard_mb = 8
item_slots = 20

[[camera]]
id = "trail"
name = "Trail, infrared"
scene = "outdoor"
timezone = "Asia/Shanghai"
pattern = "trail/%Y-%m-%d/%H-%M-%S.mp4"
rate = "1/3"
start = "22:00:00"
end = "22:00:30"

[[camera]]
id = "gate"
name = "Gate <north> & towers"
scene = "outdoor"
timezone = "Asia/Shanghai"
clock = "utc"
pattern = "NVR2/%Y%m%d/gate_%Y%m%dT%H%M%SZ.*"
rate = 1
start = "22:00:00"
end = "22:00:30"

[[camera]]
id = "hall"
name = "Hall"
scene = "indoor"
timezone = "Asia/Shanghai"
clock = "utc"
clock_offset_s = 5
pattern = "NVR2/%Y%m%d/hall_%Y%m%dT%H%M%SZ.*"
rate = "1/5"
start = "22:00:00"
end = "22:00:30"
"""


@dataclass(frozen=True)
class Expected:
    """What a camera's night must come to."""

    valid: tuple[int, ...]
    """Slots that hold a frame."""
    problems: dict[str, str]
    """File name -> a word of its reason."""


EXPECTED = {
    # 15.0 s of footage from second 5 on.
    "trail": Expected(tuple(range(2, 7)), {}),
    # 7.6 s of footage from second 0 on; then its first half again from second 10, whose end is missing.
    "gate": Expected((*range(8), *range(10, 14)),
                     {"gate_20260115T140010Z.mpg": "damaged", "gate_20260115T140020Z.mpg": "empty",
                      "gate_20260115T140025Z.mp4": "not a readable video"}),
    # The recorder's clock is 5 s slow; footage fills the night from second 10 on.
    "hall": Expected(tuple(range(2, 6)), {}),
}  # fmt: skip


def build(data: Path, out: Path) -> Path:
    """Lay the archive out under `out`; returns the path of its cameras.toml."""
    trail, nvr = out / "archive/trail" / NIGHT, out / "archive/NVR2/20260115"
    for folder in (trail, nvr):
        folder.mkdir(parents=True)
    shutil.copy(data / "night/infrared_trail.mp4", trail / "22-00-05.mp4")
    towers = data / "night/city_towers.mpg"
    shutil.copy(towers, nvr / "gate_20260115T140000Z.mpg")
    (nvr / "gate_20260115T140010Z.mpg").write_bytes(towers.read_bytes()[: towers.stat().st_size // 2])
    (nvr / "gate_20260115T140020Z.mpg").write_bytes(b"")
    (nvr / "gate_20260115T140025Z.mp4").write_bytes(b"the recorder's log, under a wrong name\n" * 50)
    shutil.copy(data / "train/fixed_people.mp4", nvr / "hall_20260115T140005Z.mp4")
    cameras = out / "cameras.toml"
    cameras.write_text(CAMERAS)
    return cameras


if __name__ == "__main__":
    print(build(Path(sys.argv[1]), Path(sys.argv[2])))
