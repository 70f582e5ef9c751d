"""A data set of pairs in the store: sharp clips degraded to nights, one clip a shard, any clip on any worker.

    <store>/pairs/<dataset>.zarr             group of degraded, label, camera, clip, split, recipe, valid
    <store>/pairs/<dataset>/plan.json        what it is made of; written before the group is used
    <store>/pairs/<dataset>/done/<clip>.json written after a clip's shards: sha256s, or why it could not be read
    <store>/pairs/<dataset>.jpg              a pair of each clip, or of MOST_ON_SHEET of them, to look at

Clip k fills rows k * pairs_per_clip and on, by random numbers seeded by its name alone: made again, on whatever worker,
it gives the same bytes. camera, clip, split and recipe are numbers with CF flag_values and flag_meanings. Not covered:
where clips come from (`tasks.footage`), who hands them out (`flows.synthesize`).
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import torch
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec
from zarr.core.buffer import Buffer
from zarr.storage import MemoryStore

from lednet.clips import PairSampler
from lednet.degrade import Recipe
from tasks import listing, storage
from tasks.decode import VideoError
from tasks.footage import UNSAFE, FootageClip, read_clip, split_footage
from tasks.settings import LearnSettings
from tasks.sheet import contact_sheet
from tasks.store import HashingStore, StoreError, canonical_json

SPLITS = ("train", "held_out")
IMAGES = ("degraded", "label")
MOST_ON_SHEET = 40


@dataclass(frozen=True)
class PairsPlan:
    """A data set before anything of it is decoded."""

    dataset: str
    store: str
    clips: tuple[FootageClip, ...]
    held_out: frozenset[str]
    """Names of the clips that no training may see."""
    settings: LearnSettings
    recipes: tuple[Recipe, ...]
    """Of a clip's pairs, in turn: a worker may not have the files that the settings name, or have others by now."""
    key: str
    """Hash of all that decides the pairs."""

    @property
    def url(self) -> str:
        """Where its Zarr group stands."""
        return storage.join(self.store, "pairs", f"{self.dataset}.zarr")

    @property
    def aside(self) -> str:
        """Where its plan and its done flags stand."""
        return storage.join(self.store, "pairs", self.dataset)

    @property
    def rows(self) -> int:
        """Pairs in it."""
        return len(self.clips) * self.settings.pairs_per_clip


def plan_pairs(clips: Sequence[FootageClip], store: str, dataset: str, settings: LearnSettings) -> PairsPlan:
    """Plan a data set. `dataset` may be empty: then it is named after its content.

    Raises:
        RecipeError: if a recipe's file can't be used.
    """
    _, held_out = split_footage(clips, settings.held_out_share)
    names = frozenset(c.name for c in held_out)
    told = [[c.key, c.name in names] for c in clips]
    found = settings.find_recipes()
    recipes = tuple(found[name] for name in settings.recipe_names)
    decided_by = [told, [recipe.to_dict() for recipe in recipes], stored(settings)]
    key = hashlib.sha256(json.dumps(decided_by, sort_keys=True).encode()).hexdigest()[:16]
    return PairsPlan(dataset or f"pairs-{key}", store, tuple(clips), names, settings, recipes, key)


def stored(settings: LearnSettings) -> dict[str, Any]:
    """The settings that decide the pairs."""
    fields = asdict(settings)
    names = "recipes held_out_share frames_per_clip high_speed_frames clip_mb most_pixels seed pairs_per_clip".split()
    return {name: fields[name] for name in (*names, "pair_height", "pair_width", "zstd_level")}


def create(plan: PairsPlan, version: str) -> None:
    """Lay the data set's group out; does nothing where it stands.

    Raises:
        StoreError: if another data set stands under this name.
    """
    url = storage.join(plan.aside, "plan.json")
    try:
        found = json.loads(storage.read(url))
        if not isinstance(found, dict) or found.get("key") != plan.key:
            raise StoreError(f"{plan.url}: made of other footage or settings; name another --dataset")
        return
    except FileNotFoundError:
        pass
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{url}: not a plan ({error}); remove the data set, or name another") from error
    objects = _layout(plan, version)
    for key in sorted(objects, key=lambda k: (k.count("/"), k)):
        storage.write(storage.join(plan.url, key), objects[key].to_bytes())
    storage.write(url, canonical_json({"key": plan.key, "clips": [c.name for c in plan.clips]}))


def _layout(plan: PairsPlan, version: str) -> dict[str, Buffer]:
    s, objects = plan.settings, dict[str, Buffer]()
    group = zarr.create_group(
        MemoryStore(objects),
        zarr_format=3,
        attributes={
            "title": f"{plan.dataset}: sharp footage degraded to nights, by LEDNet's synthesis",
            "color_space": "sRGB",
            "key": plan.key,
            "software": f"lednet {version}",
            "settings": stored(s),
            "recipes": {n: r.to_dict() for n, r in zip(s.recipe_names, plan.recipes, strict=True)},
            "sources": {c.name: [{"url": e.url, "etag": e.etag} for e in c.sources] for c in plan.clips},
        },
    )
    shape = (s.pair_height, s.pair_width, 3)
    for name in IMAGES:
        group.create_array(
            name,
            shape=(plan.rows, *shape),
            dtype="uint8",
            chunks=(1, *shape),
            shards=(s.pairs_per_clip, *shape),
            compressors=ZstdCodec(level=s.zstd_level),
            fill_value=0,
            dimension_names=("pair", "y", "x", "channel"),
        )
    for name, (meanings, values) in _labels(plan).items():
        attributes: dict[str, Any] = {"flag_values": list(range(len(meanings))), "flag_meanings": " ".join(meanings)}
        column = group.create_array(
            name, shape=(plan.rows,), dtype="int32", chunks=(max(1, plan.rows),), fill_value=-1,
            dimension_names=("pair",), attributes=attributes,
        )  # fmt: skip
        column[:] = values
    group.create_array(
        "valid", shape=(plan.rows,), dtype="bool", chunks=(plan.rows,), fill_value=False, dimension_names=("pair",)
    )
    return objects


def _labels(plan: PairsPlan) -> dict[str, tuple[list[str], NDArray[np.int32]]]:
    """For each column its words and, a pair, which of them."""
    per_clip = plan.settings.pairs_per_clip
    names = list(dict.fromkeys(_recipe(plan.settings, k) for k in range(len(plan.recipes))))
    cameras = sorted({c.camera for c in plan.clips})

    def of_clips(values: Sequence[int]) -> NDArray[np.int32]:
        return np.repeat(np.array(values, np.int32), per_clip)

    recipes = [names.index(_recipe(plan.settings, k)) for k in range(per_clip)]
    return {
        "camera": (cameras, of_clips([cameras.index(c.camera) for c in plan.clips])),
        "clip": ([c.name for c in plan.clips], of_clips(range(len(plan.clips)))),
        "split": (list(SPLITS), of_clips([int(c.name in plan.held_out) for c in plan.clips])),
        "recipe": (names, np.tile(np.array(recipes, np.int32), len(plan.clips))),
    }


def _recipe(settings: LearnSettings, pair: int) -> str:
    """What a pair's recipe is called, a file without its folders. They take turns, so that every clip shows each."""
    name = settings.recipe_names[pair % len(settings.recipe_names)]
    return UNSAFE.sub("_", PurePosixPath(name).name)


def done_clips(plan: PairsPlan) -> dict[str, str]:
    """The clips that are done -> why one could not be read, empty where it could."""
    folder = storage.join(plan.aside, "done")
    names = {n.removesuffix(".json") for n in listing.names(folder)}
    return {c.name: _problem_of(storage.join(folder, f"{c.name}.json")) for c in plan.clips if c.name in names}


def _problem_of(flag: str) -> str:
    """Why the clip of a done flag could not be read, empty where it could. Raises StoreError if the flag is damaged."""
    try:
        return str(json.loads(storage.read(flag))["problem"])
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise StoreError(f"{flag}: not a done flag ({error}); remove it, and its clip is made again") from error


def synthesise_clip(plan: PairsPlan, index: int) -> str:
    """Make and store one clip's pairs, then its done flag; returns why it could not be read, or nothing.

    Raises:
        StorageError: if footage or store can't be reached; the clip is not done then.
    """
    clip, written, problem = plan.clips[index], dict[str, str](), ""
    try:
        images = make_pairs(clip, plan.settings, plan.recipes)
    except VideoError as error:
        problem = f"{error.url}: {error.cause}"
    else:
        for name, image in zip(IMAGES, images, strict=True):
            written[name] = _write_rows(plan, name, index, image)
    flag = {"key": clip.key, "sha256": written, "problem": problem}
    storage.write(storage.join(plan.aside, "done", f"{clip.name}.json"), canonical_json(flag))
    return problem


def make_pairs(
    clip: FootageClip, settings: LearnSettings, recipes: Sequence[Recipe]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(degraded, label), each uint8 [pairs_per_clip, h, w, 3] sRGB; the same for the same clip, settings and recipes,
    which take turns."""
    frames = read_clip(clip, settings)
    generator = torch.Generator().manual_seed(zlib.crc32(clip.name.encode()) + settings.seed)
    pairs = []
    for k in range(settings.pairs_per_clip):
        sampler = PairSampler([frames], [recipes[k % len(recipes)]], generator)
        pairs.append(sampler.sample(1, settings.pair_height, settings.pair_width))
    degraded, label = (torch.cat(images).clamp(0, 1) * 255 for images in zip(*pairs, strict=True))
    return tuple(x.round().byte().permute(0, 2, 3, 1).contiguous().numpy() for x in (degraded, label))  # type: ignore[return-value]


def _write_rows(plan: PairsPlan, name: str, index: int, images: NDArray[np.uint8]) -> str:
    """Write a clip's rows of an array: exactly one shard, since smaller writes would lose each other's."""
    written = HashingStore(plan.url)
    array = zarr.open_array(written, path=name, mode="r+", zarr_format=3).with_config({"write_empty_chunks": True})
    per_clip = plan.settings.pairs_per_clip
    if images.shape != (per_clip, *array.shape[1:]):
        raise StoreError(f"{plan.url}: {images.shape} is no whole shard of {array.shape}; name another --dataset")
    array[index * per_clip : (index + 1) * per_clip] = images
    return next(iter(written.written.values()))[0]


def _on_sheet(plan: PairsPlan, clips: Sequence[int]) -> list[tuple[str, int]]:
    """The words and rows of the contact sheet: from clips all over the data set, and of its recipes in turn."""
    count = min(MOST_ON_SHEET, len(clips))
    chosen = [(clips[i * len(clips) // count], i % plan.settings.pairs_per_clip) for i in range(count)]
    return [
        (f"{plan.clips[k].name}, {_recipe(plan.settings, pair)}", k * plan.settings.pairs_per_clip + pair)
        for k, pair in chosen
    ]


def finish(plan: PairsPlan) -> tuple[int, str]:
    """Store which rows hold a pair, and the contact sheet; returns how many do and the sheet's URL, if there is one."""
    done, per_clip = done_clips(plan), plan.settings.pairs_per_clip
    whole = [k for k, clip in enumerate(plan.clips) if done.get(clip.name) == ""]
    valid = np.zeros(plan.rows, bool)
    for k in whole:
        valid[k * per_clip : (k + 1) * per_clip] = True
    group = zarr.open_group(storage.zarr_store(plan.url), mode="r", zarr_format=3)
    zarr.open_array(HashingStore(plan.url), path="valid", mode="r+", zarr_format=3)[:] = valid
    shown = _on_sheet(plan, whole)
    if not shown:
        return 0, ""
    pictures = [(words, *(np.asarray(group[name][row]) for name in IMAGES)) for words, row in shown]  # type: ignore[index]
    url = storage.join(plan.store, "pairs", f"{plan.dataset}.jpg")
    storage.write(url, contact_sheet(pictures))  # type: ignore[arg-type]
    return int(valid.sum()), url
