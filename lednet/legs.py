"""The legs of a training on a checkpoint's card: the last one in full, those before it in a flat list, nothing twice.

    in_all      what a reader asks first, of all legs together: steps, hours, devices, recipes, clips, photographs
    command, settings, recipes, clips ...    of the last leg
    before      the legs before it, the last of them first; what repeats from leg to leg (recipes, the parts of settings
                that are lists or tables, clips and their keys) is named there by the hash of its content
    contents    hash -> that content, once for all legs

A card grows with every leg by what is new in it. Older cards, in which each leg holds the one before it under `from`,
are read as well, and made flat by the next leg. Not covered: what a leg holds (`lednet.trainer`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

IN_ALL, FROM, BEFORE, CONTENTS = "in_all", "from", "before", "contents"
TABLES = ("settings", "recipes")
"""Fields of a leg whose entries repeat from leg to leg."""
CLIPS, CLIP_KEYS = "clips", "clip_keys"
"""Names of the clips of a leg; and name -> what changes with the clip's files, where the one who trained knows it."""
HASH_DIGITS = 16

Leg = dict[str, Any]


def legs_of(training: Any) -> Iterator[Leg]:
    """The legs of a card's `training`, each whole and alone: the last first.

    Raises:
        LookupError, TypeError, AttributeError: if a leg refers to content that is not there, or is of another shape.
    """
    leg = training
    while isinstance(leg, dict) and leg:
        yield {name: value for name, value in leg.items() if name not in (IN_ALL, FROM, BEFORE, CONTENTS)}
        for one in leg.get(BEFORE, ()):
            yield _whole(one, leg[CONTENTS])
        leg = leg.get(FROM)


def legs_before(training: Any) -> dict[str, Any]:
    """What the card of a leg says of those before it, given the `training` of the card that it starts from."""
    contents: dict[str, Any] = {}
    before = [_brief(leg, contents) for leg in legs_of(training)]
    return {BEFORE: before, CONTENTS: contents} if before else {}


def in_all(training: Any) -> dict[str, Any]:
    """All legs of a card's `training` together: sums, and names once each, the last leg's first; of photographs the
    most that a leg had."""
    legs = list(legs_of(training))

    def named(field: str) -> list[str]:
        return list(dict.fromkeys(name for leg in legs for name in leg.get(field, ())))

    return {
        "steps": sum(leg.get("steps_done", 0) for leg in legs),
        "hours": round(sum(leg.get("hours", 0) for leg in legs), 3),
        "devices": list(dict.fromkeys(leg["device"] for leg in legs if "device" in leg)),
        "recipes": named("recipes"),
        "clips": named("clips"),
        "photos": max((leg.get("photos", 0) for leg in legs), default=0),
    }


def _brief(leg: Leg, contents: dict[str, Any]) -> Leg:
    """A leg with the hashes of what repeats, which is put into `contents`."""

    def kept(value: Any) -> str:
        key = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:HASH_DIGITS]
        contents[key] = value
        return key

    brief = dict(leg)
    for name in TABLES:
        if isinstance(leg.get(name), Mapping):
            # A table of one key stands for its content; every other table or list of a leg's has gone there.
            brief[name] = {
                k: {"of": kept(v)} if isinstance(v, dict | list | tuple) else v for k, v in leg[name].items()
            }
    for name in (CLIPS, CLIP_KEYS):
        if name in leg:
            brief[name] = kept(leg[name])
    return brief


def _whole(brief: Leg, contents: Mapping[str, Any]) -> Leg:
    """A leg as it was before `_brief`."""
    leg = dict(brief)
    for name in TABLES:
        if isinstance(brief.get(name), Mapping):
            leg[name] = {k: contents[v["of"]] if isinstance(v, dict) else v for k, v in brief[name].items()}
    for name in (CLIPS, CLIP_KEYS):
        if name in brief:
            leg[name] = contents[brief[name]]
    return leg
