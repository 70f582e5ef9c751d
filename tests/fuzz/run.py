"""Fuzz one target for minutes: `python -m tests.fuzz.run TARGET [SECONDS]`, targets as in `tests.fuzz.targets`.

With atheris installed (`pip install atheris`; it is no dependency of ours) coverage of the readers leads the way;
without it seeds are changed at random, which is said. An input that a target answers with a foreign error, or slowly,
is kept in `fuzz-findings/` and should become a test.
"""

from __future__ import annotations

import hashlib
import random
import resource
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType

SLOW_S = 10.0
FINDINGS = Path("fuzz-findings")
MOST_BYTES = 16_384
"""Of an input; the video seeds have some thousands."""
MOST_MEMORY = 8 * 2**30
"""Address space: a bomb must cost this process alone."""
READERS = ["tasks", "lednet", "tests.fuzz.targets", "json", "tomllib", "strptime"]
"""Modules whose branches are counted."""

Check = Callable[[str, bytes], None]


def one(check: Check, name: str, data: bytes) -> None:
    """Give a target some bytes; what is wrong with the answer is kept and raised."""
    began = time.monotonic()
    try:
        check(name, data)
        if time.monotonic() - began > SLOW_S:
            raise TimeoutError(f"took {time.monotonic() - began:.0f} s")
    except Exception:
        FINDINGS.mkdir(exist_ok=True)
        (FINDINGS / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}").write_bytes(data)
        raise


def changed(rng: random.Random, data: bytes) -> bytes:
    """A seed with some bytes overwritten, cut out or put in."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 12)):
        at = rng.randrange(len(out) + 1)
        length = rng.choice((1, 1, 1, 4, 40))
        out[at : at + rng.choice((0, length))] = rng.choice((rng.randbytes(length), b"", b"\xff" * length))
    return bytes(out)


def atheris_module() -> ModuleType | None:
    """atheris, where it is installed."""
    try:
        import atheris
    except ImportError:
        return None
    return atheris  # type: ignore[no-any-return]


def main() -> None:
    """Run until the time is up or something is found."""
    name, seconds = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 600.0
    atheris = atheris_module()
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    with atheris.instrument_imports(include=READERS) if atheris else nullcontext():
        from tests.fuzz import targets  # only here: what is imported before is not counted
    seeds = targets.TARGETS[name].seeds
    if atheris is None:
        at_random(targets.check, name, seeds, seconds)
        return
    corpus = targets.FOLDER / "corpus"
    corpus.mkdir()
    for k, seed in enumerate(seeds):
        (corpus / str(k)).write_bytes(seed)
    # Without -len_control inputs begin at one byte, and a manifest of one byte teaches nothing.
    options = [f"-max_total_time={seconds:.0f}", f"-max_len={MOST_BYTES}", "-len_control=0", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], str(corpus), *options], lambda data: one(targets.check, name, data))
    atheris.Fuzz()


def at_random(check: Check, name: str, seeds: tuple[bytes, ...], seconds: float) -> None:
    """Change seeds at random until the time is up."""
    print("atheris is not installed: seeds are changed at random, without coverage")
    rng, count, end = random.Random(0), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        one(check, name, changed(rng, rng.choice(seeds)))
        count += 1
    print(f"{name}: {count} inputs in {seconds:.0f} s, no finding")


if __name__ == "__main__":
    main()
