"""Facts: one row a camera and night, in Parquet, with a schema that is checked on writing and on reading.

    <store>/facts/<camera>/<night>.parquet     the row
    <store>/facts/<camera>/<night>.jpg         the night's still scene, for the nights after it

A row is overwritten when its night is evaluated again, so late nights and re-runs correct facts and never double them.
Not covered: where the figures come from (`tasks.camera_facts`) and what is made of them (`tasks.aggregate`).
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pandas as pd
import pandera.pandas as pa
import pyarrow
import pyarrow.parquet
from pandera.errors import SchemaErrors

from tasks import listing, storage, store

log = logging.getLogger(__name__)

READ_THREADS = 8
NIGHT_METRICS = ("brightness", "contrast", "noise", "sharpness")
"""Figures that the quality rows of every version hold; later versions' stand in the facts as well, where they are."""
REFERENCE_METRICS = ("psnr", "ssim", "mae", "lpips")
"""Of the restored synthesised night against the daylight that it was made of; see `tasks.synthesised`."""
PAIRED_METRICS = ("psnr", "ssim")
"""Of these every frame's figure is kept too, as `<metric>_frame_<k>`: models are compared frame by frame."""
SIGN_COLUMNS = (
    "covered_share", "flat", "blown", "dark", "veil", "colour", "relative_contrast", "edge_width", "moved", "match",
    "frozen_s", "overlap_s", "drift_s_per_h", "missing",
)  # fmt: skip
"""Figures behind camera health; NaN where a night does not tell. Shares in 0 to 1; see `tasks.camera_facts`."""
WORD_COLUMNS = ("moved_since", "frozen_at", "overlap_at", "longest_gap")
"""What belongs to a sign in words: a date, a local time, a stretch of local time; empty where there is none."""
SLOT_COLUMNS = ("typical_slot", "flat_slot", "blown_slot", "dark_slot")
"""Slots whose kept picture shows a sign; -1 where there is none."""


class FactsError(ValueError):
    """A row of facts does not fit the schema; the message names camera, night and column."""


def _columns() -> dict[str, pa.Column]:
    text = pa.Column(str, nullable=False)
    count = pa.Column(int, pa.Check.ge(0))
    figure = pa.Column(float, nullable=True)
    return {
        "camera": pa.Column(str, pa.Check.str_length(1, 64)),
        "name": text,
        "scene": pa.Column(str, pa.Check.isin(("outdoor", "indoor"))),
        "night": pa.Column(str, pa.Check.str_matches(r"^\d{4}-\d\d-\d\d$")),
        "run": text,
        "model": text,
        "model_sha": text,
        "frames": count,
        "slots": count,
        "coverage": pa.Column(float, pa.Check.in_range(0, 1)),
        "quarantined": count,
        "gaps_s": pa.Column(float, pa.Check.ge(0)),
        # Every figure of the quality rows, by its night's mean; the four that every night has must be there.
        **{f"{m}_{when}": figure for m in NIGHT_METRICS for when in ("before", "after")},
        r"^[a-z0-9_]+_(before|after)$": pa.Column(float, nullable=True, required=False, regex=True),
        "psnr": figure,
        "ssim": pa.Column(float, pa.Check.in_range(-1, 1), nullable=True),
        "mae": pa.Column(float, pa.Check.in_range(0, 1), nullable=True),
        "lpips": figure,
        r"^(psnr|ssim)_frame_\d+$": pa.Column(float, nullable=True, required=False, regex=True),
        "reference_count": count,
        "reference_key": text,
        **dict.fromkeys(SIGN_COLUMNS, figure),
        **dict.fromkeys(WORD_COLUMNS, text),
        **{name: pa.Column(int, pa.Check.ge(-1)) for name in SLOT_COLUMNS},
    }


SCHEMA = pa.DataFrameSchema(_columns(), unique=["camera", "night"], strict=True, coerce=True)
"""One row a (camera, night). A quality column that a night lacks, since an older version wrote it, reads as NaN."""


def facts_url(store_url: str, camera: str, night: str) -> str:
    """Where a camera's night stands among the facts."""
    return storage.join(store_url, "facts", camera, f"{night}.parquet")


def scene_url(store_url: str, camera: str, night: str) -> str:
    """Where the still scene of a camera's night stands."""
    return storage.join(store_url, "facts", camera, f"{night}.jpg")


def write_facts(store_url: str, row: dict[str, Any]) -> str:
    """Check a camera's night and write it, in place of what stood there; returns its URL. Raises FactsError."""
    table = checked(pd.DataFrame([row]))
    url = facts_url(store_url, row["camera"], row["night"])
    storage.write(url, store.parquet_bytes(table))
    return url


def checked(table: pd.DataFrame) -> pd.DataFrame:
    """Facts that fit the schema, in its types. Raises FactsError that names what does not."""
    try:
        return SCHEMA.validate(table, lazy=True)
    except SchemaErrors as errors:
        raise FactsError(f"facts do not fit their schema: {_faults(errors, table)}; evaluate again") from errors


def _faults(errors: SchemaErrors, table: pd.DataFrame) -> str:
    """The first few failures in words."""
    words = []
    for case in errors.failure_cases.head(3).to_dict("records"):
        row = table.loc[case["index"]] if case["index"] in table.index else {}
        where = f"{row.get('camera', '')} {row.get('night', '')} ".lstrip()
        words.append(f"{where}{case['column'] or ''}: {case['check']} fails for {case['failure_case']!r}")
    return "; ".join(words)


def list_facts(store_url: str, cameras: Sequence[str] | None = None, first: str = "", last: str = "9") -> Iterator[str]:
    """URLs of the facts in a store, by camera and night: of some cameras, of nights from `first` to `last`."""
    root = storage.join(store_url, "facts")
    for camera in cameras if cameras is not None else listing.names(root):
        for name in listing.names(storage.join(root, camera)):
            if name.endswith(".parquet") and first <= name.removesuffix(".parquet") <= last:
                yield storage.join(root, camera, name)


def read_facts(store_url: str, cameras: Sequence[str] | None = None, first: str = "", last: str = "9") -> pd.DataFrame:
    """The facts of some cameras (all by default) and nights, by camera and night; no rows where there are none.

    A file that can't be read or does not fit the schema is left out, with a warning that names it.
    """
    urls = list(list_facts(store_url, cameras, first, last))
    with ThreadPoolExecutor(READ_THREADS) as pool:
        read = zip(urls, pool.map(_try_read, urls), strict=True)
        tables = {url: table for url, table in read if table is not None}
    if not tables:
        return _no_facts()
    try:
        facts = checked(pyarrow.concat_tables(tables.values(), promote_options="permissive").to_pandas())
    except Exception:  # some of them: each is tried alone, and says what is wrong with it
        fitting = [table for url, arrow in tables.items() if (table := _try_check(url, arrow)) is not None]
        facts = pd.concat(fitting) if fitting else _no_facts()
    return facts.sort_values(["camera", "night"], ignore_index=True)


def _no_facts() -> pd.DataFrame:
    return checked(pd.DataFrame(columns=[c for c in SCHEMA.columns if not c.startswith("^")]))


def _try_read(url: str) -> pyarrow.Table | None:
    try:
        # Not `read_table`, whose search for partitions takes longer than a row does.
        file = pyarrow.parquet.ParquetFile(io.BytesIO(storage.read(url)))
        if file.metadata.num_rows != 1:  # equal rows take no room in a file, but memory
            raise ValueError(f"{file.metadata.num_rows} rows; a night is one")
        if len(set(file.schema_arrow.names)) < len(file.schema_arrow.names):
            raise ValueError("a column stands in it twice")
        table = file.read()
        # A copy under another name, or of a camera that was renamed, would count a night twice.
        told = facts_url("", *(str(table[name][0]) for name in ("camera", "night")))
        if not url.endswith(told):
            raise ValueError(f"they are those of {told}")
        return table
    except Exception as error:  # damage raises whatever it leads to
        log.warning("%s: not facts (%s); left out, evaluate that night again", url, error)
        return None


def _try_check(url: str, arrow: pyarrow.Table) -> pd.DataFrame | None:
    try:
        return checked(arrow.to_pandas())
    except Exception as error:  # damage in what pandas notes of its columns raises whatever it leads to
        log.warning("%s: not facts (%s: %s); left out, evaluate that night again", url, type(error).__name__, error)
        return None
