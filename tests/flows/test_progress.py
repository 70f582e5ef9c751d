"""The progress of a night on Prefect's page: an artifact of a real server, brought up to date while the flow runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect import flow
from prefect.runtime import flow_run

from flows import progress
from tasks import storage, store
from tasks.passes import extent
from tests.tasks import night

LONGEST_S = 60


def artifacts(server: str, run: str) -> list[dict[str, Any]]:
    """What the server shows under the artifact's name for a flow run; other tests' nights are there as well."""
    wanted = {"artifacts": {"key": {"any_": ["night-progress"]}, "flow_run_id": {"any_": [run]}}}
    found: list[dict[str, Any]] = httpx.post(f"{server}/artifacts/filter", json=wanted, timeout=30).json()
    return found


def wait_for(server: str, run: str, percent: float) -> dict[str, Any]:
    deadline = time.monotonic() + LONGEST_S
    while True:
        found = artifacts(server, run)
        if found and found[0]["data"] == pytest.approx(percent, abs=0.1):
            return found[0]
        assert time.monotonic() < deadline, f"{percent} % never shown: {found}"
        time.sleep(0.1)


def test_the_artifact_follows_the_receipts_while_the_flow_runs(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "ARTIFACT_EVERY_S", 0.1)
    planned = night.make_site(tmp_path).plan()
    half = planned.shards // 2

    def receive(shards: range) -> None:
        for shard in shards:
            storage.write(store.receipt_url(planned.run_url, shard, "json"), b"{}")

    @flow(name="a-night")
    def a_night() -> tuple[str, list[str]]:
        run = str(flow_run.id)
        with progress.shown_in_prefect(planned.night) as shown:
            words = [wait_for(server, run, 0)["description"]]
            shown.cameras.append(progress.Followed(extent(planned), 0, at_work=True))
            receive(range(half))
            words.append(wait_for(server, run, 100 * half / planned.shards)["description"])
            receive(range(half, planned.shards))
        return run, words

    run, words = a_night()
    assert "Night of 2026-01-15" in words[0]
    assert f"{half} of {planned.shards} shards stored, 1 cameras" in words[1]
    [shown] = artifacts(server, run)
    assert (shown["type"], shown["data"]) == ("progress", 100)


def test_a_server_that_can_not_be_told_costs_the_night_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: object) -> None:
        raise httpx.ConnectError("nobody there")

    monkeypatch.setattr("prefect.artifacts.update_progress_artifact", away)
    monkeypatch.setattr("prefect.artifacts.create_progress_artifact", away)
    with progress.shown_in_prefect("2026-01-15") as shown:
        assert shown.cameras == []
    assert "nobody there" in caplog.text
