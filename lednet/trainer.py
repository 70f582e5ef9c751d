"""The training run: the loop, exact resume and the exported checkpoint.

Pairs are synthesised on the fly on the training device, a batch ahead, so that neither disk nor synthesis limits it.
The light comes first: the tone curve is trained alone, which takes minutes, and then kept; the rest of the network
learns what a curve can't do. Not covered: the settings (`lednet.train_settings`), the command line (`lednet.train`),
what held-out clips say of it (`lednet.held_out`), what several processes say to each other (`lednet.ranks`), the times
of a line of its log (`lednet.interval`).
"""

from __future__ import annotations

import io
import json
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lednet import checkpoint
from lednet.ahead import BatchesAhead
from lednet.clips import Clip, PairSampler
from lednet.cost import flops_of_pass
from lednet.curves import curves_picture, read_metrics
from lednet.degrade import find_recipe
from lednet.growth import grow
from lednet.held_out import HeldOutPairs
from lednet.inference import multiplies_bf16
from lednet.interval import Interval
from lednet.legs import IN_ALL, in_all, legs_before
from lednet.losses import NO_STATE, LEDNetLoss, VGG19Features
from lednet.metrics import psnr, ssim
from lednet.model import SIDE_SCALE, LEDNet
from lednet.ranks import Ranks
from lednet.roofline import most_flops_per_s
from lednet.train_settings import TrainSettings, learning_rate, stage_at

log = logging.getLogger("lednet.train")

PASSES = 3
"""What learning from a batch costs, in passes forward: the gradients take two more."""

LEAST_SIDE, LEAST_SIDE_FOR_VGG19 = 2, 4
"""Of the side image, in pixels: VGG19 halves it twice before its last features."""


def update_average(average: torch.nn.Module, model: torch.nn.Module, step: int, decay: float) -> None:
    """Exponential moving average of the weights, with a shorter memory in the first steps."""
    decay = min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
        for kept, seen in zip(average.buffers(), model.buffers(), strict=True):
            kept.copy_(seen)


class Trainer:
    """One training run: model, moving average, optimiser, random state and position, all resumable.

    All random state, of the pairs and of torch (for dropout), is part of the saved state, so that an interrupted run
    goes on exactly where it was (to the bit on the CPU).
    """

    views = True
    """Whether the light's steps are on whole frames."""

    def __init__(
        self,
        settings: TrainSettings,
        clips: Sequence[Clip],
        held_out: Sequence[Clip],
        device: torch.device,
        features: VGG19Features | None,
        out: Path,
        origin: tuple[LEDNet, checkpoint.Card] | None = None,
        ranks: Ranks = Ranks(),  # noqa: B008 - frozen
    ) -> None:
        torch.manual_seed(settings.seed)
        self.ranks = ranks
        self.origin = origin[1] if origin else None
        self.settings, self.device, self.out = settings, device, out
        # Read once: a file that is edited or removed later must not change a run that is under way, nor its card.
        self.recipes = {name: find_recipe(name) for name in settings.recipes}
        self._build(features, origin[0] if origin else None)
        self._chance().manual_seed(ranks.seed(settings.seed))
        self.generator = torch.Generator(device).manual_seed(ranks.seed(settings.seed))
        drawn = [self.recipes[name] for name in settings.recipes]
        self.sampler = PairSampler(settings.draws(clips), drawn, self.generator)
        self.batches = BatchesAhead(self._draw, self.generator)
        self.clips = [clip for clip in clips if not clip.photo]
        self.pairs = HeldOutPairs(settings, self.recipes, self.clips, held_out, device)
        self.photos = len(clips) - len(self.clips)
        self.sources = names(clips)
        self.step = 0
        self.seconds = 0.0
        self.interval = Interval()

    def _build(self, features: VGG19Features | None, origin: LEDNet | None) -> None:
        """The model, its moving average, its loss and its optimisers."""
        settings, device = self.settings, self.device
        self.model = self._network().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if origin is not None:
            self.model.load_state_dict(grow(origin, settings.size, settings.seed).state_dict())
        self.average = self._network().to(device)
        self.average.load_state_dict(self.model.state_dict())
        self.network = torch.compile(self.model) if settings.compile else self.model
        self.loss = LEDNetLoss(settings.loss, features).to(device)
        curve = list(self.model.light.parameters())
        rest = [p for name, p in self.model.named_parameters() if not name.startswith("light.")]
        self.light_optimizer = torch.optim.AdamW(curve, weight_decay=settings.light.weight_decay)
        self.optimizer = torch.optim.AdamW(rest, weight_decay=settings.weight_decay, betas=(0.9, 0.98))

    def _network(self) -> LEDNet:
        """The network to train, untrained."""
        return LEDNet(self.settings.size)

    @property
    def name(self) -> str:
        """What the checkpoint is called."""
        return self.settings.size

    @property
    def in_bf16(self) -> bool:
        """Whether the network multiplies in bf16: on GPUs, and on CPUs with instructions for it."""
        return self.device.type == "cuda" or multiplies_bf16()

    @property
    def state_path(self) -> Path:
        """Where the state is saved."""
        return self.out / "state.pt"

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """By their names in the saved state."""
        return {"optimizer": self.optimizer, "light_optimizer": self.light_optimizer}

    def state(self) -> dict[str, Any]:
        """All that a resumed run needs, loadable with `weights_only=True`. Every process must ask for it."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "step": self.step,
            **{name: optimizer.state_dict() for name, optimizer in self.optimizers().items()},
            "generators": self.ranks.together(self.batches.state),
            "chances": self.ranks.together(self._chance().get_state()),
            "seconds": self.seconds,
            "interval": [self.interval.steps, self.interval.loss, self.interval.psnr],
            **self._made_of(),
        }

    def _made_of(self) -> dict[str, str]:
        """What a run must not change on its way, or its card would tell but a part of it: names -> contents as JSON."""
        made_of = {"settings": asdict(self.settings), "recipes": self._told_recipes(), "clips": self.sources}
        return {what: json.dumps(content) for what, content in made_of.items()}

    def _told_recipes(self) -> dict[str, dict[str, Any]]:
        return {name: recipe.to_dict() for name, recipe in self.recipes.items()}

    def save_state(self) -> None:
        """Write `state.pt` atomically."""
        state = self.state()
        if self.ranks.first:
            buffer = io.BytesIO()
            torch.save(state, buffer)
            checkpoint.write_atomically(self.state_path, buffer.getvalue())
        self.ranks.wait()

    def resume(self) -> None:
        """Go on from `state.pt` if there is one; what `metrics.jsonl` says of later steps is forgotten.

        Raises:
            ValueError: if it is damaged, or of a run with other settings, recipes or clips, or on other devices.
        """
        path = self.state_path
        if not path.exists():
            self._forget_later_lines()
            return
        try:
            # By way of the CPU: optimisers' counts of steps stay where they are, and on a GPU each would be waited for.
            state = torch.load(path, map_location="cpu", weights_only=True)
            processes, chances = len(state["generators"]), len(state["generators"][0])
        except NO_STATE as error:
            cause = str(error).partition("\n")[0]
            raise ValueError(f"{path}: not a whole training state ({cause}); delete it to start anew") from error
        # States from before 1 December 2026 say nothing of recipes and clips.
        other = [what for what, content in self._made_of().items() if state.get(what, content) != content]
        if other:
            raise ValueError(f"{path} belongs to a run with other {other[0]}; pass those again, or another --out")
        if processes != self.ranks.count:
            raise ValueError(f"{path} is of {processes} processes, this run has {self.ranks.count}; start as many")
        if chances != len(self.batches.state):
            raise ValueError(f"{path} is of a run on another kind of device than {self.device.type}, which draws other "
                             "random numbers; pass that as --device, or delete it to start anew")  # fmt: skip
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        for name, optimizer in self.optimizers().items():
            optimizer.load_state_dict(state[name])
        self.batches.go_on_from(state["generators"][self.ranks.rank].cpu())
        self._chance().set_state(state["chances"][self.ranks.rank].cpu())
        self.step, self.seconds = state["step"], state["seconds"]
        self.interval = Interval(*state.get("interval", ()))
        self._forget_later_lines()
        log.info("resuming at step %d of %d", self.step, self.settings.all_steps)

    def _forget_later_lines(self) -> None:
        """Keep of `metrics.jsonl` what was measured up to this step: a killed run did more, and does it again."""
        path = self.out / "metrics.jsonl"
        if self.ranks.first and path.exists():
            kept = [json.dumps(line) + "\n" for line in read_metrics(path) if line["step"] <= self.step]
            checkpoint.write_atomically(path, "".join(kept).encode())

    def _chance(self) -> torch.Generator:
        """Where dropout draws from."""
        if self.device.type == "cuda":
            return torch.cuda.default_generators[self.device.index or 0]
        return torch.default_generator

    def train_step(self) -> tuple[float, float, float]:
        """One optimiser step; returns loss, PSNR of the batch, seconds spent on waiting for the batch.

        Raises:
            FloatingPointError: if the gradients are not finite; the batch is kept beside the state.
        """
        started = time.perf_counter()
        degraded, label = self.batches.take(self.step, last=self.step + 1 >= self.settings.all_steps)
        waited = time.perf_counter() - started
        loss, reached = self._learn(degraded, label)
        self.ranks.average(self.model.buffers())
        update_average(self.average, self.model, self.step, self.settings.ema)
        self.step += 1
        self.seconds += time.perf_counter() - started
        return loss, reached, waited

    def _learn(self, degraded: Tensor, label: Tensor) -> tuple[float, float]:
        """Move the weights by one batch; returns its loss and PSNR."""
        light = self.step < self.settings.light.steps
        loss, image = (self._light_loss if light else self._full_loss)(degraded, label)
        self._descend(loss, *self._schedule(light), list(self.model.parameters()), (degraded, label))
        if light:
            self.model.light.tie()
        return loss.item(), psnr(image.detach().clamp(0, 1), label).mean().item()

    def _descend(
        self,
        loss: Tensor,
        optimizer: torch.optim.Optimizer,
        rate: float,
        clipped: Sequence[torch.nn.Parameter],
        batch: tuple[Tensor, Tensor],
    ) -> None:
        """One move of an optimiser; the gradients of `clipped` are bounded together."""
        for group in optimizer.param_groups:
            group["lr"] = rate
        self.model.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.ranks.average(p.grad for p in clipped)
        norm = torch.nn.utils.clip_grad_norm_(clipped, self.settings.clip_norm)
        # A loss that is not finite has such gradients too, and either would spoil the weights and their average.
        if not torch.isfinite(norm):
            path = self.out / f"not_finite_{self.step}_{self.ranks.rank}.pt"
            torch.save({"degraded": batch[0], "label": batch[1]}, path)
            raise FloatingPointError(
                f"the gradients are not finite at step {self.step}; the batch is in {path}: look at it, or begin again "
                "in another folder with a lower learning rate"
            )
        optimizer.step()

    def _light_loss(self, degraded: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """How far the frame under its tone curve alone is from the label, in decades; and that frame.

        The logarithm gives each frame the same say: one whose light can be told exactly counts as much as one that is
        anyone's guess, and the PSNR is such a mean.
        """
        self.model.light.train()
        exposed = self.model.expose(degraded)
        seen, wanted = (functional.avg_pool2d(image, self.settings.light.square) for image in (exposed, label))
        error = functional.mse_loss(seen, wanted, reduction="none").mean((1, 2, 3))
        return torch.log10(error + self.settings.light.noise_floor).mean(), exposed

    def _full_loss(self, degraded: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """The paper's loss, in the label's light, of all but the tone curve, which stands still; the restored batch."""
        self.model.train()
        self.model.light.eval()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.in_bf16):
            image, side = self.network(degraded, label)
            loss = self.loss(image.float(), side.float(), label)
        return loss.total, image.float()

    def _schedule(self, light: bool) -> tuple[torch.optim.Optimizer, float]:
        """The optimiser of this step and its learning rate: for the light, falling linearly to zero."""
        s = self.settings
        if light:
            return self.light_optimizer, s.light.learning_rate * (1 - self.step / s.light.steps)
        return self.optimizer, learning_rate(self.step - s.light.steps, s)

    def _draw(self, step: int) -> tuple[Tensor, Tensor]:
        light = step < self.settings.light.steps
        if step == self.settings.light.steps:
            # A new seed, so that a peer, which has no whole frames to begin with, sees the same pairs from here on.
            self.generator.manual_seed(self.ranks.seed(self.settings.seed) + 1)
        return self.sampler.sample(*self.batch_shape(step), view=light and self.views)

    def batch_shape(self, step: int) -> tuple[int, int, int]:
        """Images, height and width of a step's batch; sides are multiples of `SIDE_SCALE`, longer than blur reaches."""
        s = self.settings
        least = LEAST_SIDE if self.loss.features is None else LEAST_SIDE_FOR_VGG19
        if step < s.light.steps:
            batch, *sides = s.light.views[step % len(s.light.views)]
        else:
            stage = stage_at(step - s.light.steps, s)
            batch, *sides = stage.batch, stage.height, stage.width
        height, width = (max(least, round(side * s.crop_scale / SIDE_SCALE)) * SIDE_SCALE for side in sides)
        return batch * s.batch_scale, height, width

    def flops_of_step(self, step: int) -> float:
        """What the network computes on a step's batch, forward and backward; none where only the light learns."""
        if step < self.settings.light.steps:
            return 0.0
        return float(PASSES * flops_of_pass(self.model.config, *self.batch_shape(step)))

    def validate(self) -> dict[str, Any]:
        """Means of the moving average's figures on held-out clips under each recipe (`HeldOutPairs.means`)."""
        if not self.pairs.held_out:
            return {}
        self.average.eval()
        recipes = {name: self.pairs.means(name, self._figures) for name in self.recipes}
        return {"clips": names(self.pairs.held_out), "recipes": recipes}

    def _figures(self, degraded: Tensor, label: Tensor) -> dict[str, Tensor]:
        """Figures [n] of the moving average on a held-out batch; `psnr_curve` is what the tone curve alone reaches."""
        with torch.inference_mode():
            restored = self.average(degraded).clamp(0, 1)
            exposed = self.average.expose(degraded).clamp(0, 1)
        return {
            "psnr_lednet": psnr(restored, label),
            "ssim_lednet": ssim(restored, label),
            "psnr_curve": psnr(exposed, label),
        }

    def description(self) -> dict[str, Any]:
        """What the card says of the training beyond what it says of every LEDNet's."""
        return {}

    def export(self, command: str) -> None:
        """Validate the moving average and write it as a checkpoint with its card."""
        figures = self.validate()
        training: dict[str, Any] = legs_before(self.origin.training) if self.origin else {}
        training |= {
            "command": command,
            "settings": asdict(self.settings),
            "recipes": self._told_recipes(),
            "steps_done": self.step,
            "hours": round(self.seconds / 3600, 3),
            "device": device_name(self.device),
            "multiplied_in": "bf16" if self.in_bf16 else "fp32",
            "processes": self.ranks.count,
            "threads": torch.get_num_threads(),
            "clips": names(self.clips),
            "photos": self.photos,
            "torch": torch.__version__,
        } | self.description()
        training = {IN_ALL: in_all(training)} | training
        checkpoint.save(
            self.out / f"{self.name}.safetensors",
            self.average,
            half=True,
            training=training,
            validation=figures,
        )
        self.record({"step": self.step, "validation": figures})
        picture = curves_picture(self.out / "metrics.jsonl")
        if picture is not None:
            checkpoint.write_atomically(self.out / "curves.png", picture)
        log.info("step %d: %s", self.step, json.dumps(figures, ensure_ascii=False))

    def record(self, line: dict[str, Any]) -> None:
        """Append one line to `metrics.jsonl`."""
        path = self.out / "metrics.jsonl"
        try:
            with open(path, "a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error  # a full disk's own words name no file

    def run(self, command: str, until: float = math.inf) -> None:
        """Train to the last step, saving and logging on the way; or until `time.monotonic()` has come so far.

        A run that is stopped by the clock saves its state and exports nothing.
        """
        s = self.settings
        if self.ranks.first:
            checkpoint.remove_leftovers(self.out)
        most_flops = _most_flops_per_s(self.device, torch.bfloat16 if self.in_bf16 else torch.float32)
        self.interval.time()
        while self.step < s.all_steps:
            if math.isfinite(until) and self.ranks.any(time.monotonic() >= until):
                self.save_state()
                log.info("stopped by the clock at step %d of %d; the same command goes on", self.step, s.all_steps)
                return
            images = self.batch_shape(self.step)[0] * self.ranks.count
            least_s = self.flops_of_step(self.step) / most_flops
            self.interval.add(*self.train_step(), images, least_s)
            if self.step % s.log_every == 0 or self.step == s.all_steps:
                if self.ranks.first:
                    self._tell(self.interval)
                self.interval = Interval()
            if self.step % s.save_every == 0 or self.step == s.all_steps:
                if self.ranks.first:
                    self.export(command)
                self.save_state()  # last, so that a run stopped in between exports again
                self.interval.time()

    def _tell(self, interval: Interval) -> None:
        """A line of `metrics.jsonl` and of the log."""
        line = interval.line(self.step)
        self.record(line)
        eta = interval.seconds / interval.timed * (self.settings.all_steps - self.step) / 3600
        counted = f" arithmetic {line['flop_share']:.0%}" if line["flop_share"] else ""
        log.info(
            "step %d/%d loss %.4f psnr %.2f dB %.1f images/s data wait %.0f %%%s ETA %.2f h",
            *(self.step, self.settings.all_steps, line["loss"], line["psnr"], line["images_per_s"]),
            *(100 * line["wait_share"], counted, eta),
        )


_most_flops_per_s = cache(most_flops_per_s)
"""Measured once in a process, however many runs it makes: what it is for, a share in the log, needs no better."""


def names(clips: Sequence[Clip]) -> list[str]:
    """Each clip's name once, in order: one file may give stills and bursts."""
    return list(dict.fromkeys(c.name for c in clips))


def device_name(device: torch.device) -> str:
    """The device in words, for a card."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
