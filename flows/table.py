"""`lednet evaluate --table`: the comparison of methods, printed with rich and written to files.

The comparison itself is `lednet.evaluate_table`, which runs without this room; here is only how it is shown.
"""

from __future__ import annotations

from collections.abc import Sequence

import typer
from rich.console import Console
from rich.table import Table as RichTable

from lednet.evaluate_table import Table, as_json, evaluate, parse, write
from lednet.table_figures import HEAD, Row, blocks, cells, size_of


def main(arguments: Sequence[str], out: Console) -> int:
    """Make the table and show it; returns the exit code. Raises ValueError or OSError for bad input."""
    settings, folder, json_wanted = parse(arguments, "lednet evaluate --table")
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)  # told now if it can't be, and not after hours
    table = evaluate(settings)
    if folder is not None:
        write(table, folder)
    if json_wanted:
        typer.echo(as_json(table, with_records=False))
        return 0
    show(table, out)
    if folder is not None:
        out.print(f"written: {folder}/table.csv, table.md, table.json, sheet.jpg")
    return 0


def show(table: Table, out: Console) -> None:
    """Every block as a table; what was not computed below it, with its reason."""
    for note in table.notes:
        out.print(note, markup=False)
    for title, block in blocks(table.rows).items():
        out.print(_grid(title, block))
        for row in block:
            if row.note:
                out.print(f"{row.title}: not computed: {row.note}", markup=False)


def _grid(title: str, block: Sequence[Row]) -> RichTable:
    grid = RichTable(title=title, caption=size_of(block))
    for i, name in enumerate(HEAD):
        grid.add_column(name, justify="right" if i else "left")
    for row in block:
        grid.add_row(*((row.title, "not computed") if row.note else cells(row)))
    return grid
