"""Every number that steers a night and its evaluation, in one place. Each can be set in cameras.toml.

The thresholds of camera health stand beside their rules, in `tasks.health`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class NightSettings:
    """How a night is cut, restored and stored: table [settings]. A change of a stored setting makes a new run."""

    checkpoint: str = "small"
    """Shipped checkpoint's name, or the path of a .safetensors file that every worker can read."""
    shard_mb: int = 128
    """Aimed size of a shard before compression; also what a worker holds in memory a few times over."""
    shard_least: int = 8
    shard_most: int = 512
    """Bounds of a shard's length in slots."""
    item_slots: int = 1500
    """Aimed slots of a work item: some minutes of GPU time."""
    zstd_level: int = 3
    preview_pictures: int = 240
    """Pairs of pictures kept a night, for preview and report."""
    preview_width: int = 640
    preview_fps: int = 8
    batch: int = 1
    """Frames restored at once."""
    queue_batches: int = 4
    """Batches decoded ahead of the restorer; bounds memory."""
    tile_mb: int = 3072
    """Memory that restoring one batch may take; larger frames are tiled."""
    most_pixels: int = 8192 * 8192
    """Larger frames are refused as hostile or broken."""
    alarm_coverage: int = 90
    """Percent of a night's slots; a camera below it is told to Prefect as low coverage."""
    decode_memory_mb: int = 8192
    """Address space of the process that decodes; a file that needs more is left out."""
    decode_stall_s: int = 900
    """A file that gives no frame for so long is left out; longer than all retries of the store take together."""

    def stored(self) -> dict[str, Any]:
        """The settings that decide what is stored, and so are part of the run key."""
        fields = asdict(self)
        return {
            k: fields[k]
            for k in (
                "shard_mb",
                "shard_least",
                "shard_most",
                "zstd_level",
                "preview_pictures",
                "preview_width",
                "tile_mb",
                "most_pixels",
            )
        }


@dataclass(frozen=True)
class SynthesisSettings:
    """How a camera's daylight is chosen and made night, for the figures of the synthesised night: table [synthesis].

    A change makes other figures, which are never compared with the old.
    """

    frames: int = 8
    """Daylight frames a camera, spread over its files."""
    width: int = 640
    """Widest frame; larger ones are shrunk, which bounds the cost of restoring them."""
    seed: int = 20260115
    """Of the first frame's synthesis; the next frame's is one more."""
    least_brightness: float = 0.15
    """Frames of a lower mean luma, of 1, are no daylight and left out."""
    lpips_weights: str = ""
    """File of AlexNet's weights for LPIPS; empty for where `lednet.lpips_metric` looks by itself."""

    def stored(self) -> dict[str, Any]:
        """The settings that decide the synthesised night."""
        return {k: v for k, v in asdict(self).items() if k != "lpips_weights"}
