"""LEDNet: joint low-light enhancement and deblurring of night video. The science, usable alone.

    from lednet import LEDNet, Restorer
    Restorer("small").restore(frames)        # uint8 [n, h, w, 3] sRGB -> the same

Where do I go to ...?
    see the network            lednet.model, lednet.attention
    restore frames             lednet.restorer; on a GPU also lednet.transfer, lednet.compiled
    restore video steadily     lednet.video, lednet.temporal; how steadily: lednet.steadiness
    load or save weights       lednet.checkpoint
    run it without torch       lednet.export (to ONNX)
    make degraded pairs        lednet.degrade, lednet.clips
    train                      lednet.train, lednet.losses
    measure with a reference   lednet.metrics (PSNR, SSIM, MAE), lednet.lpips_metric, lednet.detect (is more found?)
    measure without            lednet.quality (every frame of a night), lednet.noreference (NIQE, BRISQUE, LOE, flicker)
    measure one picture        lednet.measure
    measure speed              lednet.bench
    judge a checkpoint         lednet.validate
    compare with other methods lednet.evaluate_table; the methods: lednet.baselines.registry; its frames, figures and
                               pictures: lednet.table_pairs, lednet.table_figures, lednet.table_sheet

Imports torch, numpy and OpenCV; never orchestration, storage or video-container libraries.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lednet.model import LEDNet
    from lednet.restorer import Restorer

__all__ = ["LEDNet", "Restorer"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Imported when asked for: torch takes seconds, and much of what imports this package needs none of it.
    if name == "LEDNet":
        from lednet.model import LEDNet

        return LEDNet
    if name == "Restorer":
        from lednet.restorer import Restorer

        return Restorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
