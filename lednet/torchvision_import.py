"""Imports torchvision where its wheel was built for another torch: the one place that knows of this trap.

Wheels of torchvision on PyPI are built against a CUDA torch. Beside a CPU torch their compiled operators can't be
loaded, and `import torchvision` (so `import lpips`) dies with "operator torchvision::nms does not exist", although
nothing here calls those operators. Declaring their names is enough. Not covered: making the operators work; calling one
afterwards still fails, with torch's own error.
"""

from __future__ import annotations

import functools
import importlib
from types import ModuleType

import torch

OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
"""What torchvision's own Python files look up while they are imported."""

_declared: list[torch.library.Library] = []
"""Declarations last as long as their library object does."""


@functools.cache
def import_torchvision() -> ModuleType:
    """The torchvision module.

    Raises:
        ImportError: if it is not installed, or can't be loaded for another reason; install it beside this torch.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        # Declared only after the failure: where the compiled operators do load, declaring them twice is an error.
        if torch.version.cuda is not None or "torchvision::" not in str(error):
            raise ImportError(f"torchvision does not load beside torch {torch.__version__}: {error}") from error
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for schema in OPERATORS:
            library.define(schema)  # type: ignore[no-untyped-call]
        _declared.append(library)
        return importlib.import_module("torchvision")
