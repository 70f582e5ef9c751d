"""Publishing a camera's night: check that it is whole, gather the rows, make the preview, write the manifest last."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import pandas as pd

from tasks import codecs, conditional, storage, store
from tasks.settings import NightSettings
from tasks.types import CameraNight, NightPlan, Problem, Receipt
from tasks.video import encode_preview


def publish(plan: NightPlan, store_url: str, settings: NightSettings) -> CameraNight:
    """Publish a night whose shards are all stored; otherwise say what is missing and publish nothing.

    Nor does a run with fewer frames take the place of the published one: a coarser one, or one for which the archive
    has lost footage since.
    """
    done = store.done_shards(plan.run_url)
    wanted = [shard.index for item in plan.items for shard in item.shards]
    missing = [i for i in wanted if i not in done]
    if missing:
        reason = f"{len(missing)} of {len(wanted)} shards are not stored; run the night again to finish it"
        return CameraNight(plan.camera.id, "partial", reason)
    receipts = [store.read_receipt(plan.run_url, i) for i in wanted]
    refusal = _refused_now(plan, sum(r.frames for r in receipts), store_url)
    if refusal:
        return refusal
    frames = store.write_valid(plan.run_url, plan.grid.slots, receipts)
    rows = {r.shard: store.read_rows(plan.run_url, r.shard) for r in receipts if r.frames}
    if rows:
        storage.write(store.quality_url(plan.run_url), store.parquet_bytes(pd.concat(rows.values())))
    stride = plan.items[0].preview_stride
    pictured = [shard for shard, table in rows.items() if (table["slot"] % stride == 0).any()]
    preview = _write_preview(plan.run_url, pictured, settings)
    manifest = _manifest(plan, receipts, frames, preview) | codecs.provenance(settings)
    return _put(manifest, plan, store_url)


def _put(manifest: dict[str, Any], plan: NightPlan, store_url: str) -> CameraNight:
    """Write the manifest, in place of none but one that it may take the place of: to make it takes a while, and this
    process may have been suspended."""
    url = store.manifest_url(store_url, plan.camera.id, plan.night)
    while True:
        mark = conditional.mark_of(url)  # first: what comes after it is not written over, but judged in the next round
        refusal = _refused_now(plan, manifest["frames"], store_url)
        if refusal:
            return refusal
        if conditional.replace(url, store.sealed(manifest), mark):
            return summary(manifest, "published", store_url)


def refused(manifest: dict[str, Any] | None, run: str, frames: int, files: int, store_url: str) -> CameraNight | None:
    """The outcome of a run that must not take the place of the published one, None for one that may.

    Args:
        manifest: the published night, if there is one.
        run: the run's key; `frames` is how many it has, or can have at most, of `files` files.
    """
    if manifest is None or manifest["run"] == run or manifest["frames"] <= frames:
        return None
    published = summary(manifest, "failed", store_url)
    reason = (
        f"the published run {manifest['run']} has {manifest['frames']} frames of {len(manifest['segments'])} files, "
        f"this one ({run}) {frames} of {files}, and did not take its place; bring back the footage or settings of then "
        f"or, if fewer frames are what you want, remove {published.manifest_url} and run the night again"
    )
    return replace(published, reason=reason)


def _refused_now(plan: NightPlan, frames: int, store_url: str) -> CameraNight | None:
    try:
        manifest = store.read_manifest(store_url, plan.camera.id, plan.night)
    except store.StoreError:
        return None  # it can't be asked, and publishing is what mends it
    return refused(manifest, plan.run, frames, len(plan.segments), store_url)


def summary(manifest: dict[str, Any], status: str, store_url: str) -> CameraNight:
    """A published night in a line."""
    camera, night = manifest["camera"]["id"], manifest["night"]
    return CameraNight(
        camera,
        status,
        "",
        manifest["frames"],
        manifest["coverage"],
        len(manifest["problems"]),
        store.manifest_url(store_url, camera, night),
    )


def picture_rows(run_url: str, shards: list[int]) -> Iterator[pd.DataFrame]:
    """The rows of a run that carry pictures, shard by shard."""
    for shard in shards:
        rows = store.read_rows(run_url, shard, pictures=True)
        yield rows[rows["before_jpeg"].notna()]


def _write_preview(run_url: str, shards: list[int], settings: NightSettings) -> str | None:
    tables = picture_rows(run_url, shards)
    pairs = (pair for t in tables for pair in zip(t["before_jpeg"], t["after_jpeg"], strict=True))
    data = encode_preview(pairs, settings.preview_fps)
    if data is None:
        return None
    url = store.preview_url(run_url)
    storage.write(url, data)
    return url


def _manifest(plan: NightPlan, receipts: list[Receipt], frames: int, preview: str | None) -> dict[str, Any]:
    # Receipts name files by where the archive stood when their shards were done; it may be mounted elsewhere since.
    now = {_within_archive(plan, s.url): s.url for s in plan.segments}
    used: Counter[str] = Counter()
    for receipt in receipts:
        for url, count in receipt.sources:
            used[now.get(_within_archive(plan, url), url)] += count
    causes: dict[str, list[str]] = {p.url: [p.reason] for p in plan.problems}
    for receipt in receipts:
        for problem in receipt.problems:
            known = causes.setdefault(now.get(_within_archive(plan, problem.url), problem.url), [])
            if problem.reason not in known:
                known.append(problem.reason)
    problems = [Problem(url, "; ".join(reasons), used[url]) for url, reasons in sorted(causes.items())]
    return {
        "format": store.MANIFEST_FORMAT,
        "camera": asdict(plan.camera),
        "night": plan.night,
        "run": plan.run,
        "model": plan.model,
        "slots": plan.grid.slots,
        "every": plan.every,
        "frames": frames,
        "coverage": frames / plan.grid.slots,
        "shards": [r.shard for r in receipts],
        "bytes": sum(r.size for r in receipts),
        "start_ns": plan.grid.start_ns,
        "height": plan.height,
        "width": plan.width,
        "frames_url": store.frames_url(plan.run_url),
        "preview_url": preview,
        "gaps": plan.gaps,
        "segments": [asdict(s) | {"frames": used[s.url]} for s in plan.segments],
        "problems": [asdict(p) for p in problems],
        "sha256": checksums(plan.run_url, receipts, preview is not None),
    }


def _within_archive(plan: NightPlan, url: str) -> str:
    """A file's path below its archive, wherever that stands: as many parts as the camera's pattern has."""
    return "/".join(url.split("/")[-1 - plan.camera.pattern.count("/") :])


LAYOUT = ("ready.json", "frames.zarr/zarr.json", "frames.zarr/frames/zarr.json", "frames.zarr/time/zarr.json",
          "frames.zarr/time/c/0", "frames.zarr/valid/zarr.json", "frames.zarr/valid/c/0")  # fmt: skip
"""A run's objects that do not come of its shards."""


def checksums(run_url: str, receipts: list[Receipt], preview: bool) -> dict[str, str]:
    """sha256 of a run's objects by their paths below it; shards and their rows are covered by the receipts."""
    paths = [*LAYOUT, *(storage.relative(store.receipt_url(run_url, r.shard, "json"), run_url) for r in receipts)]
    paths += ["quality.parquet"] * any(r.frames for r in receipts) + ["preview.mp4"] * preview
    return {path: hashlib.sha256(storage.read(storage.join(run_url, path))).hexdigest() for path in sorted(paths)}
