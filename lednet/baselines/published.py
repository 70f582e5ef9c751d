"""Published state dicts, and the layers that are read from them by name.

The networks beside this file (`zero_dce`, `sci`, `iat`, `flol`) are written as functions over such a dict, from their
papers: they restore and do not train. Files are opened with `weights_only`, so nothing in them can run code.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from lednet.losses import WeightsMissingError

NO_PARAMETERS = ("running_mean", "running_var", "num_batches_tracked")

LEAST = 1e-30
"""Weight decay left smaller numbers in dead filters, and CPUs multiply denormal numbers thirty times slower."""


class Published:
    """The tensors of one published file.

    Args:
        folder: where the weights are, or None if the user named no folder.
        file: the file's name in it.
        prefix: only tensors whose name begins so, which is cut off.

    Raises:
        WeightsMissingError: if there is no such file.
        ValueError: if it is not a state dict, or (at use) a tensor is not in it.
    """

    def __init__(self, folder: Path | None, file: str, device: torch.device, prefix: str = "") -> None:
        if folder is None:
            raise WeightsMissingError(f"no weights: name the folder that holds {file} by --weights")
        self.path = folder / file
        if not self.path.is_file():
            raise WeightsMissingError(f"no weights at {self.path}")
        try:
            state = torch.load(self.path, map_location=device, weights_only=True)
            tensors = dict(state.get("params", state))
            self.tensors: dict[str, Tensor] = {
                name[len(prefix) :]: value.where(value.abs() > LEAST, torch.zeros_like(value))
                for name, value in tensors.items()
                if name.startswith(prefix)
            }
        except Exception as error:  # torch raises whatever unpickling and its zip reader raise
            cause = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(f"{self.path}: not a PyTorch state dict ({cause}); copy it again") from error

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.tensors:
            raise ValueError(f"{self.path}: holds no {name}, so it is not this network's weights")
        return self.tensors[name]

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def parameters(self, without: str = " ") -> int:
        """How many numbers were trained, but for tensors whose name begins with `without`."""
        return sum(
            t.numel()
            for name, t in self.tensors.items()
            if not name.endswith(NO_PARAMETERS) and not name.startswith(without)
        )

    def conv(self, x: Tensor, name: str, stride: int = 1) -> Tensor:
        """Convolution that keeps the size (or divides it by `stride`); groups follow from the weight's shape."""
        weight = self[f"{name}.weight"]
        padding = weight.shape[-1] // 2
        return F.conv2d(x, weight, self[f"{name}.bias"], stride, padding, groups=x.shape[1] // weight.shape[1])

    def batch_norm(self, x: Tensor, name: str) -> Tensor:
        """Normalisation with the statistics of training."""
        mean, variance = self[f"{name}.running_mean"], self[f"{name}.running_var"]
        return F.batch_norm(x, mean, variance, self[f"{name}.weight"], self[f"{name}.bias"])

    def layer_norm(self, x: Tensor, name: str, epsilon: float = 1e-5) -> Tensor:
        """Normalisation over the last dimension."""
        weight = self[f"{name}.weight"]
        return F.layer_norm(x, weight.shape, weight, self[f"{name}.bias"], epsilon)

    def linear(self, x: Tensor, name: str) -> Tensor:
        """Linear layer over the last dimension; without a bias where the file holds none."""
        return F.linear(x, self[f"{name}.weight"], self.tensors.get(f"{name}.bias"))
