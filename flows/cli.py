"""The command line: `lednet`, the same verbs as the flows.

Covers the entry point, the commands of one file and of the site (`demo`, `clip`, `deploy`) and those that hand over to
lednet (`train`, `bench`, `export`). Not covered, and registered here: `flows.night_commands`, `flows.store_commands`
and `flows.model_commands`.

Exit codes: 0 done, 1 failed, 2 partial (a camera's night is not published, or files were quarantined), 130 interrupted.
Heavy libraries are imported inside the commands, so that `lednet --help` answers at once.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler

from flows import model_commands, night_commands, store_commands
from flows.logs import OneLine, one_line
from flows.options import FAILED, INTERRUPTED, Json
from flows.screen import console, emit

app = typer.Typer(
    help="Gives mines their nights back: restores archived night footage.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
log = logging.getLogger("lednet")

TOLD = (ValueError, OSError, RuntimeError, FloatingPointError)
"""Errors whose message is all that a user is shown, unless LEDNET_DEBUG is set."""


def main() -> None:
    """Entry point: logging, and errors that a user can act on without a traceback."""
    logging.basicConfig(level=logging.WARNING, handlers=[log_handler(console)])
    logging.getLogger("lednet").setLevel(logging.INFO)
    logging.getLogger("tasks").setLevel(logging.INFO)
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
    try:
        if os.environ.get("LEDNET_S3_BLOCK") and "--help" not in sys.argv:
            from flows.engine import be_quiet

            be_quiet()
            from flows.object_store import use_block

            use_block()  # any command may read the store
        app()
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer makes it of Ctrl-C, without a word
            log.error("interrupted; what is stored stays, run the same command again to go on")
        raise
    except TOLD as error:
        if os.environ.get("LEDNET_DEBUG"):
            raise
        log.error("%s", error)
        sys.exit(FAILED)


def log_handler(to: Console) -> logging.Handler:
    """Log lines for a person at a terminal, or for a file."""
    handler: logging.Handler = RichHandler(console=to, show_path=False, log_time_format="%H:%M:%S")
    handler.setFormatter(logging.Formatter("%(message)s"))
    if not to.is_terminal:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    handler.addFilter(OneLine() if os.environ.get("LEDNET_DEBUG") else OneLine(TOLD))
    return handler


DemoFolder = Annotated[Path, typer.Argument(help="Where to put the demo's archive and store.")]


@app.command()
def demo(folder: DemoFolder = Path("demo")) -> None:
    """The main job on a drawn sample; ends by naming the report."""
    from flows.demo import run_demo

    raise typer.Exit(run_demo(folder))


@app.command()
def clip(
    source: Annotated[Path, typer.Argument(help="Video file to restore.")],
    target: Annotated[Path, typer.Argument(help="Video file to write, H.264.")],
    model: Annotated[str, typer.Option(help="Shipped checkpoint, or path of a .safetensors file.")] = "small",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    frame_wise: Annotated[bool, typer.Option("--frame-wise", help="Each frame on its own; may flicker.")] = False,
    compiled: Annotated[bool, typer.Option("--compile", help="By torch.compile; for GPUs.")] = False,
    as_json: Json = False,
) -> None:
    """Restore one video file; keeps size, rate, length and sound."""
    from rich.markup import escape
    from rich.progress import Progress

    from lednet import Restorer
    from tasks.video import restore_clip

    if not source.is_file():
        raise ValueError(f"{source}: no such file; name a video file")
    if target.exists() and target.samefile(source):
        raise ValueError(f"{target}: is the source itself; name another target")
    restorer = Restorer(model, device=device, compile=compiled)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(escape(one_line(source.name)), total=None)

        def show(done: int, expected: int) -> None:
            bar.update(task, completed=done, total=expected or None)
            if not console.is_terminal and done % 100 == 0:
                log.info("%s: %d of %s frames", source.name, done, expected or "?")

        frames = restore_clip(source, target, restorer, show, frame_wise)
    emit(
        as_json,
        {"source": str(source), "target": str(target), "frames": frames, "model": restorer.name},
        f"{target}: {frames} frames restored",
    )


night_commands.register(app)  # here and below: in the order of `lednet --help`

AlarmUrl = Annotated[str, typer.Option(envvar="LEDNET_ALARM_URL", help="Webhook for failed runs and low coverage.")]


@app.command()
def deploy(
    file: Annotated[Path, typer.Argument(help="The deployments; a site edits its copy.")] = Path("prefect.yaml"),
    alarm_url: AlarmUrl = "",
    as_json: Json = False,
) -> None:
    """Register prefect.yaml with the Prefect server that PREFECT_API_URL names; again after every edit."""
    from flows.deploy import deploy as register

    names = register(file, alarm_url)
    emit(as_json, {"deployments": names}, f"deployed: {', '.join(names)}")


store_commands.register(app)
model_commands.register(app)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def train(context: typer.Context) -> None:
    """Train on sharp clips (`lednet train --help`)."""
    from lednet.train import main as train_main

    raise typer.Exit(train_main(context.args))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def bench(context: typer.Context) -> None:
    """Frames/s of this machine (`lednet bench --help`); with --item also of a whole work item, from file to store.

    The item's own options: `python -m tasks.bench_item --help`. Its files stand beside the model's: NAME-item.png.
    """
    from lednet import bench_output
    from lednet.bench import main as bench_main

    arguments = [a for a in context.args if a != "--item"]
    code = bench_main(arguments)
    if code == 0 and "--item" in context.args:
        from tasks.bench_item import main as item_main

        shared = argparse.ArgumentParser(add_help=False)
        bench_output.add_options(shared)
        files = vars(shared.parse_known_args(arguments)[0])
        code = item_main([f"--{name}={bench_output.named(path, 'item')}" for name, path in files.items() if path])
    raise typer.Exit(code)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def export(context: typer.Context) -> None:
    """A network as ONNX, for frames of any size, checked (`lednet export --help`)."""
    from lednet.export import main as export_main

    raise typer.Exit(export_main(context.args))


if __name__ == "__main__":
    main()
