"""What the commands of `lednet` share: their exit codes and the options that several of them take.

What they print is `flows.screen`; an option of one command stands beside it.
"""

from __future__ import annotations

from typing import Annotated

import typer

DONE, FAILED, PARTIAL = 0, 1, 2
INTERRUPTED = 130
"""As shells say it of a program that Ctrl-C ended: 128 and the signal's number."""

Night = Annotated[
    str, typer.Argument(help="Local date on which it starts, YYYY-MM-DD; `last` for the latest that is over.")
]
SiteFile = Annotated[str, typer.Option("--site", envvar="LEDNET_SITE", help="cameras.toml, as a path or URL.")]
Archive = Annotated[str, typer.Option("--archive", envvar="LEDNET_ARCHIVE", help="Where the footage is: path or URL.")]
Store = Annotated[str, typer.Option("--store", envvar="LEDNET_STORE", help="Where results go: path or URL.")]
CameraIds = Annotated[list[str] | None, typer.Option("--camera", help="Only this camera; may be given again.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, for programs.")]
