"""Is a published night intact, and repairing it where it is not.

Covers every object of a published run: shards and rows by their receipts' checksums, receipts and the rest by the
manifest's, the manifest by its own; and that the counts agree. Repairing does only the damaged shards anew, which gives
the same bytes. Not covered: runs that are not published, and reports, which `lednet report` writes anew.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from tasks import lease, listing, storage, store
from tasks.decode_process import prober
from tasks.enhance import enhance_item
from tasks.plan import coarser, plan_night
from tasks.publish import publish
from tasks.settings import NightSettings
from tasks.types import Camera, NightPlan, Receipt

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finding:
    """One object that is not as it was published."""

    url: str
    fault: str
    shard: int | None = None
    """The shard that must be done anew; None where publishing again is enough."""


@dataclass(frozen=True)
class NightCheck:
    """What a look at one camera's published night came to."""

    camera: str
    night: str
    shards: int
    bytes: int
    """Read and compared."""
    findings: tuple[Finding, ...]
    repaired: int = 0
    """Findings that were there before repairing and are gone."""


def published(store_url: str, night: str | None = None, cameras: list[str] | None = None) -> Iterator[tuple[str, str]]:
    """(camera, night) of every manifest in the store, damaged ones too."""
    root = storage.join(store_url, "enhanced")
    for camera in listing.names(root):
        if not cameras or camera in cameras:
            for name in listing.names(storage.join(root, camera)):
                if night in (None, name) and storage.exists(store.manifest_url(store_url, camera, name)):
                    yield camera, name


def check_night(store_url: str, camera: str, night: str) -> NightCheck:
    """Read every object of a published night and compare it. Raises StorageError if the store can't be read."""
    try:
        manifest = store.read_manifest(store_url, camera, night)
    except store.StoreError as error:
        return NightCheck(camera, night, 0, 0, (Finding(store.manifest_url(store_url, camera, night), str(error)),))
    if manifest is None:
        return NightCheck(camera, night, 0, 0, ())
    run_url = manifest["frames_url"].removesuffix("/frames.zarr")
    findings: list[Finding] = []
    receipts: list[Receipt] = []
    size = 0
    for path, sha256 in sorted(manifest.get("sha256", {}).items()):
        finding, count = _compare(storage.join(run_url, path), sha256, _shard_of(path))
        findings += [finding] if finding else []
        size += count
    for shard in manifest["shards"]:
        found, count, receipt = _check_shard(run_url, shard)
        findings += [f for f in found if f.url not in {g.url for g in findings}]
        receipts += [receipt] if receipt else []
        size += count
    if not findings:
        findings += _check_counts(store.manifest_url(store_url, camera, night), manifest, receipts)
    return NightCheck(camera, night, len(manifest["shards"]), size, tuple(findings))


def _shard_of(path: str) -> int | None:
    """The shard of a receipt's path."""
    name = path.removeprefix("receipts/").removesuffix(".json")
    return int(name) if path.startswith("receipts/") and name.isdigit() else None


def _compare(url: str, sha256: str, shard: int | None) -> tuple[Finding | None, int]:
    try:
        data = storage.read(url)
    except FileNotFoundError:
        return Finding(url, "is missing", shard), 0
    if hashlib.sha256(data).hexdigest() != sha256:
        return Finding(url, "its bytes have changed (another sha256)", shard), len(data)
    return None, len(data)


def _check_shard(run_url: str, shard: int) -> tuple[list[Finding], int, Receipt | None]:
    url = store.receipt_url(run_url, shard, "json")
    try:
        receipt = store.read_receipt(run_url, shard)
    except FileNotFoundError:
        return [Finding(url, "is missing", shard)], 0, None
    except store.StoreError as error:
        return [Finding(url, str(error), shard)], 0, None
    wanted = [(store.receipt_url(run_url, shard, "parquet"), receipt.rows_sha256)]
    wanted += [(store.shard_object(run_url, shard), receipt.sha256)] if receipt.frames else []
    compared = [_compare(url, sha256, shard) for url, sha256 in wanted]
    return [finding for finding, _ in compared if finding], sum(count for _, count in compared), receipt


def _check_counts(url: str, manifest: dict[str, Any], receipts: list[Receipt]) -> Iterator[Finding]:
    """Whether the manifest says what the receipts say."""
    frames = sum(r.frames for r in receipts)
    for name, found in (
        ("frames", frames),
        ("coverage", frames / manifest["slots"] if manifest.get("slots") else None),
        ("bytes", sum(r.size for r in receipts)),
    ):
        if manifest.get(name) != found:
            yield Finding(url, f"says {name} {manifest.get(name)!r}, its receipts {found!r}")


def repair_night(
    check: NightCheck, camera: Camera, archive: str, store_url: str, settings: NightSettings, version: str
) -> NightCheck:
    """Do the damaged shards of a night anew, publish it again and look again; the rest is not touched.

    Raises:
        StoreError: if the archive, settings or weights no longer give the run that is published: other bytes would
            come of them.
        NothingToDoError: if no footage of it is left in the archive.
        HeldError: if somebody is at work on this night.
    """
    if not check.findings:
        return check
    full = plan_night(camera, check.night, archive, store_url, settings, prober(settings))
    plan = coarser(full, _published_every(store_url, camera.id, check.night), archive, store_url, settings)
    with lease.held(lease.folder(store_url, camera.id, check.night)):
        _refuse_another_run(store_url, plan)
        _redo(check, plan, store_url, settings, version)
    after = check_night(store_url, check.camera, check.night)
    return replace(after, repaired=len(check.findings) - len(after.findings))


def _published_every(store_url: str, camera: str, night: str) -> int:
    """How coarse a night is published, as one slot in so many; 1 where its manifest can't be read."""
    try:
        manifest = store.read_manifest(store_url, camera, night)
    except store.StoreError:
        return 1
    return int(manifest.get("every", 1)) if manifest else 1


def _redo(check: NightCheck, plan: NightPlan, store_url: str, settings: NightSettings, version: str) -> None:
    damaged = {f.shard for f in check.findings if f.shard is not None}
    for shard in sorted(damaged):  # a shard without a receipt is done again, whatever happens now
        storage.remove(store.receipt_url(plan.run_url, shard, "json"))
    if any(f.shard is None for f in check.findings):
        storage.remove(storage.join(plan.run_url, "ready.json"))
    store.create_run(plan, settings, version)
    for item in plan.items:
        shards = tuple(s for s in item.shards if s.index in damaged)
        if shards:
            enhance_item(replace(item, shards=shards), settings)
            log.info("%s: did %s anew", check.camera, ", ".join(f"shard {s.index}" for s in shards))
    publish(plan, store_url, settings)


def _refuse_another_run(store_url: str, plan: NightPlan) -> None:
    try:
        manifest = store.read_manifest(store_url, plan.camera.id, plan.night)
    except store.StoreError:
        return  # it can't be asked; publishing names the run that the archive gives
    if manifest is not None and manifest["run"] != plan.run:
        raise store.StoreError(
            f"{store.manifest_url(store_url, plan.camera.id, plan.night)}: was made of other footage, settings or "
            f"weights (run {manifest['run']}, now {plan.run}); restore those, or run `lednet enhance` for a new run"
        )
