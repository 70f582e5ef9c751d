"""GoPro footage becomes a data set of pairs: degraded and sharp, in the store.

    list the footage -> plan and lay out the data set -> one future a clip on the workers -> mark what is whole

Running it again makes only the clips that are missing. A clip that can't be read is named and never stops the rest.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from distributed import Client, as_completed
from prefect import flow

from flows import clusters
from flows.object_store import hand_on, use_block
from lednet import __version__
from tasks import pairs, storage
from tasks.footage import list_footage
from tasks.settings import LearnSettings
from tasks.site import read_site

log = logging.getLogger("lednet")


@dataclass(frozen=True)
class Synthesised:
    """What came of it."""

    url: str
    """Of the Zarr group."""
    pairs: int
    clips: int
    """That could be read."""
    problems: tuple[str, ...]
    """Files that could not be read, with the reason."""
    sheet: str


class SynthesisIncompleteError(RuntimeError):
    """Some clips could not be made for now; run it again."""


@flow(name="synthesize")
def synthesize(source: str, store_url: str, dataset: str = "", site: str = "") -> Synthesised:
    """Make a data set of pairs from sharp footage.

    Args:
        source: folder, file or URL of GoPro footage.
        store_url: where `pairs/<dataset>.zarr` goes, as a path or URL.
        dataset: its name; by default made from its content, so that new footage makes a new data set.
        site: cameras.toml, for its [learn] table; by default the settings as they come.

    Raises:
        ClipError: if there is no footage.
        RecipeError: if a file that [learn] names in recipes can't be used.
        SynthesisIncompleteError: if a worker or the store failed; what is done stays.
    """
    use_block()
    learn = read_site(site).learn if site else LearnSettings()
    plan = pairs.plan_pairs(list_footage([source]), storage.normalise(store_url), dataset, learn)
    pairs.create(plan, __version__)
    done = pairs.done_clips(plan)
    missing = [k for k, clip in enumerate(plan.clips) if clip.name not in done]
    log.info("%s: %d clips, %d done already", plan.url, len(plan.clips), len(done))
    failures = make(plan, missing) if missing else []
    if failures:
        raise SynthesisIncompleteError(f"{plan.url}: {len(failures)} clips not made ({failures[0]}); run it again")
    count, sheet = pairs.finish(plan)
    problems = tuple(problem for problem in pairs.done_clips(plan).values() if problem)
    return Synthesised(plan.url, count, len(plan.clips) - len(problems), problems, sheet)


def make(plan: pairs.PairsPlan, missing: list[int]) -> list[str]:
    """Make clips on the workers, as plain futures, since a data set may have thousands; returns what failed."""
    failures = []
    with clusters.workers() as cluster, Client(cluster) as client:  # type: ignore[no-untyped-call]
        hand_on(client)
        shared = client.scatter(plan, broadcast=True)
        futures = {client.submit(pairs.synthesise_clip, shared, k, pure=False): k for k in missing}
        for future in as_completed(futures):  # type: ignore[no-untyped-call]
            clip = plan.clips[futures[future]].name
            error = future.exception()
            if error is not None:
                failures.append(f"{clip}: {error}")
                log.error("%s failed: %s", clip, error)
            else:
                log.info("%s: %s", clip, future.result() or "made")
    return failures
