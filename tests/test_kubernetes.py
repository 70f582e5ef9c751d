"""The Kubernetes manifests: valid by Kubernetes' own schemas, the same commands as compose.yaml's, and nothing opened.

Read from the files: there is no cluster here. `infra.local_stack` runs compose.yaml's commands; `tests/test_infra.py`
and `tests/test_local_stack.py` hold that.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra import local_stack
from tasks.settings import LearnSettings

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "infra" / "kubernetes").glob("*.yaml"))
OBJECTS: list[dict[str, Any]] = [o for f in FILES for o in yaml.safe_load_all(f.read_text(encoding="utf-8"))]
NAMED = {(o["kind"], o["metadata"]["name"]): o for o in OBJECTS}
SERVICES = ("prefect-server", "deploy", "prefect-worker", "dask-scheduler", "dask-worker", "dask-worker-gpu")
"""Of compose.yaml, those that run our image."""
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|_KEY|CREDENTIAL|ALARM_URL", re.IGNORECASE)
OLDEST = "1.31"
"""The oldest Kubernetes that the manifests are checked against; the newest is the validator's own."""


def pods() -> dict[str, dict[str, Any]]:
    """Every pod's specification, by the name of what starts it."""
    return {o["metadata"]["name"]: o["spec"]["template"]["spec"] for o in OBJECTS if "template" in o.get("spec", {})}


def container(name: str) -> dict[str, Any]:
    [only] = pods()[name]["containers"]
    found: dict[str, Any] = only
    return found


@pytest.fixture(autouse=True)
def defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """compose.yaml as it is when a site sets nothing."""
    for name in [n for n in os.environ if n.startswith(("LEDNET_", "AWS_"))]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("version", [OLDEST, None], ids=["oldest", "newest"])
def test_every_object_fits_the_schemas_of_kubernetes(version: str | None) -> None:
    tool = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    for described in OBJECTS:
        tool.validate(described, version or tool.latest_version(), strict=True)


def test_an_object_that_does_not_fit_is_found() -> None:
    tool = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    wrong = NAMED["Service", "dask-scheduler"] | {"spec": {"ports": [{"port": "many"}]}}
    with pytest.raises(tool.ValidationError):
        tool.validate(wrong, OLDEST, strict=True)


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_run_is_what_compose_and_the_local_stack_run(name: str) -> None:
    theirs = local_stack.services()[name]
    ours = container(name)
    assert ours["args"] == [str(word) for word in theirs["command"]]
    assert "command" not in ours
    assert ours["image"] == theirs["image"]


@pytest.mark.parametrize("name", [*SERVICES, "postgres"])
def test_its_health_is_asked_as_compose_asks(name: str) -> None:
    theirs = local_stack.services()[name].get("healthcheck")
    asked = [container(name).get(probe) for probe in ("startupProbe", "livenessProbe", "readinessProbe")]
    if theirs is None:
        assert asked == [None] * 3  # it ends by itself
        return
    assert [probe["exec"]["command"] for probe in asked if probe] == [theirs["test"][1:]] * 3


@pytest.mark.parametrize("name", [*SERVICES, "postgres"])
def test_it_is_told_what_compose_tells_it(name: str) -> None:
    theirs = local_stack.services()[name].get("environment") or {}
    ours = {e["name"]: e for e in container(name).get("env", [])}
    for variable, value in theirs.items():
        if variable.startswith("AWS_"):
            assert container(name)["envFrom"] == [{"secretRef": {"name": "lednet-object-store"}}]
        elif SECRET.search(variable):
            assert "secretKeyRef" in ours[variable]["valueFrom"]
        else:
            assert ours[variable]["value"] == value, variable
    assert set(ours) - set(theirs) <= {"PGDATA"}


def test_no_secret_stands_in_a_file() -> None:
    assert not [name for kind, name in NAMED if kind == "Secret"]
    for name in pods():
        for variable in container(name).get("env", []):
            assert not SECRET.search(variable["name"]) or "valueFrom" in variable, (name, variable)


def test_every_pod_runs_without_rights_and_within_bounds() -> None:
    assert set(pods()) == {*SERVICES, "postgres"}
    for name, pod in pods().items():
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["enableServiceLinks"] is False, name
        allowed = container(name)["securityContext"]
        assert allowed == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        bounds = container(name)["resources"]
        assert {"cpu", "memory"} <= set(bounds["limits"]) & set(bounds["requests"]), name
    labels = NAMED["Namespace", "lednet"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_gpu_workers_are_a_fixed_group_with_one_gpu_each() -> None:
    group = NAMED["Deployment", "dask-worker-gpu"]["spec"]
    assert group["replicas"] > 0
    limits = container("dask-worker-gpu")["resources"]["limits"]
    assert limits["nvidia.com/gpu"] == "1"
    assert "--resources=GPU=1" in container("dask-worker-gpu")["args"]
    assert NAMED["Deployment", "dask-worker"]["spec"]["replicas"] == 0
    assert not [kind for kind, _ in NAMED if kind == "HorizontalPodAutoscaler"]


def test_a_worker_may_use_the_memory_that_dask_lets_it_have() -> None:
    for name in ("dask-worker", "dask-worker-gpu"):
        [limit] = [word.partition("=")[2] for word in container(name)["args"] if word.startswith("--memory-limit")]
        gibibytes = container(name)["resources"]["limits"]["memory"]
        assert int(limit.removesuffix("g")) * 1e9 < int(gibibytes.removesuffix("Gi")) * 2**30


def test_who_retrains_may_hold_the_clips_that_it_learns_from() -> None:
    limit = container("prefect-worker")["resources"]["limits"]["memory"]
    assert int(limit.removesuffix("Gi")) * 2**10 > LearnSettings().all_clips_mb + 2048


def test_who_is_called_is_a_service_that_selects_its_pods() -> None:
    for host, port in (("prefect-server", 4200), ("dask-scheduler", 8786), ("postgres", 5432)):
        spec = NAMED["Service", host]["spec"]
        assert [p["port"] for p in spec["ports"]] == [port]
        assert spec.get("type", "ClusterIP") == "ClusterIP"
        labels = next(o for o in OBJECTS if o["metadata"]["name"] == host and "template" in o.get("spec", {}))
        assert spec["selector"].items() <= labels["spec"]["template"]["metadata"]["labels"].items()


def selected(selector: dict[str, Any]) -> set[str]:
    """The pods of ours that a policy's selector means."""
    key = "app.kubernetes.io/name"
    if "matchLabels" in selector:
        return {selector["matchLabels"][key]}
    if "matchExpressions" in selector:
        [expression] = selector["matchExpressions"]
        assert (expression["key"], expression["operator"]) == (key, "In")
        return set(expression["values"])
    return set(pods())


def callers(name: str) -> set[str]:
    """The pods that may reach another's."""
    found: set[str] = set()
    for (kind, _), policy in NAMED.items():
        if kind == "NetworkPolicy" and name in selected(policy["spec"]["podSelector"]):
            for rule in policy["spec"].get("ingress", []):
                assert all(set(peer) == {"podSelector"} for peer in rule["from"]), "from this namespace alone"
                found |= {pod for peer in rule["from"] for pod in selected(peer["podSelector"])}
    return found


def test_nothing_is_reached_but_by_those_who_need_it() -> None:
    everything = NAMED["NetworkPolicy", "nothing-by-default"]["spec"]
    assert everything == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    dask = {"dask-scheduler", "dask-worker", "dask-worker-gpu"}
    assert callers("postgres") == {"prefect-server"}
    assert callers("prefect-server") == {"deploy", "prefect-worker", "dask-worker", "dask-worker-gpu"}
    assert callers("dask-scheduler") == callers("dask-worker-gpu") == dask | {"prefect-worker"}
    assert callers("deploy") == callers("prefect-worker") == set()
    assert not [kind for kind, _ in NAMED if kind == "Ingress"]


def test_the_names_in_policies_are_pods_of_ours() -> None:
    for (kind, name), policy in NAMED.items():
        if kind == "NetworkPolicy":
            assert selected(policy["spec"]["podSelector"]) <= set(pods()), name
