"""torchvision is imported beside a CPU torch, and any other failure is named."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest
import torch

from lednet.torchvision_import import import_torchvision


def test_torchvision_and_lpips_import_in_a_fresh_process() -> None:
    script = (
        "from lednet.torchvision_import import import_torchvision as t\n"
        "assert t() is t() and t().models.alexnet\nimport lpips"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("error", "cuda"), [("undefined symbol: some", None), ("operator torchvision::nms does not exist", "12.8")]
)
def test_other_failures_are_an_import_error_that_says_why(
    error: str, cuda: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str) -> None:
        raise RuntimeError(error)

    monkeypatch.setattr(importlib, "import_module", fail)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    with pytest.raises(ImportError, match=f"torchvision does not load beside torch .*{error}"):
        import_torchvision.__wrapped__()
