"""Where a benchmark's figures go besides its table: JSON, printed or into a file, and a picture.

Covers the options of all benchmarks, and finding out that a file can't be written before minutes are measured. Not
covered: the drawing (`lednet.bars`), what is measured (`lednet.bench`, `tasks.bench_item`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile

from lednet import checkpoint
from lednet.bars import Bars, bars_picture

PRINTED = Path("-")
"""What `--json` stands for without a file: JSON is printed, in the table's place."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """`--json` and `--picture`."""
    parser.add_argument("--json", nargs="?", type=Path, const=PRINTED, metavar="FILE",
                        help="print JSON, in the table's place; or write it to FILE, and print the table")  # fmt: skip
    parser.add_argument("--picture", type=Path, metavar="FILE", help="PNG to draw the figures into")


def refuse_unwritable(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End with the parser's error if a file that is asked for can't be written."""
    for name, path in (("--json", options.json), ("--picture", options.picture)):
        if path in (None, PRINTED):
            continue
        if path.is_dir():
            parser.error(f"{name} {path}: is a folder; name a file")
        try:
            TemporaryFile(dir=path.absolute().parent).close()
        except OSError as error:
            parser.error(f"{name} {path}: its folder can't be written to ({error.strerror}); name another")


def named(path: Path, part: str) -> Path:
    """Where another part's figures stand: beside the first's, bench.png and bench-item.png."""
    return path if path == PRINTED else path.with_stem(f"{path.stem}-{part}")


def write(options: argparse.Namespace, figures: object, panels: Sequence[Bars]) -> None:
    """Write, or print, what the options ask for. A picture without a figure in it is left out."""
    if options.json == PRINTED:
        print(json.dumps(figures))
    elif options.json:
        checkpoint.write_atomically(options.json, f"{json.dumps(figures)}\n".encode())
    if options.picture and any(panel.values for panel in panels):
        checkpoint.write_atomically(options.picture, bars_picture(panels))
