"""Fuzz one target for minutes: `python -m tests.fuzz.run TARGET [SECONDS]`, targets as in `tests.fuzz.targets`.

With atheris installed (`pip install atheris`; it is no dependency of ours) coverage leads the way; without it seeds are
changed at random, which is said. An input that a target answers with a foreign error, or slowly, is kept in
`fuzz-findings/` and should become a test.
"""

from __future__ import annotations

import hashlib
import random
import sys
import time
from pathlib import Path

from tests.fuzz import targets

SLOW_S = 10.0
FINDINGS = Path("fuzz-findings")


def one(name: str, data: bytes) -> None:
    """Give a target some bytes; what is wrong with the answer is kept and raised."""
    began = time.monotonic()
    try:
        targets.check(name, data)
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


def main() -> None:
    """Run until the time is up or something is found."""
    name, seconds = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 600.0
    try:
        import atheris
    except ImportError:
        atheris = None
    if atheris is not None:
        corpus = targets.FOLDER / "corpus"
        corpus.mkdir()
        for k, seed in enumerate(targets.TARGETS[name].seeds):
            (corpus / str(k)).write_bytes(seed)
        atheris.Setup(
            [sys.argv[0], str(corpus), f"-max_total_time={seconds:.0f}"],
            lambda data: one(name, data),
            enable_python_coverage=True,
        )
        atheris.Fuzz()
        return
    print("atheris is not installed: seeds are changed at random, without coverage")
    rng, count, end = random.Random(0), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        one(name, changed(rng, rng.choice(targets.TARGETS[name].seeds)))
        count += 1
    print(f"{name}: {count} inputs in {seconds:.0f} s, no finding")


if __name__ == "__main__":
    main()
