"""Every number that steers a night and its evaluation, in one place. Each can be set in cameras.toml.

The thresholds of camera health stand beside their rules, in `tasks.health`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lednet.degrade import Recipe

DEFAULT_RECIPES = "night,night,night,paper"
RECIPE_SUFFIX = ".toml"
"""What a recipe's name ends with that is the path of a file."""

STEADY, FRAME_WISE = "steady", "frame-wise"
"""How a night's frames are restored: with a memory of earlier ones, or each on its own."""

PRECISIONS = ("auto", "fp32", "bf16")
"""As `lednet.restorer.Restorer` knows them."""

ZSTD, JPEGXL_LOSSLESS, JPEGXL, JPEG = CODECS = "zstd", "jpegxl-lossless", "jpegxl", "jpeg"
"""How a night's frames are stored."""
_OF_CODEC = {
    ZSTD: ("codec", "zstd_level"),
    JPEGXL_LOSSLESS: ("codec", "jpegxl_effort"),
    JPEGXL: ("codec", "jpegxl_effort", "jpegxl_distance"),
    JPEG: ("codec", "jpeg_quality"),
}
"""The settings that decide what a codec stores."""
_BOUNDS = {
    "zstd_level": (1, 22),
    "jpegxl_effort": (1, 9),
    "jpegxl_distance": (0.1, 25),
    "jpeg_quality": (1, 100),
}
"""Beyond them the encoders fail, or take the nearest without a word."""


@dataclass(frozen=True)
class NightSettings:
    """How a night is cut, restored and stored: table [settings]. A change of a stored setting makes a new run."""

    checkpoint: str = "small"
    """Shipped checkpoint's name, `production` for the one promoted in the store (`tasks.models`) when the night is
    planned, or the path of a .safetensors file that every worker can read."""
    shard_mb: int = 128
    """Aimed size of a shard before compression; also what a worker holds in memory a few times over."""
    shard_least: int = 8
    shard_most: int = 512
    """Bounds of a shard's length in slots."""
    item_slots: int = 1500
    """Aimed slots of a work item: some minutes of GPU time."""
    codec: str = ZSTD
    """Of the stored frames: `zstd` and `jpegxl-lossless` keep every bit, `jpegxl` and `jpeg` (4:4:4) do not. All but
    zstd need imagecodecs wherever frames are written or read (docs/operating.md, How frames are stored)."""
    zstd_level: int = 1
    """1 to 22: the higher, the smaller and the slower."""
    jpegxl_effort: int = 1
    """1 to 9, of both kinds of JPEG XL: the higher, the smaller and the slower."""
    jpegxl_distance: float = 1.0
    """0.1 to 25, of lossy JPEG XL: the higher, the smaller and the worse."""
    jpeg_quality: int = 95
    """1 to 100: the higher, the larger and the better."""
    preview_pictures: int = 240
    """Pairs of pictures kept a night, for preview and report."""
    preview_width: int = 640
    preview_fps: int = 8
    video: str = STEADY
    """`steady`: still places are averaged over a few frames, so that they do not flicker (`lednet.temporal`); or
    `frame-wise`."""
    batch: int = 1
    """Frames restored at once."""
    queue_batches: int = 4
    """Batches decoded ahead of the restorer; bounds memory."""
    tile_mb: int = 3072
    """Memory that restoring one batch may take; larger frames are tiled."""
    precision: str = "auto"
    """What the network multiplies in: `fp32`, `bf16`, or `auto`, bf16 on a GPU and on a CPU that has it. Results differ
    by a tenth of a level on average: name one where CPUs with and without it are to store the same bits."""
    compile: bool = False
    """Let torch.compile write the network's kernels, for workers with a GPU; untried on one (docs/gpu.md). A worker
    takes a minute or so for it at its first frame of a size. Results differ by rounding, as between devices."""
    most_pixels: int = 8192 * 8192
    """Larger frames are refused as hostile or broken."""
    alarm_coverage: int = 90
    """Percent of a night's slots; a camera below it is told to Prefect as low coverage."""
    deadline_coarsest: int = 16
    """The first pass of a night with a deadline restores one slot in so many; see `tasks.passes`."""
    decode_memory_mb: int = 8192
    """Address space of the process that decodes; a file that needs more is left out."""
    decode_stall_s: int = 900
    """A file of which nothing comes for so long is left out; longer than all retries of the store take together."""
    item_stall_s: int = 3600
    """A worker whose work item gets nowhere for so long is ended, and another does the item; longer than a file takes
    that hangs the decoder until it is left out, which is twice `decode_stall_s`."""

    def __post_init__(self) -> None:
        if self.video not in (STEADY, FRAME_WISE):
            raise ValueError(f"video must be {STEADY} or {FRAME_WISE}, not {self.video!r}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {self.precision!r}")
        if self.codec not in CODECS:
            raise ValueError(f"codec must be one of {', '.join(CODECS)}, not {self.codec!r}")
        _refuse_beyond_bounds(self, *_BOUNDS)
        if self.item_stall_s <= 2 * self.decode_stall_s:
            raise ValueError(
                f"item_stall_s = {self.item_stall_s}: must be more than twice decode_stall_s, which is "
                f"{self.decode_stall_s}, or a file that hangs the decoder would end its worker"
            )

    def stored(self) -> dict[str, Any]:
        """The settings that decide what is stored, and so are part of the run key."""
        # Imported here: torch takes seconds, and most commands plan no night.
        from lednet.temporal import TemporalSettings

        fields = asdict(self)
        temporal = asdict(TemporalSettings()) if self.video == STEADY else {}
        return {"temporal": temporal} | {
            k: fields[k]
            for k in (
                "shard_mb",
                "shard_least",
                "shard_most",
                *_OF_CODEC[self.codec],
                "preview_pictures",
                "preview_width",
                "tile_mb",
                "most_pixels",
            )
        }


def _refuse_beyond_bounds(settings: NightSettings | LearnSettings, *names: str) -> None:
    for name in names:
        (least, most), value = _BOUNDS[name], getattr(settings, name)
        if not least <= value <= most:
            raise ValueError(f"{name} must be {least} to {most}, not {value}")


LEAST_DAYLIGHT_SIDE = 32
"""Of daylight frames, in pixels: smaller ones are nothing to judge a model by, and LPIPS can't."""


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

    def __post_init__(self) -> None:
        for name, least in (("frames", 1), ("width", LEAST_DAYLIGHT_SIDE)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be {least} or more, not {getattr(self, name)}")
        if not 0 <= self.least_brightness <= 1:
            default = SynthesisSettings.least_brightness
            raise ValueError(f"least_brightness must be 0 to 1, such as {default}, not {self.least_brightness:g}")

    def stored(self) -> dict[str, Any]:
        """The settings that decide the synthesised night."""
        return {k: v for k, v in asdict(self).items() if k != "lpips_weights"}


LEAST_SIDE = 16
"""Of pictures to learn from, in pixels."""


@dataclass(frozen=True)
class LearnSettings:
    """How pairs are made and a model is trained anew from a site's own sharp footage: table [learn]."""

    footage: str = ""
    """Folder or URL of the GoPro footage of all cameras, listed anew every time."""
    recipes: str = DEFAULT_RECIPES
    """Names from `lednet.degrade.RECIPES`, or .toml files with the fields of `lednet.degrade.Recipe`, with commas
    between; one that stands here more often is drawn more often. A file's relative path starts beside cameras.toml."""
    held_out_share: float = 0.2
    """Share of each camera's clips that no training sees."""
    frames_per_clip: int = 60
    high_speed_frames: int = 240
    clip_mb: int = 384
    """Memory of one decoded clip ..."""
    all_clips_mb: int = 8_192
    """... and of all clips of a training, which are held at once."""
    most_pixels: int = 8192 * 8192
    seed: int = 1

    pairs_per_clip: int = 16
    """Pairs that `synthesize` stores of a clip: one shard."""
    pair_height: int = 360
    pair_width: int = 640
    zstd_level: int = 3

    steps: int = 2_000
    """Of a fine-tuning."""
    learning_rate: float = 1e-4
    batch_scale: int = 1
    """Multiplies the trainer's batches; 8 on a GPU."""
    vgg: str = "off"
    """Path of VGG19's weights, converted or torchvision's (docs/training.md); `off` trains without that loss."""
    device: str = "auto"

    judged_pairs: int = 8
    """Pairs of each held-out clip and recipe on which the old and the new model are compared."""
    judged_crop: int = 256
    resamples: int = 2_000
    """Of the bootstrap."""
    confidence: float = 0.95
    least_clips: int = 3
    """Fewer held-out clips than this decide nothing."""
    least_gain_db: float = 0.05
    """A gain that is certain, but smaller than this, is not worth other results for the same footage."""
    tolerance_db: float = 0.1
    """A clip or camera is clearly worse where it loses more than this, and its whole interval lies below zero."""

    def __post_init__(self) -> None:
        if self.recipes != DEFAULT_RECIPES:
            _refuse_unknown(self.recipe_names)
        nothing = [k for k, v in asdict(self).items() if not isinstance(v, str) and v <= 0]
        if nothing:
            raise ValueError(f"{nothing[0]} must be above 0")
        for name in ("pair_height", "pair_width", "judged_crop"):
            if getattr(self, name) < LEAST_SIDE:
                raise ValueError(f"{name} must be {LEAST_SIDE} or more, wider than blur reaches")
        _refuse_beyond_bounds(self, "zstd_level")
        if not (0 < self.held_out_share < 1 and 0 < self.confidence < 1):
            raise ValueError("held_out_share and confidence must lie between 0 and 1")

    @property
    def recipe_names(self) -> tuple[str, ...]:
        """The recipes, as often as they are to be drawn."""
        return tuple(name.strip() for name in self.recipes.split(","))

    def find_recipes(self) -> dict[str, Recipe]:
        """Each recipe once, by its name; files are read now, and not with cameras.toml: no night is to fail for them.

        Raises:
            RecipeError: if a file is no recipe; names the setting, the file, the cause and the next step.
        """
        from lednet.degrade import RecipeError, find_recipe  # only here, for its torch takes seconds to import

        try:
            return {name: find_recipe(name) for name in self.recipe_names}
        except RecipeError as error:
            raise RecipeError(f"recipes of [learn]: {error}") from error


def _refuse_unknown(names: tuple[str, ...]) -> None:
    from lednet.degrade import RECIPES

    files = {name for name in names if name.endswith(RECIPE_SUFFIX)}
    unknown = [name for name in names if name not in RECIPES and name not in files]
    if unknown:
        raise ValueError(f"no recipe {', '.join(unknown)}; there are {', '.join(RECIPES)}, or name a .toml file")
    called = [PurePosixPath(name).name for name in files]
    doubled = sorted({name for name in called if called.count(name) > 1})
    if doubled:
        raise ValueError(f"recipes: several files are called {doubled[0]}; give each a name of its own")
