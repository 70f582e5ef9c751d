"""A site on this machine without containers: what compose.yaml runs as plain processes, the demo's footage on S3.

    python -m infra.local_stack up FOLDER        # returns when everything is healthy, and says how to use it
    python -m infra.local_stack down FOLDER      # ends every process of it

Commands, environments and health checks are read from compose.yaml; names of hosts, ports and folders alone are put in
for this machine. PostgreSQL is used where LEDNET_STACK_DATABASE names one (postgresql+asyncpg://USER@HOST:PORT/NAME),
else Prefect's own SQLite file. With AWS_ENDPOINT_URL set, that object store is used; otherwise moto's server stands in
for one: it speaks S3 over HTTP, keeps everything in memory and accepts any key, so that nothing about credentials is
shown by it. Workers offer a GPU where CUDA is.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import yaml

from tasks import listing, storage
from tasks.demo import build_demo_archive

INFRA = Path(__file__).resolve().parent
BUCKET = "s3://lednet"
MARK = "LEDNET_STACK"
"""A variable in the environment of every process of a stack, and of all that they start."""
HEALTHY_S = 600
STOP_S = 20
PORTS = ("4200", "8786", "8787", "8788", "8080")
"""Of compose.yaml's services, inside their containers."""
HOSTS = ("prefect-server", "dask-scheduler", "postgres", "0.0.0.0")
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*)|:\?[^}]*)?\}")

Service = dict[str, Any]


class StackError(RuntimeError):
    """The stack can't be started; the message says which part and where its words are."""


def services() -> dict[str, Service]:
    """The services of compose.yaml, with this environment's values or the defaults filled in."""
    text = (INFRA / "compose.yaml").read_text(encoding="utf-8")
    filled = VARIABLE.sub(lambda m: os.environ.get(m[1]) or m[2] or "", text)
    found: dict[str, Service] = yaml.safe_load(filled)["services"]
    return found


class Stack:
    """The processes of one stack, in a folder that keeps their logs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.mark = uuid.uuid4().hex
        self.ports = {port: str(_free_port()) for port in PORTS}
        self.services = services()
        self.storage = _object_store()

    def here(self, text: str) -> str:
        """A command's word or a variable's value of a container, as it is on this machine."""
        for host in HOSTS:
            text = text.replace(host, "127.0.0.1")
        text = re.sub(rf"(?<!\d)({'|'.join(PORTS)})(?!\d)", lambda m: self.ports[m[1]], text)
        return re.sub(r"^(--\S+=)?/tmp(?=/|$)", lambda m: f"{m[1] or ''}{self.folder}", text)

    def command(self, name: str) -> list[str]:
        """A service's command line on this machine."""
        program, *arguments = [self.here(str(word)) for word in self.services[name]["command"]]
        return [str(Path(sys.executable).parent / program), *arguments]

    def environment(self, name: str) -> dict[str, str]:
        """What a service's process finds in its environment."""
        told = {
            k: self.here(str(v)) for k, v in (self.services[name].get("environment") or {}).items() if v is not None
        }
        told = {k: v for k, v in told.items() if not k.startswith("PREFECT_SERVER_DATABASE")}
        database = os.environ.get("LEDNET_STACK_DATABASE")
        if name == "prefect-server" and database:
            told["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database
        fixed = {
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_CLI_PROMPT": "false",
            "PREFECT_WORKER_WEBSERVER_HOST": "127.0.0.1",
            "PREFECT_WORKER_WEBSERVER_PORT": self.ports["8080"],
            "DO_NOT_TRACK": "1",
            MARK: self.mark,
        }
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "LEDNET_"))}
        return kept | fixed | self.storage | told

    def start(self, name: str, command: list[str] | None = None) -> subprocess.Popen[bytes]:
        """Start a service, or a command of ours under its name."""
        environment = self.environment(name) if name in self.services else self.environment("deploy")
        with open(self.folder / f"{name}.log", "wb") as log:
            return subprocess.Popen(
                command or self.command(name),
                cwd=self.folder, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip

    def wait_for(self, name: str, process: subprocess.Popen[bytes]) -> None:
        """Ask a service's own health check until it is content. Raises StackError if it never is."""
        _, program, *arguments = [self.here(str(word)) for word in self.services[name]["healthcheck"]["test"]]
        check = [str(Path(sys.executable).parent / program), *arguments]
        deadline = time.monotonic() + HEALTHY_S
        while subprocess.run(check, capture_output=True, check=False).returncode:
            if process.poll() is not None or time.monotonic() > deadline:
                raise StackError(f"{name} is not healthy; its words are in {self.folder / name}.log")
            time.sleep(1)

    def describe(self) -> dict[str, str]:
        """The variables with which `lednet` and `prefect` work with this stack; keys that were given stay where they
        are."""
        return {k: v for k, v in self.storage.items() if k not in os.environ} | {
            "PREFECT_API_URL": self.here("http://prefect-server:4200/api"),
            "LEDNET_SCHEDULER": self.here("tcp://dask-scheduler:8786"),
            "LEDNET_SITE": f"{BUCKET}/cameras.toml",
            "LEDNET_ARCHIVE": f"{BUCKET}/archive",
            "LEDNET_STORE": f"{BUCKET}/store",
        }


def up(folder: Path, **footage: Any) -> dict[str, str]:
    """Start a stack; returns the variables with which to use it.

    Args:
        footage: passed to `tasks.demo.build_demo_archive`.

    Raises:
        StackError: if a part of it does not start; what did start is ended again.
    """
    if (folder / "stack.json").exists():
        raise StackError(f"{folder}: a stack runs there; python -m infra.local_stack down {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    stack = Stack(folder)
    (stack.folder / "stack.json").write_text(json.dumps({"mark": stack.mark}))
    try:
        _start_all(stack, footage)
    except BaseException:
        down(folder)
        raise
    told = stack.describe()
    (stack.folder / "environment").write_text("".join(f"export {name}='{value}'\n" for name, value in told.items()))
    return told


def _start_all(stack: Stack, footage: dict[str, Any]) -> None:
    if "AWS_ENDPOINT_URL" not in os.environ:
        port = stack.storage["AWS_ENDPOINT_URL"].rpartition(":")[2]
        moto = str(Path(sys.executable).parent / "moto_server")
        _wait_for_port(int(port), stack.start("object-store", [moto, "--host", "127.0.0.1", "--port", port]))
    server, scheduler = stack.start("prefect-server"), stack.start("dask-scheduler")
    with _variables(stack.storage):
        load_demo(stack.folder, footage)
    places = (INFRA.parent / "prefect.yaml").read_text(encoding="utf-8").replace("file:///srv/lednet", BUCKET)
    (stack.folder / "prefect.yaml").write_text(places)
    stack.wait_for("prefect-server", server)
    stack.wait_for("dask-scheduler", scheduler)
    dask = "dask-worker-gpu" if _has_gpu() else "dask-worker"
    dask_worker = stack.start(dask)
    if stack.start("deploy").wait(HEALTHY_S):
        raise StackError(f"the deployments were refused; the words are in {stack.folder / 'deploy.log'}")
    prefect_worker = stack.start("prefect-worker")
    stack.wait_for(dask, dask_worker)
    stack.wait_for("prefect-worker", prefect_worker)


def load_demo(folder: Path, footage: dict[str, Any]) -> None:
    """Film the demo's night, and put its archive and cameras.toml into the bucket; makes that where it is missing."""
    storage.filesystem(BUCKET)[0].makedirs(BUCKET, exist_ok=True)
    filmed = build_demo_archive(folder / "filmed", **footage)
    storage.write(f"{BUCKET}/cameras.toml", filmed.cameras_toml.read_bytes())
    for entry in listing.find(filmed.archive):
        name = storage.relative(entry.url, filmed.archive)
        storage.write(storage.join(BUCKET, "archive", name), storage.read(entry.url))


def down(folder: Path) -> int:
    """End every process of a stack, asked first and then killed; returns how many there were."""
    noted = folder / "stack.json"
    if not noted.exists():
        return 0
    mark = json.loads(noted.read_text())["mark"]
    found = members(mark)
    for process in found:
        with suppress(psutil.Error):
            process.terminate()
    _, stubborn = psutil.wait_procs(found, timeout=STOP_S)
    # What was started while the others ended is found by a second look.
    for process in {*stubborn, *members(mark)}:
        with suppress(psutil.Error):
            process.kill()
            process.wait(STOP_S)
    noted.unlink()
    return len(found)


def members(mark: str) -> list[psutil.Process]:
    """The processes that carry a stack's mark, however they were started and whoever their parent is now."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):  # another user's, or just ended
            continue
    return found


def _object_store() -> dict[str, str]:
    """The variables of the object store: those of this environment, or of a server that is to be started."""
    if "AWS_ENDPOINT_URL" in os.environ:
        return {k: v for k, v in os.environ.items() if k.startswith("AWS_")}
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{_free_port()}",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "stack",
        "AWS_SECRET_ACCESS_KEY": "stack",
    }


@contextmanager
def _variables(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + HEALTHY_S
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise StackError("the object store's stand-in did not start; see object-store.log, and pip install 'moto[server]'")


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def main(arguments: list[str]) -> int:
    """`up FOLDER` or `down FOLDER`; returns the exit code."""
    if len(arguments) != 2 or arguments[0] not in ("up", "down"):
        print(__doc__)
        return 2
    folder = Path(arguments[1])
    if arguments[0] == "down":
        print(f"{folder}: {down(folder)} processes ended")
        return 0
    try:
        told = up(folder)
    except (StackError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"page of Prefect    {told['PREFECT_API_URL'].removesuffix('/api')}")
    print(f"object store       {told.get('AWS_ENDPOINT_URL') or os.environ['AWS_ENDPOINT_URL']}, bucket {BUCKET}")
    print(f"use it             . {folder}/environment && prefect deployment run enhance-night/enhance-night --watch")
    print(f"stop it            python -m infra.local_stack down {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
