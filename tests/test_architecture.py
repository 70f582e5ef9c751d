"""The one direction: flows -> tasks -> lednet, never back; and lednet needs torch, numpy and OpenCV alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

NEVER_IN_LEDNET = frozenset(
    "prefect prefect_dask dask distributed zarr xarray fsspec s3fs boto3 botocore av pandas pyarrow typer rich "
    "tasks flows".split()
)
IMPORTERS = ("importlib.import_module", "import_module", "__import__")
AT_IMPORT = frozenset({"torch", "numpy", "cv2", "lednet"}) | sys.stdlib_module_names
ON_USE = AT_IMPORT | {"lpips", "onnxruntime", "torchvision"}
"""What a function of lednet may import when it is called."""


def modules_of(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@cache
def imports_of(path: Path) -> tuple[tuple[str, int, bool], ...]:
    """Of each (top-level name of the imported module, line, whether the import runs when the file is imported)."""
    return tuple(read_imports(path))


def read_imports(path: Path) -> Iterator[tuple[str, int, bool]]:
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    inside = {
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    typing_only = {
        node
        for check in ast.walk(tree)
        if isinstance(check, ast.If) and "TYPE_CHECKING" in ast.unparse(check.test)
        for statement in check.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""] if node.level == 0 else [path.relative_to(ROOT).parts[0]]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in IMPORTERS:
            names = [str(a.value) for a in node.args[:1] if isinstance(a, ast.Constant)]
        else:
            continue
        for name in names:
            yield name.partition(".")[0], node.lineno, node not in inside and node not in typing_only


def breaches(room: str, forbidden: frozenset[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules_of(room)
        for name, line, _ in imports_of(path)
        if name in forbidden
    ]


def test_lednet_imports_no_orchestration_storage_or_video_library() -> None:
    assert modules_of("lednet")
    assert breaches("lednet", NEVER_IN_LEDNET) == []


def test_lednet_imports_torch_numpy_and_opencv_alone() -> None:
    assert [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules_of("lednet")
        for name, line, at_import in imports_of(path)
        if name not in (AT_IMPORT if at_import else ON_USE)
    ] == []


def test_tasks_never_import_flows() -> None:
    assert breaches("tasks", frozenset({"flows"})) == []


def test_no_room_imports_the_tests() -> None:
    assert [b for room in ("lednet", "tasks", "flows") for b in breaches(room, frozenset({"tests", "pytest"}))] == []


BLOCKED = """
import sys
for name in {blocked!r}:
    sys.modules[name] = None
from lednet import LEDNet, Restorer
import lednet.bench, lednet.detect, lednet.evaluate_table, lednet.train
"""
SLOW = frozenset({"torch", "prefect", "distributed"})
"""Libraries that take half a second and more to import."""
WITHOUT = """
import sys
import {modules}
sys.exit(" ".join({slow!r} & sys.modules.keys()) or 0)
"""


def run_python(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=600, cwd=folder, check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(folder)},
    )  # fmt: skip


def test_lednet_can_be_imported_where_only_torch_numpy_and_opencv_are(tmp_path: Path) -> None:
    blocked = sorted(
        NEVER_IN_LEDNET | {"lpips", "onnxruntime", "torchvision", "scipy", "skimage", "PIL", "safetensors"}
    )
    done = run_python(BLOCKED.format(blocked=blocked), tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_dask_worker_restores_without_prefect_and_what_facts_need(tmp_path: Path) -> None:
    script = "import sys, tasks.units; print([m for m in ('prefect', 'pandera', 'flows') if m in sys.modules])"
    done = run_python(script, tmp_path)
    assert done.stdout == "[]\n", done.stdout + done.stderr


@pytest.mark.parametrize(
    ("modules", "slow"),
    [("flows.cli, tasks.site, tasks.status", SLOW), ("tasks.decode_worker", SLOW | {"zarr", "pandas", "s3fs"})],
    ids=["a command that only reads", "a decoder"],
)
def test_what_starts_often_does_not_wait_for_what_it_does_not_use(
    modules: str, slow: frozenset[str], tmp_path: Path
) -> None:
    done = run_python(WITHOUT.format(modules=modules, slow=set(slow)), tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_import_scanner_sees_every_kind_of_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "lednet" / "some.py"
    path.parent.mkdir()
    path.write_text(
        "import a.b, c\nfrom d.e import f\nfrom . import g\nimport importlib\nimportlib.import_module('h.i')\n"
        "def use():\n    import j\nif TYPE_CHECKING:\n    import k\n"
    )
    seen = imports_of(path)
    assert {name for name, _, at_import in seen if at_import} == {"a", "c", "d", "lednet", "importlib", "h"}
    assert {name for name, _, at_import in seen if not at_import} == {"j", "k"}
