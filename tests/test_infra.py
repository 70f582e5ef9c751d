"""What is deployed fits what is installed and opens nothing: read from the files, since tests have no engine."""

from __future__ import annotations

import re
import shlex
import tomllib
from fnmatch import fnmatch
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.settings import LearnSettings

ROOT = Path(__file__).resolve().parents[1]
INFRA = ROOT / "infra"
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|_KEY|CREDENTIAL", re.IGNORECASE)

TEXT = (INFRA / "compose.yaml").read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
DEFAULTS = yaml.safe_load(VARIABLE.sub(lambda m: m[3] if m[2] == "-" else f"needed-{m[1]}", TEXT))["services"]
"""The services as they are when only the needed values are given."""
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, with the defaults of its arguments filled in."""
    lines = [
        line for line in (INFRA / "Dockerfile").read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    ]
    found = [
        (name, rest) for name, _, rest in (i.partition(" ") for i in "\n".join(lines).replace("\\\n", " ").split("\n"))
    ]
    arguments = dict(rest.split("=", 1) for name, rest in found if name == "ARG")
    return [(name, VARIABLE.sub(lambda m: arguments.get(m[1], m[0]), rest.strip())) for name, rest in found if name]


def of_kind(kind: str) -> list[str]:
    return [rest for name, rest in instructions() if name == kind]


def commands() -> list[tuple[str, list[str]]]:
    """(service, command line) of everything that our image runs, shell scripts taken apart."""
    lines = []
    for service, described in DEFAULTS.items():
        command = described.get("command", [])
        if command[:2] == ["sh", "-c"]:
            parts = re.split(r"&&|\|\||[;{}]", command[2])
            lines += [(service, shlex.split(part.partition(">")[0])) for part in parts]
        else:
            lines.append((service, command))
    lines.append(("Dockerfile", yaml.safe_load(of_kind("CMD")[-1])))
    return [(service, line[1:] if line[:1] == ["exec"] else line) for service, line in lines if line]


def test_every_service_says_how_it_is_or_waits_for_one_that_does() -> None:
    checked = {name for name, service in SERVICES.items() if "healthcheck" in service}
    assert checked
    for name, service in SERVICES.items():
        assert name in checked or set(service.get("depends_on", {})) & checked, name


def test_who_waits_for_health_waits_for_a_service_that_has_a_check() -> None:
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            assert other in SERVICES, name
            assert how["condition"] != "service_healthy" or "healthcheck" in SERVICES[other], (name, other)


def test_every_image_has_a_version() -> None:
    images = [service["image"] for service in SERVICES.values()] + of_kind("FROM")
    for image in images:
        tag = image.rpartition(":")[2]
        assert re.match(r"\d+\.\d+", tag), image
        assert "latest" not in tag, image


def test_our_image_is_tagged_with_the_packages_version() -> None:
    ours = {image for image in (service["image"] for service in SERVICES.values()) if image.startswith("lednet:")}
    assert ours == {f"lednet:{PROJECT['version']}-cpu", f"lednet:{PROJECT['version']}-cuda"}


def test_ports_are_published_on_loopback_alone() -> None:
    published = [str(port) for service in DEFAULTS.values() for port in service.get("ports", [])]
    assert published == ["127.0.0.1:4200:4200"]
    assert not any(service.get("network_mode") for service in SERVICES.values())


def test_no_secret_stands_in_a_file() -> None:
    for name, service in SERVICES.items():
        for variable, value in (service.get("environment") or {}).items():
            if SECRET.search(variable):
                assert value is None or re.fullmatch(r"\$\{\w+:\?[^}]*\}", value), (name, variable)
    assert not [line for kind in ("ARG", "ENV") for line in of_kind(kind) if SECRET.search(line)]
    assert not [line for line in example() if SECRET.search(line) and not line.endswith("=")]


def example() -> list[str]:
    lines = (INFRA / "example.env").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if re.match(r"#?\w+=", line)]


def test_the_example_names_every_value_and_leaves_the_needed_ones_open() -> None:
    wanted = {m[1]: m[2] == "?" for m in VARIABLE.finditer(TEXT)}
    handed_on = {k for s in SERVICES.values() for k, v in (s.get("environment") or {}).items() if v is None}
    assert {line.strip("#=") for line in example()} == set(wanted) | handed_on
    assert {line.strip("=") for line in example() if not line.startswith("#")} == {
        v for v, need in wanted.items() if need
    }


@pytest.mark.parametrize(("service", "command"), commands())
def test_what_is_started_is_installed(service: str, command: list[str]) -> None:
    assert entry_points(group="console_scripts", name=command[0]), f"{service}: {command}"


@pytest.mark.parametrize(("service", "command"), [(s, c) for s, c in commands() if c[0] == "dask"])
def test_dask_knows_the_options_that_it_is_given(service: str, command: list[str]) -> None:
    [verb] = entry_points(group="dask_cli", name=command[1])
    known = {option for parameter in verb.load().params for option in parameter.opts}
    assert {word.partition("=")[0] for word in command if word.startswith("--")} <= known


def test_every_service_has_bounds_and_no_rights() -> None:
    for name, service in SERVICES.items():
        assert {"cpus", "memory"} <= set(service["deploy"]["resources"]["limits"]), name
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name


def test_the_database_is_reached_by_the_prefect_server_alone() -> None:
    assert yaml.safe_load(TEXT)["networks"]["database"]["internal"]
    assert {name for name, s in SERVICES.items() if "database" in s.get("networks", [])} == {
        "postgres",
        "prefect-server",
    }
    assert SERVICES["postgres"]["networks"] == ["database"]


def test_whoever_runs_flows_or_tasks_knows_the_one_prefect_server_and_the_scheduler() -> None:
    for name in ("prefect-worker", "dask-worker", "dask-worker-gpu"):
        environment = SERVICES[name]["environment"]
        assert environment["PREFECT_API_URL"] == "http://prefect-server:4200/api"
        assert environment["LEDNET_SCHEDULER"] == "tcp://dask-scheduler:8786"


def test_the_gpu_worker_is_the_other_one_with_a_gpu() -> None:
    cpu, gpu = DEFAULTS["dask-worker"], DEFAULTS["dask-worker-gpu"]
    assert sorted(gpu["command"]) == sorted([*cpu["command"], "--resources=GPU=1"])
    assert gpu["profiles"] == ["gpu"]
    assert gpu["build"]["args"]["TORCH"] == "cuda"
    assert gpu["volumes"] == cpu["volumes"]
    [device] = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


def test_the_places_that_prefect_yaml_names_are_mounted_where_they_are_used() -> None:
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    named = {str(v).removeprefix("file://") for d in deployments for k, v in d["parameters"].items() if k != "night"}
    for name in ("prefect-worker", "dask-worker"):
        mounted = {volume["target"]: volume.get("read_only", False) for volume in SERVICES[name]["volumes"]}
        assert all(any(place == m or place.startswith(f"{m}/") for m in mounted) for place in named)
        assert [target for target, read_only in mounted.items() if not read_only] == ["/srv/lednet/store"]


def test_the_image_runs_as_a_user_without_rights() -> None:
    user = of_kind("USER")[-1].partition(":")[0]
    assert user.isdigit()
    assert int(user) > 999
    assert not any(service.get("user") in ("root", "0") for service in SERVICES.values())


def test_the_image_can_be_asked_how_it_is() -> None:
    assert [check for check in of_kind("HEALTHCHECK") if check != "NONE"]


def test_the_image_copies_what_exists_and_what_the_builder_is_sent() -> None:
    sent = [line[1:] for line in (INFRA / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [source.rstrip("/") for line in of_kind("COPY") for source in line.split()[:-1]]
    assert copied
    for source in copied:
        assert (ROOT / source).exists(), source
        assert any(fnmatch(source, pattern) for pattern in sent), source
    assert {"flows", "lednet", "tasks", "prefect.yaml"} <= set(copied)


def test_the_image_takes_every_direct_dependency_in_the_locks_version() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    locked = {line.partition("==")[0].lower() for line in lock if "==" in line}
    wanted = {re.split(r"[\[<>=!~ ]", dependency)[0].lower() for dependency in [*PROJECT["dependencies"], "setuptools"]}
    assert wanted <= locked
    assert any("-c requirements.lock" in line for line in of_kind("RUN"))


def test_the_base_has_the_oldest_python_that_the_package_supports() -> None:
    [base] = of_kind("FROM")
    assert base.startswith(f"python:{PROJECT['requires-python'].removeprefix('>=')}.")


def test_who_retrains_may_hold_the_clips_that_it_learns_from() -> None:
    limit = DEFAULTS["prefect-worker"]["deploy"]["resources"]["limits"]["memory"]
    assert int(limit.removesuffix("g")) * 2**10 > LearnSettings().all_clips_mb + 2048


def test_the_services_and_a_containers_own_health_are_asked_past_any_proxy() -> None:
    told = dict(word.split("=", 1) for line in of_kind("ENV") for word in line.split())
    asked = {m for s in DEFAULTS.values() for m in re.findall(r"(?:https?|tcp)://([\w.-]+):", yaml.safe_dump(s))}
    assert {"127.0.0.1", "prefect-server", "dask-scheduler"} <= asked
    assert asked <= set(told["NO_PROXY"].split(","))
    assert told["no_proxy"] == told["NO_PROXY"]
