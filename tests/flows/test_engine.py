"""What a night starts beside itself: a Prefect server that nobody else reaches, and Dask without its profiler."""

from __future__ import annotations

import ipaddress
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from flows import engine
from tests.flows.conftest import ENVIRONMENT

ASK_DASK = """
from flows import engine
engine.be_quiet()
from dask import config
import distributed
print(config.get("distributed.worker.profile.enabled"))
"""


BEFORE_THE_SERVER = """
import sys
from flows import engine
from flows.demo import run_night
try:
    run_night("2026-01-15", "a site", "an archive", "a store", None, report=True)
except engine.EngineError:
    print([name for name in ("dask", "prefect") if name in sys.modules])
"""


def test_nothing_that_reads_the_settings_is_imported_before_they_are_set() -> None:
    words, nobody = [sys.executable, "-c", BEFORE_THE_SERVER], {"PREFECT_API_URL": "http://127.0.0.1:9/api"}
    done = subprocess.run(words, env=ENVIRONMENT | nobody, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_prefect_server_that_a_night_starts_listens_on_loopback_alone(server: str) -> None:
    listening = [
        connection.laddr
        for child in psutil.Process().children()
        for connection in child.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert urlsplit(server).port in {address.port for address in listening}
    assert all(ipaddress.ip_address(address.ip).is_loopback for address in listening)


def test_dask_keeps_no_profiles_unless_a_site_asks_for_them() -> None:
    def asked(**environment: str) -> str:
        words = [sys.executable, "-c", ASK_DASK]
        known = {k: v for k, v in ENVIRONMENT.items() if k not in engine.QUIET} | environment
        return subprocess.run(words, env=known, capture_output=True, text=True, check=True).stdout.strip()

    assert asked() == "False"
    assert asked(DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED="True") == "True"


def test_a_server_is_healthy_with_a_slash_behind_its_url_and_an_api_left_out_is_told(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", f"{server}/")
    with engine.prefect_server():
        pass
    monkeypatch.setenv("PREFECT_API_URL", server.removesuffix("/api"))
    with pytest.raises(engine.EngineError, match=r"404.*name its API \(http://"), engine.prefect_server():
        pass


@pytest.mark.parametrize("before", ["", "mine.example"])
def test_a_sites_proxy_does_not_stand_before_the_own_server(
    before: str, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, before)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setattr(urllib.request, "_opener", None)  # it knows the proxies of its first call
    assert "refused" in engine.server_trouble(server)
    engine._loopback_without_proxy()
    assert engine.server_trouble(server) == ""
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"] == ",".join(filter(None, (before, "127.0.0.1")))


def test_a_server_that_ends_at_once_is_told_with_its_last_words(tmp_path: Path) -> None:
    words = tmp_path / "server.log"
    words.write_text("Traceback\nOSError: no space left\n")
    ended = subprocess.Popen(["false"])
    ended.wait()
    with pytest.raises(engine.EngineError, match=r"it ended with 1\); its last words: Traceback / OSError: no space"):
        engine._wait_until_healthy(f"http://127.0.0.1:{engine.free_port()}/api", ended, words)
