"""prefect.yaml as a site uses it: registered by the real commands on a real server, which then plans the runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
import yaml
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import deploy, engine
from tests.flows.conftest import Run
from tests.tasks.night import NIGHT, make_site

ROOT = Path(__file__).resolve().parents[2]
WRITTEN = {d["name"]: d for d in yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]}
NOBODY = "http://127.0.0.1:9/api"
"""Where nothing listens."""
SCHEDULING_S = 240
"""Longest wait for the server to plan the runs of a new deployment; it takes some 5 s."""


@pytest.fixture(scope="module")
def deployments(server: str, tmp_path_factory: pytest.TempPathFactory, lednet_here: Run) -> dict[str, dict[str, Any]]:
    """What the server knows after the command that prefect.yaml names, by deployment."""
    folder = tmp_path_factory.mktemp("deploy")
    known = engine.QUIET | {"PREFECT_API_URL": server, "PREFECT_HOME": str(folder / "home")}
    with pytest.MonkeyPatch.context() as patch:
        # So that the process that looks at the flows finds them in the installed package, as a worker does.
        patch.chdir(folder)
        done = lednet_here("deploy", str(ROOT / "prefect.yaml"), **known)
    assert done.returncode == 0, done.stdout + done.stderr
    found = httpx.post(f"{server}/deployments/filter", json={}, timeout=120).json()
    return {d["name"]: d for d in found if d["name"] in WRITTEN}


@pytest.fixture(scope="module")
def planned(server: str, deployments: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The runs that the server has planned of those with a schedule."""
    wanted = {deployment["id"] for deployment in deployments.values() if deployment["schedules"]}
    of_them = {"deployments": {"id": {"any_": sorted(wanted)}}}
    deadline = time.monotonic() + SCHEDULING_S
    while True:
        runs: list[dict[str, Any]] = httpx.post(f"{server}/flow_runs/filter", json=of_them, timeout=120).json()
        if {run["deployment_id"] for run in runs} == wanted or time.monotonic() > deadline:
            return runs
        time.sleep(0.5)


def test_every_deployment_of_the_file_is_registered(deployments: dict[str, dict[str, Any]]) -> None:
    assert set(deployments) == set(WRITTEN)


def test_every_flow_that_runs_by_itself_is_deployed() -> None:
    flows = {path.stem for path in (ROOT / "flows").glob("*.py") if "\n@flow(" in path.read_text(encoding="utf-8")}
    assert {d["entrypoint"].rsplit(".", 2)[1] for d in WRITTEN.values()} == flows


def test_each_runs_on_the_pool_of_processes_without_fetching_code(deployments: dict[str, dict[str, Any]]) -> None:
    for deployment in deployments.values():
        assert deployment["work_pool_name"] == "lednet"
        assert not deployment["pull_steps"]


def test_each_entrypoint_is_the_flow_that_a_worker_would_load(deployments: dict[str, dict[str, Any]]) -> None:
    from prefect import Flow
    from prefect.flows import load_flow_from_entrypoint

    for name, deployment in deployments.items():
        loaded = load_flow_from_entrypoint(deployment["entrypoint"])
        assert isinstance(loaded, Flow)
        assert loaded.name == name


@pytest.mark.parametrize(("name", "at"), [("enhance-night", "06:05"), ("evaluate", "07:45")])
def test_the_server_plans_every_morning_in_the_sites_time(
    name: str, at: str, deployments: dict[str, dict[str, Any]], planned: list[dict[str, Any]]
) -> None:
    deployment = deployments[name]
    [schedule] = deployment["schedules"]
    assert schedule["active"]
    assert schedule["schedule"]["timezone"] == "Asia/Shanghai"
    starts = sorted(
        datetime.fromisoformat(run["expected_start_time"]).astimezone(ZoneInfo("Asia/Shanghai"))
        for run in planned if run["deployment_id"] == deployment["id"]
    )  # fmt: skip
    assert len(starts) > 1
    assert {f"{start:%H:%M}" for start in starts} == {at}
    assert len({start.date() for start in starts}) == len(starts)


def test_nothing_runs_twice_at_once_and_no_night_is_lost(deployments: dict[str, dict[str, Any]]) -> None:
    for name, deployment in deployments.items():
        assert deployment["global_concurrency_limit"]["limit"] == 1
        waits = "CANCEL_NEW" if name == "watch-gopro" else "ENQUEUE"
        assert deployment["concurrency_options"]["collision_strategy"] == waits


def test_the_parameters_are_typed_for_the_page_and_the_api(deployments: dict[str, dict[str, Any]]) -> None:
    night = deployments["enhance-night"]["parameter_openapi_schema"]
    assert night["required"] == ["night", "site", "archive", "store_url"]
    assert {night["properties"][name]["type"] for name in night["required"]} == {"string"}
    assert {"type": "array", "items": {"type": "string"}} in night["properties"]["cameras"]["anyOf"]
    report = deployments["evaluate"]["parameter_openapi_schema"]
    assert report["required"] == ["night", "site", "store_url"]
    assert report["properties"]["outcomes"]["items"] == {"$ref": "#/definitions/CameraNight"}


def test_what_the_schedules_pass_fits_the_flows(deployments: dict[str, dict[str, Any]]) -> None:
    for deployment in deployments.values():
        assert deployment["enforce_parameter_schema"]
        schema = deployment["parameter_openapi_schema"]
        assert set(schema.get("required", ())) <= set(deployment["parameters"]) <= set(schema["properties"])
        assert deployment["parameters"].get("night", "last") == "last"


def test_locations_are_urls_since_a_run_starts_in_an_empty_folder(deployments: dict[str, dict[str, Any]]) -> None:
    for deployment in deployments.values():
        places = {name: value for name, value in deployment["parameters"].items() if name != "night"}
        assert places
        assert all("://" in url for url in places.values()), places


def test_a_run_with_a_parameter_of_a_wrong_type_is_refused(server: str, deployments: dict[str, dict[str, Any]]) -> None:
    url = f"{server}/deployments/{deployments['evaluate']['id']}/create_flow_run"
    answer = httpx.post(url, json={"parameters": {"night": 20260115}}, timeout=120)
    assert answer.status_code == 409, answer.text
    assert "night" in answer.text


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_a_run_with_a_misspelt_parameter_is_refused(
    name: str, server: str, deployments: dict[str, dict[str, Any]]
) -> None:
    url = f"{server}/deployments/{deployments[name]['id']}/create_flow_run"
    answer = httpx.post(url, json={"parameters": {"stor_url": "file:///srv/other"}}, timeout=120)
    assert answer.status_code == 409, answer.text
    assert "stor_url" in answer.text


def test_a_run_that_starts_days_late_does_the_night_that_it_was_due_for(server: str, tmp_path: Path) -> None:
    from prefect.client.orchestration import get_client
    from prefect.flow_engine import run_flow
    from prefect.states import Scheduled

    from flows.evaluate import report

    site = make_site(tmp_path)
    site.folder.mkdir()
    (tmp_path / "cameras.toml").write_text(one_camera(site.settings.checkpoint))
    places = {"site": str(tmp_path / "cameras.toml"), "store_url": site.store}
    late: Any = Scheduled(scheduled_time=datetime(2026, 1, 16, 6, 5, tzinfo=ZoneInfo("UTC")))
    with temporary_settings({PREFECT_API_URL: server}):
        with get_client(sync_client=True) as client:
            run = client.create_flow_run(report, parameters={"night": "last"} | places, state=late)
        url = run_flow(report, flow_run=run, parameters={"night": "last"} | places)
    assert f"/reports/{NIGHT}/" in str(url)


def one_camera(weights: str) -> str:
    return (
        f'[settings]\ncheckpoint = "{weights}"\n[[camera]]\nid = "pit"\nname = "Pit"\nscene = "outdoor"\n'
        'timezone = "UTC"\npattern = "pit/%Y-%m-%d/%H%M%S.*"\nrate = 5\nstart = "22:00"\nend = "22:00:07"\n'
    )


@pytest.fixture
def old(server: str) -> Iterator[dict[str, Any]]:
    """A deployment of an earlier file: two schedules of its own, one of Prefect's page, a misspelt parameter."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.schedules import CronSchedule

    when = CronSchedule(cron="5 6 * * *")
    with temporary_settings({PREFECT_API_URL: server}), get_client(sync_client=True) as client:
        number = client.create_deployment(
            client.create_flow_from_name("by-hand"), "old",
            schedules=[DeploymentScheduleCreate(schedule=when, slug=slug) for slug in ("nightly", "morning", None)],
            parameters={"archiv": "x"},
            parameter_openapi_schema={"type": "object", "properties": {"archive": {}, "night": {}}},
            enforce_parameter_schema=False,
        )  # fmt: skip
        yield client.request("GET", "/deployments/{id}", path_params={"id": number}).json()
        client.delete_deployment(number)


def test_a_schedule_that_the_file_names_no_more_ends(server: str, old: dict[str, Any]) -> None:
    from prefect.client.orchestration import get_client

    with temporary_settings({PREFECT_API_URL: server}), get_client(sync_client=True) as client:
        deploy._end_other_schedules(client, old, {"morning"})
        now = client.request("GET", "/deployments/{id}", path_params={"id": old["id"]}).json()
    assert {schedule["slug"] for schedule in now["schedules"]} == {"morning", None}


def test_a_misspelt_parameter_of_the_file_is_named_with_the_known_ones(server: str, old: dict[str, Any]) -> None:
    from prefect.client.orchestration import get_client

    with temporary_settings({PREFECT_API_URL: server}), get_client(sync_client=True) as client:
        assert deploy._refuse_unknown_parameters(client, old) == ["old has no parameter archiv, but archive, night"]


def test_what_prefect_deploy_says_of_a_wrong_file_is_one_plain_line(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", server)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    file = tmp_path / "mine.yaml"
    file.write_text(
        "deployments: [{name: nights, entrypoint: tests.flows.landing.note, work_pool: {name: nowhere}}]\npull: []\n"
    )
    with pytest.raises(engine.EngineError, match=r"mend it there: [^\n─]*work pool 'nowhere' which does not[^\n─]*$"):
        deploy._prefect_deploy(file)


@pytest.mark.parametrize("url", ["hooks.example/secret", "file:///secret"])
def test_a_webhook_that_is_none_is_refused_and_not_repeated(url: str) -> None:
    with temporary_settings({PREFECT_API_URL: NOBODY}), pytest.raises(engine.EngineError, match="http://") as error:
        deploy.deploy(ROOT / "prefect.yaml", url)
    assert "secret" not in str(error.value)


def test_a_url_that_is_no_api_of_prefects_is_told(server: str) -> None:
    wrong = server.removesuffix("/api")
    with temporary_settings({PREFECT_API_URL: wrong}), pytest.raises(engine.EngineError, match="404 Not Found"):
        deploy.deploy(ROOT / "prefect.yaml")


def test_a_schedule_without_a_slug_is_refused_for_no_edit_could_replace_it(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text('deployments: [{name: nights, schedules: [{cron: "5 6 * * *"}]}]')
    with temporary_settings({PREFECT_API_URL: NOBODY}), pytest.raises(engine.EngineError, match="nights has no `slug`"):
        deploy.deploy(file)


def test_two_deployments_of_one_name_are_refused_for_one_would_lose_its_schedules(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    nightly = [f'{{name: nightly, schedules: [{{slug: {slug}, cron: "5 6 * * *"}}]}}' for slug in ("night", "morning")]
    file.write_text(f"deployments: [{', '.join(nightly)}]")
    with temporary_settings({PREFECT_API_URL: NOBODY}), pytest.raises(engine.EngineError, match="nightly stands twice"):
        deploy.deploy(file)


@pytest.mark.parametrize("written", ["deployments: [", "[]", "name: lednet", "deployments: [{entrypoint: x}]", "\t"])
def test_a_file_that_describes_no_deployments_is_named_with_the_next_step(
    written: str, tmp_path: Path, lednet_here: Run
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(written)
    with temporary_settings({PREFECT_API_URL: NOBODY}):
        result = lednet_here("deploy", str(file))
    assert result.returncode == 1
    assert f"{file}: " in result.stderr
    assert "name a copy of prefect.yaml" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_that_is_not_there_is_named_with_the_next_step(tmp_path: Path) -> None:
    with temporary_settings({PREFECT_API_URL: NOBODY}), pytest.raises(engine.EngineError, match="cannot be read"):
        deploy.deploy(tmp_path / "none.yaml")


def test_deploying_to_a_server_that_does_not_answer_names_it(lednet_here: Run) -> None:
    with temporary_settings({PREFECT_API_URL: NOBODY}):
        result = lednet_here("deploy", str(ROOT / "prefect.yaml"))
    assert result.returncode == 1
    assert f"PREFECT_API_URL={NOBODY}: no Prefect server answers there" in result.stderr
    assert "Traceback" not in result.stderr


def test_deploying_without_a_server_says_what_to_set(lednet_here: Run) -> None:
    with temporary_settings(restore_defaults={PREFECT_API_URL}):  # Prefect has read the environment already
        result = lednet_here("deploy", str(ROOT / "prefect.yaml"))
    assert result.returncode == 1
    assert "PREFECT_API_URL is not set" in result.stderr
