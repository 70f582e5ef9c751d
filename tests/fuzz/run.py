"""Fuzz for minutes: `python -m tests.fuzz.run TARGET [--seconds 600] [--engine hypothesis]`, targets as in
`tests.fuzz.targets`, or `all`, one after another, each in a process of its own.

Two engines. hypothesis changes seeds at random and makes what it finds small. With atheris installed (`pip install
atheris`; it is no dependency of ours) coverage of the readers leads the way. An input that a target answers with a
foreign error, or slowly, is kept in `fuzz-findings/` and should become a test.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

SLOW_S = 10.0
FINDINGS = Path("fuzz-findings")
MOST_BYTES = 16_384
"""Of an input; the video seeds have some thousands."""
MOST_MEMORY = 8 * 2**30
"""Address space: a bomb must cost this process alone."""
READERS = ["tasks", "lednet", "tests.fuzz.targets", "json", "tomllib", "strptime"]
"""Modules whose branches are counted."""
AT_ONCE = 1000
"""Inputs that hypothesis makes before it begins anew from another seed of its own; it remembers all of them."""
ENGINES = ("hypothesis", "atheris")

Check = Callable[[str, bytes], None]


def one(check: Check, name: str, data: bytes) -> None:
    """Give a target some bytes; what is wrong with the answer is kept and raised."""
    began = time.process_time()
    try:
        check(name, data)
        if time.process_time() - began > SLOW_S:
            raise TimeoutError(f"took {time.process_time() - began:.0f} s of CPU")
    except Exception:
        FINDINGS.mkdir(exist_ok=True)
        (FINDINGS / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}").write_bytes(data)
        raise


def by_hypothesis(name: str, seconds: float) -> int:
    """Change seeds at random until the time is up; returns the number of inputs. Raises what it found."""
    from hypothesis import HealthCheck, Phase, given, seed, settings

    from tests.fuzz import targets
    from tests.fuzz.inputs import changed

    count, end = 0, time.monotonic() + seconds
    steps = settings(
        max_examples=AT_ONCE, deadline=None, database=None, suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )  # fmt: skip

    def read(data: bytes) -> None:
        nonlocal count
        if time.monotonic() < end:  # afterwards the rest of a round passes without work
            count += 1
            one(targets.check, name, data)

    rounds = 0
    while time.monotonic() < end:
        steps(seed(rounds)(given(changed(targets.TARGETS[name].seeds))(read)))()
        rounds += 1
    return count


def by_atheris(name: str, seconds: float) -> None:
    """Follow the coverage until the time is up; ends the process."""
    import atheris

    with atheris.instrument_imports(include=READERS):
        from tests.fuzz import targets  # only here: what is imported before is not counted
    corpus = targets.FOLDER / "corpus"
    corpus.mkdir()
    for k, seed in enumerate(targets.TARGETS[name].seeds):
        (corpus / str(k)).write_bytes(seed)
    # Without -len_control inputs begin at one byte, and a manifest of one byte teaches nothing.
    options = [f"-max_total_time={seconds:.0f}", f"-max_len={MOST_BYTES}", "-len_control=0", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], str(corpus), *options], lambda data: one(targets.check, name, data))
    atheris.Fuzz()


def all_targets(seconds: float, engine: str) -> int:
    """Every target in a process of its own, so that one's findings and limits are not another's; the exit code."""
    from tests.fuzz import targets

    failed = []
    for name in targets.TARGETS:
        words = [sys.executable, "-m", "tests.fuzz.run", name, "--seconds", str(seconds), "--engine", engine]
        if subprocess.run(words, check=False).returncode:
            failed.append(name)
    print("findings: " + (", ".join(failed) or "none"))
    return int(bool(failed))


def main() -> int:
    """Run until the time is up or something is found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0])
    options = parser.parse_args()
    if options.target == "all":
        return all_targets(options.seconds, options.engine)
    logging.disable()  # what readers say of each input
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    if options.engine == "atheris":
        by_atheris(options.target, options.seconds)
    began = time.process_time()
    count = by_hypothesis(options.target, options.seconds)
    spent = time.process_time() - began
    print(f"{options.target}: {count} inputs in {options.seconds:.0f} s ({spent:.0f} of CPU), no finding", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
