"""DPDNet's U-Net on a single picture: our reading of "PDPD".

Source: Abuolaim and Brown, "Defocus deblurring using dual-pixel data", ECCV 2020. Guo et al. 2024 compare with "PDPD"
and cite no method that is known by that name; this one is nearest in letters, in year and in task. Its two views of a
dual-pixel sensor are six channels; a surveillance camera has no such sensor, so the input here is the one picture, as
in the single-image variant of the same paper, and the first layer is narrower by 1,728 numbers. It was made to sharpen,
not to brighten; trained on our pairs, as all others are, it does both. The paper's loss is the squared error; here it
is the common one.
"""

from __future__ import annotations

from torch import Tensor, nn

from lednet.baselines.peer import Peer, conv
from lednet.baselines.unet import UNet

DROPOUT = 0.4


class DPDNet(Peer):
    """A U-Net of four halvings."""

    name, title = "dpdnet", "DPDNet, single image (for PDPD)"
    source = "Abuolaim and Brown, ECCV 2020"
    published_parameters = "31.03 M with six input channels (layers of the public code)"
    multiple = 16
    learning_rate = 1e-4
    bytes_per_pixel = 2170

    def __init__(self) -> None:
        super().__init__()
        self.body = UNet(3, (64, 128, 256, 512, 1024), DROPOUT)
        self.narrow, self.image = conv(64, 3), conv(3, 3, 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[n, 3, h, w], sides multiples of 16 -> restored, in [0, 1]."""
        restored: Tensor = self.image(self.narrow(self.body(x)).relu()).sigmoid()
        return restored
