"""The paper's table on our terms: `python -m lednet.evaluate_table`, with torch, numpy and OpenCV alone.

Runs every method of the registry on the same degraded frames, both recipes, each scene apart: held-out clips of a
training folder (`--data`, split by clip as in training) and really blurred pairs (`--pairs`). 8-bit sRGB, RGB, data
range 1; no result is rescaled to the reference. Equal seeds give equal figures, speed excepted. LPIPS also needs the
`lpips` package and AlexNet's weights; without them it is "not computed", with the reason. Peers that were trained alike
are those shipped, or from another folder (`--trained`), as `lednet.train_peers` leaves it.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from lednet import checkpoint
from lednet.baselines.gamma import fit_gamma, gamma_of_card
from lednet.baselines.peers import PEERS, SHIPPED_PEERS
from lednet.baselines.registry import ALIKE, METHODS, ORACLES, Needs, Ready, find_trained, lednet_method
from lednet.checkpoint import write_atomically
from lednet.cost import Cost, any_frame, gmacs_of, memory_of
from lednet.degrade import find_recipe
from lednet.losses import WeightsMissingError
from lednet.metrics import mae, mse, psnr, ssim
from lednet.restorer import choose_device
from lednet.roofline import seconds
from lednet.table_figures import Record, Row, plain, summarise, to_csv, to_markdown, to_overview, to_text
from lednet.table_pairs import Example, examples_of_clips, examples_of_pairs, read_scenes, training_pairs
from lednet.table_sheet import Sheet

log = logging.getLogger("lednet.table")

OfTwo = Callable[[Tensor, Tensor], Tensor]
"""A metric, or a restorer that is handed the reference as well (and, but for an oracle, ignores it)."""


@dataclass(frozen=True)
class Settings:
    """What a table is made of."""

    data: Path | None
    """Folder of clips; those on the held-out side of its split are used, the gamma is fitted on the others."""
    pairs: Path | None
    scenes: Path | None = None
    weights: Path | None = None
    lpips: Path | None = None
    trained: Path = SHIPPED_PEERS
    """Folder of what was trained alike."""
    recipes: tuple[str, ...] = ("paper", "night")
    methods: tuple[str, ...] = (*METHODS, *ORACLES)
    model: str = "small"
    """The checkpoint in the row "small", and what others are compared with."""
    frames: int = 6
    """Frames of each held-out clip."""
    nights: int = 2
    """Nights drawn for each real pair."""
    most_height: int = 360
    seed: int = 0
    device: str = "auto"


@dataclass(frozen=True)
class Table:
    """The rows and all that they rest on."""

    settings: Settings
    rows: list[Row]
    records: list[Record]
    notes: list[str]
    sheet: bytes


def load_lpips(weights: Path | None, folder: Path | None) -> tuple[OfTwo | None, str]:
    """(metric, what it is), or (None, why it is not computed)."""
    found = folder / "alexnet_features.npz" if folder else None
    try:
        from lednet.lpips_metric import LPIPS

        return LPIPS(weights or (found if found and found.is_file() else None)), LPIPS.name
    except (WeightsMissingError, ImportError) as error:
        return None, "LPIPS not computed: " + str(error).removeprefix("LPIPS not computed: ")


def fixed_gamma(settings: Settings, recipe: str) -> tuple[float | None, str]:
    """(the best fixed gamma for a recipe, where it is from); None if the checkpoint was not trained on that recipe."""
    if settings.data is not None:
        gamma = fit_gamma(training_pairs(settings.data, find_recipe(recipe), settings.most_height, settings.seed + 1))
        return gamma, f"recipe {recipe}: fixed gamma {gamma}, fitted on training clips under this recipe"
    card = checkpoint.read_card(checkpoint.locate(settings.model))
    try:
        gamma = gamma_of_card(card, recipe)
    except ValueError as error:
        return None, f"recipe {recipe}: fixed gamma not known: {error}, or name training clips by --data"
    return gamma, f"recipe {recipe}: fixed gamma {gamma}, fitted on training pairs, from the card of {card.name}"


def all_trained_on(settings: Settings, examples: Sequence[Example]) -> list[str]:
    """`trained_on` of the LEDNet rows and of every trained peer of the table; what can't be read has its row's note."""
    notes = trained_on(settings.model, examples) if "small" in settings.methods else []
    for name in (name for name in settings.methods if name in (*PEERS, ALIKE, "base")):
        try:
            notes += trained_on(name if name == "base" else str(find_trained(settings.trained, name)), examples)
        except (WeightsMissingError, ValueError):
            continue
    return notes


def trained_on(model: str, examples: Sequence[Example]) -> list[str]:
    """A warning if clips of the evaluation are among those on the checkpoint's card, from any leg of its training."""
    seen = checkpoint.read_card(checkpoint.locate(model)).trained_clips()
    shared = sorted(seen & {e.group for e in examples})
    return [f"WARNING: {model} was trained on {', '.join(shared)}: its figures there prove nothing"] if shared else []


def draw_examples(settings: Settings, recipe: str) -> list[Example]:
    """All frames of a recipe. Raises ValueError if the data can't be read."""
    scenes = read_scenes(settings.scenes)
    examples: list[Example] = []
    if settings.data is not None:
        examples += examples_of_clips(
            settings.data, find_recipe(recipe), scenes, settings.frames, settings.most_height, settings.seed
        )
    if settings.pairs is not None:
        examples += examples_of_pairs(
            settings.pairs, find_recipe(recipe), scenes, settings.nights, settings.most_height, settings.seed
        )
    return examples


def make_ready(name: str, needs: Needs, model: str) -> Ready:
    """A method of the registry, ready to run; "small" is the checkpoint that was asked for."""
    method = lednet_method(model) if name == "small" else METHODS[name]
    return method.make(needs)


class Done(NamedTuple):
    """A method that was run."""

    parameters: int
    cost: Cost | None
    """None where torch sees nothing of the work."""
    records: list[Record]


def cost_at(ready: Ready, example: Example) -> Cost | None:
    """Multiply-adds at 256x256, and the memory of a frame of the table. None for a method without a network."""
    if ready.parameters < 2:
        return None
    return Cost(gmacs_of(ready.restore, any_frame()), memory_of(ready.restore, example.degraded))


def measure(
    name: str, recipe: str, restore: OfTwo, examples: Sequence[Example], lpips: OfTwo | None, device: torch.device
) -> list[tuple[Record, Tensor]]:
    """A record and the restored frame, in 8 bits, of every example; `restore` is given input and reference."""
    measured = []
    restore(examples[0].degraded, examples[0].reference)  # the first pass allocates and tunes
    for e in examples:
        results: list[Tensor] = []
        took = seconds(partial(_keep, results, restore, e), device)
        image = (results[0].clamp(0, 1) * 255).round() / 255
        record = Record(
            *(e.source, recipe, e.scene, name, e.group, e.name),
            psnr=float(psnr(image, e.reference)),
            mse=float(mse(image, e.reference)),
            ssim=float(ssim(image, e.reference)),
            mae=float(mae(image, e.reference)),
            lpips=float(lpips(image, e.reference)) if lpips else None,
            seconds=took,
        )
        measured.append((record, image))
    return measured


def _keep(results: list[Tensor], restore: OfTwo, example: Example) -> None:
    results.append(restore(example.degraded, example.reference))


def evaluate(settings: Settings) -> Table:
    """Run every method on every frame. Raises ValueError for data or settings that can't be used."""
    for recipe in settings.recipes:
        find_recipe(recipe)  # told now if it can't be used, and not after the others
    if settings.data is None and settings.pairs is None:
        raise ValueError("nothing to evaluate on: name a folder of clips by --data, or of pairs by --pairs")
    device = choose_device(settings.device)
    lpips, about = load_lpips(settings.lpips, settings.weights)
    notes = ["8-bit sRGB, RGB, data range 1; no result is rescaled to the reference", about]
    rows: list[Row] = []
    records: list[Record] = []
    costs: dict[str, Cost | None] = {}
    sheet: Sheet | None = None
    for recipe in settings.recipes:
        examples = draw_examples(settings, recipe)
        gamma, origin = fixed_gamma(settings, recipe)
        notes += [origin, *all_trained_on(settings, examples)]
        needs = Needs(gamma, settings.weights, settings.device, settings.trained)
        shown = {e.scene + e.source: e for e in reversed(examples)}
        sheet = Sheet({e.name: e for e in reversed(list(shown.values()))})  # of the last recipe
        done: dict[str, Done] = {}
        failed: dict[str, str] = {}
        for name in settings.methods:
            log.info("recipe %s: %s", recipe, title_of(name, settings.model))
            try:
                ready = None if name in ORACLES else make_ready(name, needs, settings.model)
                restore = ORACLES[name].restore if ready is None else partial(_blind, ready)
                measured = measure(name, recipe, restore, examples, lpips, device)
                if ready is not None and name not in costs:
                    costs[name] = cost_at(ready, examples[0])
            except (WeightsMissingError, ValueError, RuntimeError) as error:  # no memory for one costs no other
                failed[name] = str(error).partition("\n")[0]
                log.warning("%s not computed: %s", name, failed[name])
                continue
            records_here = [record for record, _ in measured]
            done[name] = Done(ready.parameters if ready else 0, costs.get(name), records_here)
            for example, (_, image) in zip(examples, measured, strict=True):
                sheet.add(title_of(name, settings.model), example, image)
        records += [r for found in done.values() for r in found.records]
        rows += summaries(settings, recipe, examples, done, failed)
    assert sheet is not None
    return Table(settings, rows, records, notes, sheet.draw())


def _blind(ready: Ready, degraded: Tensor, reference: Tensor) -> Tensor:
    return ready.restore(degraded)


def title_of(name: str, model: str) -> str:
    """What a row is called; a checkpoint that is not shipped by its folder as well, since its name tells little."""
    if name != "small":
        return (METHODS | ORACLES)[name].title
    path = checkpoint.locate(model)
    return f"LEDNet {path.stem}" if path.parent == checkpoint.SHIPPED else f"LEDNet {path.parent.name}/{path.stem}"


def summaries(
    settings: Settings,
    recipe: str,
    examples: Sequence[Example],
    done: dict[str, Done],
    failed: dict[str, str],
) -> list[Row]:
    """The rows of a recipe: source by source, scene by scene, methods in the registry's order."""
    rows = []
    for source, scene in sorted({(e.source, e.scene) for e in examples}):
        here = [i for i, e in enumerate(examples) if (e.source, e.scene) == (source, scene)]
        best = [done["small"].records[i] for i in here] if "small" in done else None
        for name in settings.methods:
            title = title_of(name, settings.model)
            if name in failed:
                rows.append(Row(source, recipe, scene, name, title, note=failed[name]))
                continue
            found = done[name]
            of_these = [found.records[i] for i in here]
            row = summarise(of_these, title, found.parameters, None if name == "small" else best)
            if found.cost is not None:
                row = replace(row, gmacs=found.cost.gmacs, memory_mb=found.cost.memory_mb)
            rows.append(row)
    return rows


def as_json(table: Table, with_records: bool = True) -> str:
    """Settings, notes, sources, rows and, if wanted, every frame's figures."""
    sources = {name: (METHODS | ORACLES)[name].source for name in table.settings.methods}
    rows, records = ([asdict(item) for item in items] for items in (table.rows, table.records))
    content = {"settings": asdict(table.settings), "notes": table.notes, "sources": sources, "rows": rows}
    return json.dumps(plain(content | ({"records": records} if with_records else {})), indent=1)


def write(table: Table, out: Path) -> None:
    """table.csv, table.md, table.json (with every frame's figures) and sheet.jpg, each whole or not at all."""
    out.mkdir(parents=True, exist_ok=True)
    notes = "".join(f"- {note}\n" for note in table.notes)
    write_atomically(out / "table.csv", to_csv(table.rows).encode())
    write_atomically(out / "table.md", "\n".join((notes, to_overview(table.rows), to_markdown(table.rows))).encode())
    write_atomically(out / "table.json", as_json(table).encode())
    write_atomically(out / "sheet.jpg", table.sheet)


def parse(arguments: Sequence[str] | None, prog: str) -> tuple[Settings, Path | None, bool]:
    """(settings, where to write, whether to print JSON) from a command line."""
    parser = argparse.ArgumentParser(prog=prog, description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("--data", type=Path, help="folder of clips; its held-out ones are used")
    add("--pairs", type=Path, help="folder of *_blur.png with their *_sharp.png")
    add("--scenes", type=Path, help="TOML: [scenes], beginning of a name = indoor or outdoor")
    add("--weights", type=Path, help="folder of the published weights, and of AlexNet's for LPIPS")
    add("--lpips", type=Path, help="AlexNet's weights for LPIPS")
    add("--trained", type=Path, default=SHIPPED_PEERS, help="folder of what was trained alike; default: the shipped")
    add("--recipe", action="append", help="a name, or a .toml file; default: paper and night")
    add("--method", action="append", choices=(*METHODS, *ORACLES), metavar="NAME", help="default: all of the registry")
    add("--model", default="small", help="LEDNet checkpoint of the row `small`")
    add("--frames", type=int, default=6, help="of each held-out clip")
    add("--nights", type=int, default=2, help="drawn for each real pair")
    add("--most-height", type=int, default=360, help="frames are shrunk to it, in linear light")
    add("--seed", type=int, default=0)
    add("--device", default="auto")
    add("--out", type=Path, help="folder for table.csv, table.md, table.json, sheet.jpg")
    add("--json", action="store_true")
    o = parser.parse_args(arguments)
    settings = Settings(
        o.data, o.pairs, o.scenes, o.weights, o.lpips, o.trained, model=o.model, seed=o.seed, device=o.device
    )
    settings = replace(settings, frames=o.frames, nights=o.nights, most_height=o.most_height)
    if o.recipe:
        settings = replace(settings, recipes=tuple(dict.fromkeys(o.recipe)))
    if o.method:
        settings = replace(settings, methods=tuple(name for name in (*METHODS, *ORACLES) if name in o.method))
    if min(o.frames, o.nights) < 1 or o.most_height < 64:
        parser.error("--frames and --nights must be at least 1, --most-height at least 64")
    return settings, o.out, o.json


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    settings, out, json_wanted = parse(arguments, "python -m lednet.evaluate_table")
    try:
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)  # told now if it can't be, and not after hours
        table = evaluate(settings)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    if out is not None:
        write(table, out)
    print(as_json(table, with_records=False) if json_wanted else "\n".join([*table.notes, to_text(table.rows)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
