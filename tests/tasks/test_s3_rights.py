"""The policy in infra/ allows what a night really asks of the object store, and nothing else; and no secret is told.

What is asked is recorded by a proxy, over a night, its verification and the collection of garbage.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import boto3
import pytest
import s3fs

from lednet import __version__
from tasks import collect, lease, listing, storage, store, verify
from tasks.enhance import enhance_item
from tasks.publish import publish
from tests.faulty_proxy import FaultyProxy, Request
from tests.tasks.night import CAMERA, NIGHT, Site, film, s3_bucket, save_checkpoint, small_settings

POLICY = Path(__file__).parents[2] / "infra/s3-policy.json"
SECRET = "wJalrXUtnFEMI/never-to-be-told"
FOOTAGE, RESULTS = "footage", "results"


class Recorded(NamedTuple):
    """A night in two buckets, what was asked of each, and what was logged."""

    asked: dict[str, set[str]]
    log: str
    objects: dict[str, bytes]


def action(request: Request) -> str:
    """The right that a request needs."""
    key = request.path.strip("/").partition("/")[2]
    if not key:
        return "s3:ListBucketMultipartUploads" if "uploads" in request.query.split("&") else "s3:ListBucket"
    if request.method == "DELETE":
        return "s3:AbortMultipartUpload" if "uploadId" in request.query else "s3:DeleteObject"
    return {"GET": "s3:GetObject", "HEAD": "s3:GetObject", "PUT": "s3:PutObject", "POST": "s3:PutObject"}[
        request.method
    ]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    folder = tmp_path_factory.mktemp("rights")
    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
    with s3_bucket(), FaultyProxy(os.environ["AWS_ENDPOINT_URL"]) as proxy, pytest.MonkeyPatch.context() as env:
        client = boto3.client("s3")
        for bucket in (FOOTAGE, RESULTS):
            client.create_bucket(Bucket=bucket)
        for path in film(folder / "archive", (10, 8)):
            client.upload_file(str(path), FOOTAGE, str(path.relative_to(folder)))
        client.create_multipart_upload(Bucket=RESULTS, Key="store/enhanced/left")
        env.setenv("AWS_ENDPOINT_URL", proxy.url)
        env.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        s3fs.S3FileSystem.clear_instance_cache()
        root, levels = logging.getLogger(), logging.getLogger().level
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        try:
            site = Site(f"s3://{FOOTAGE}/archive", f"s3://{RESULTS}/store", small_settings(save_checkpoint(folder)))
            run_everything(site)
        finally:
            root.removeHandler(handler)
            root.setLevel(levels)
        asked: dict[str, set[str]] = {FOOTAGE: set(), RESULTS: set()}
        for request in proxy.requests:
            asked[request.path.strip("/").partition("/")[0]].add(action(request))
        yield Recorded(asked, "\n".join(records), {e.url: storage.read(e.url) for e in listing.find(site.store)})


def run_everything(site: Site) -> None:
    """A night, its verification, a repair, and the collection of garbage, as the commands do them."""
    planned = site.plan()
    with lease.held(lease.folder(site.store, CAMERA.id, NIGHT)):
        store.create_run(planned, site.settings, __version__)
        for item in planned.items:
            enhance_item(item, site.settings)
        publish(planned, site.store, site.settings)
    storage.write(store.shard_object(planned.run_url, 0), b"damaged")
    check = verify.check_night(site.store, CAMERA.id, NIGHT)
    verify.repair_night(check, CAMERA, site.archive, site.store, site.settings, __version__)
    for garbage in collect.find_garbage(site.store, -1):
        collect.remove(garbage)


def allowed(bucket: str) -> set[str]:
    statements = json.loads(POLICY.read_text())["Statement"]
    return {a for s in statements for a in s["Action"] if bucket in s["Resource"][0]}


@pytest.mark.parametrize(("bucket", "name"), [(FOOTAGE, "ARCHIVE_BUCKET"), (RESULTS, "STORE_BUCKET")])
def test_the_policy_allows_exactly_what_is_asked(recorded: Recorded, bucket: str, name: str) -> None:
    assert recorded.asked[bucket] == allowed(name)


def test_the_policy_names_no_wildcard_action_and_no_other_resource() -> None:
    for statement in json.loads(POLICY.read_text())["Statement"]:
        assert not any("*" in a for a in statement["Action"])
        assert all(r.startswith("arn:aws:s3:::") and "BUCKET" in r for r in statement["Resource"])


def test_no_secret_reaches_the_log_or_the_store(recorded: Recorded) -> None:
    assert recorded.log
    assert SECRET not in recorded.log
    assert not any(SECRET.encode() in data for data in recorded.objects.values())


@pytest.mark.parametrize("url", ["s3://key:secret@bucket/store", "https://user:secret@host/store"])
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(storage.StorageError, match="credentials") as caught:
        storage.read(url)
    assert "secret" not in str(caught.value)
