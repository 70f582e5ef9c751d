"""The object store's access from a Secret block: read on a real Prefect server, used in this process and on a real Dask
worker against an S3 server of our own, and told to nobody else."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from distributed import Client, LocalCluster
from prefect.blocks.system import Secret

from flows import object_store
from flows.object_store import BLOCK, TAKEN, BlockError, hand_on, read_block, take, use_block
from tasks import listing, storage
from tests.flows.conftest import Run
from tests.flows.test_night_with_deadline import CAMERA, SITE
from tests.tasks import night
from tests.tasks.night import s3_bucket

SECRET = "a-secret-that-nobody-may-see"
AWS = tuple(object_store.FIELDS.values())


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """An S3 server with an object on it, of which the environment says nothing; the content of a block that does."""
    with s3_bucket() as url:
        storage.write(f"{url}/thing", b"as it was")
        content = {
            "endpoint": os.environ["AWS_ENDPOINT_URL"], "region": "us-east-1", "key": "from-the-block", "secret": SECRET
        }  # fmt: skip
        with monkeypatch.context() as patch:
            for name in (*AWS, TAKEN):
                patch.setenv(name, "")  # so that it is restored afterwards
                patch.delenv(name)
            storage.forget()
            yield content
            storage.forget()


def save(name: str, value: Any) -> str:
    Secret(value=value).save(name, overwrite=True)
    return name


@pytest.mark.parametrize("as_text", [False, True])
def test_what_the_environment_lacks_is_taken_from_the_block(
    server: str, bare: dict[str, str], monkeypatch: pytest.MonkeyPatch, as_text: bool
) -> None:
    monkeypatch.setenv(BLOCK, save("lednet-s3", json.dumps(bare) if as_text else bare))
    use_block()
    assert os.environ["AWS_ACCESS_KEY_ID"] == "from-the-block"
    assert storage.read("s3://mine/thing") == b"as it was"


def test_the_environment_wins_and_its_keys_are_not_mixed_with_the_blocks(
    server: str, bare: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BLOCK, save("lednet-s3", bare))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the site's own")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    use_block()
    told = [os.environ.get(name) for name in AWS]
    assert told == [bare["endpoint"], "eu-north-1", "the site's own", None]


def test_an_environment_that_names_all_needs_no_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BLOCK, "nowhere")
    for name in AWS:
        monkeypatch.setenv(name, "own")
    monkeypatch.setattr(object_store, "read_block", lambda name: pytest.fail(f"{name} was read"))
    use_block()


def test_other_keys_take_the_place_of_those_of_an_earlier_block(bare: dict[str, str]) -> None:
    take({"AWS_ENDPOINT_URL": "http://old", "AWS_ACCESS_KEY_ID": "old", "AWS_SECRET_ACCESS_KEY": "old"})
    take({"AWS_ACCESS_KEY_ID": "new", "AWS_SECRET_ACCESS_KEY": "new"})
    assert [os.environ.get(name) for name in AWS] == [None, None, "new", "new"]


def test_dask_workers_reach_the_store_and_the_secret_stands_nowhere_else(
    server: str, bare: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    # Started before the block is read, as an existing cluster is.
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster,  # type: ignore[no-untyped-call]
        Client(cluster) as client,  # type: ignore[no-untyped-call]
    ):
        monkeypatch.setenv(BLOCK, save("lednet-s3", bare))
        use_block()
        hand_on(client)
        assert client.submit(storage.read, "s3://mine/thing").result(120) == b"as it was"
        late = client.run(os.environ.get, "AWS_ACCESS_KEY_ID")
        assert set(late.values()) == {"from-the-block"}
        logs = f"{client.get_worker_logs()} {client.get_scheduler_logs()}"
    assert SECRET not in caplog.text + logs + repr(object_store.ObjectStoreAccess(bare))


@pytest.mark.parametrize(
    "value",
    [SECRET, f'{{"key": "{SECRET}"', ["a", SECRET], {"key": SECRET}, {"key": "k", "secret": 5},
     {"key": "k", "secret": SECRET, SECRET: "x"}],
)  # fmt: skip
def test_a_block_of_other_content_is_named_with_the_next_step_and_not_repeated(server: str, value: Any) -> None:
    with pytest.raises(BlockError, match=r"LEDNET_S3_BLOCK=odd: it.*; .*AWS_ variables") as caught:
        read_block(save("odd", value))
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_block_that_is_not_there_ends_the_command(lednet_here: Run, server: str) -> None:
    result = lednet_here("status", "--store", "s3://mine/store", LEDNET_S3_BLOCK="missing", PREFECT_API_URL=server)
    assert result.returncode == 1
    assert "LEDNET_S3_BLOCK=missing: there is no Secret block of this name" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_block_without_a_server_to_keep_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        pytest.raises(BlockError, match="PREFECT_API_URL is not set; name"),
    ):
        read_block("lednet-s3")


def said_by(server: str) -> str:
    """All that a Prefect server tells of its runs, but no block."""
    filters = ("flow_runs", "task_runs", "logs", "artifacts", "work_pools", "flows")
    return "".join(httpx.post(f"{server}/{kind}/filter", json={}, timeout=120).text for kind in filters)


@pytest.mark.slow
def test_a_night_on_s3_by_the_blocks_keys_alone_tells_nobody_of_them(
    server: str, bare: dict[str, str], lednet: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take({variable: bare[name] for name, variable in object_store.FIELDS.items()})
    for path in night.film(tmp_path / "archive", (10,)):
        storage.write(f"s3://mine/{path.relative_to(tmp_path)}", path.read_bytes())
    site = tmp_path / "cameras.toml"
    site.write_text(SITE.format(checkpoint=night.save_checkpoint(tmp_path)) + CAMERA.format(name="pit"))
    places = ["--site", str(site), "--archive", "s3://mine/archive", "--store", "s3://mine/store"]
    known = {"LEDNET_S3_BLOCK": save("lednet-s3", bare), "PREFECT_API_URL": server, "LEDNET_WORKERS": "1"}
    without = dict.fromkeys((*AWS, TAKEN), "")
    done = lednet("enhance", night.NIGHT, *places, "--no-report", **known, **without)
    assert done.returncode == 0, done.stderr
    planned = lednet("plan", night.NIGHT, *places, **known, **without)
    assert f"frames/s of pit: reached in the night of {night.NIGHT} with tiny" in planned.stdout, planned.stderr
    stored = b"".join(storage.read(entry.url) for entry in listing.find("s3://mine/store"))
    assert SECRET.encode() not in stored
    assert SECRET not in said_by(server) + done.stdout + done.stderr + planned.stdout + planned.stderr
