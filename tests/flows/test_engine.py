"""What a night starts beside itself: a Prefect server that nobody else reaches, and Dask without its profiler."""

from __future__ import annotations

import ipaddress
import subprocess
import sys
from urllib.parse import urlsplit

import psutil

from flows import engine
from tests.flows.conftest import ENVIRONMENT

ASK_DASK = """
from flows import engine
engine.be_quiet()
from dask import config
import distributed
print(config.get("distributed.worker.profile.enabled"))
"""


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
