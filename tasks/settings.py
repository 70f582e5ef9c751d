"""Every number that steers a night, in one place. Each can be set in the [settings] table of cameras.toml."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class NightSettings:
    """How a night is cut, restored and stored. A change of a stored setting makes a new run."""

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
