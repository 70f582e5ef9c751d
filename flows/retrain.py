"""New footage makes a new model, which is promoted only if it is better.

    list all footage again -> train on from production -> judge both on held-out clips of old and new cameras
    -> store the new version and the decision -> promote it, or keep the old one and say why

Triggered by the event `gopro.footage.landed` (prefect.yaml); running it again with the same footage changes nothing.
"""

from __future__ import annotations

import getpass
import logging
import socket
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows.object_store import use_block
from lednet import checkpoint
from tasks import finetune, kept_training, models, storage
from tasks.footage import list_footage
from tasks.promotion import Decision, decide
from tasks.settings import NightSettings
from tasks.site import read_site

log = logging.getLogger("lednet")


@flow(name="retrain")
def retrain(
    footage: list[str] | None = None,
    site: str = "cameras.toml",
    store_url: str = "store",
    steps: int | None = None,
    promote: bool = True,
) -> Decision:
    """Train a new model on a site's GoPro footage and promote it if it is better; returns what was decided, and why.

    Args:
        footage: folders, files or URLs, besides the folder that [learn] of cameras.toml names, which is always listed
            anew: an event may have been missed, and old cameras must not be forgotten.
        site: path or URL of cameras.toml.
        store_url: where the models are, as a path or URL.
        steps: of the training; by default what [learn] says.
        promote: False: decide and record, but leave production as it is.

    Raises:
        ClipError: if there is no footage to learn from, or none of it can be read.
        RecipeError: if a file that [learn] names in recipes can't be used.
    """
    use_block()
    described, store_url = read_site(site), storage.normalise(store_url)
    learn = replace(described.learn, steps=steps or described.learn.steps)
    learn.find_recipes()  # what is wrong with their files is told before footage is listed
    clips = list_footage([*([learn.footage] if learn.footage else []), *(footage or [])])
    old = started_from(store_url, described.settings)
    divided = finetune.divide(clips, old.card, learn)
    log.info("%d clips to train on, %d held out", len(divided.training), len(divided.held_out))
    if nothing := finetune.nothing_new(old.card, divided.training, learn):
        return told(Decision(False, f"kept: {old.name} {nothing}", old.name, "", None))
    before = Path(models.fetch(old.url))
    after, unread = finetune.fine_tune(before, divided, learn, finetune.train_settings(learn, old.card), store_url)
    new = models.add_version(store_url, after, now())
    kept_training.forget(store_url)
    figures, unseen = finetune.compare(before, after, divided, learn)
    decision = decide(old.name, new.name, figures, learn)
    taken_out = models.rolled_back(models.read_production(store_url), new.name)
    if decision.promote and taken_out is not None:
        why = f"kept: {new.name} was rolled back by {taken_out.who} ({taken_out.why}); promote it by hand, or film more"
        decision = replace(decision, promote=False, why=why)
    if decision.promote and not promote:
        decision = replace(decision, why=decision.untried)
    problems = sorted({f"{p.url}: {p.reason}" for p in (*unread, *unseen)})
    models.record_decision(new, decision.to_dict() | {"unreadable": problems})
    if decision.promote and promote:
        try:
            put_in_production(store_url, old.name, decision)
        except models.ModelError as refusal:  # what stands beside the version must not say that it was promoted
            refused = replace(decision, promote=False, why=f"kept: {refusal}")
            models.record_decision(new, refused.to_dict() | {"unreadable": problems})
            raise
        if described.settings.checkpoint != models.PRODUCTION:
            log.warning(
                "nights go on with checkpoint = %s of %s; to have them take what is promoted, write %s in its place",
                *(described.settings.checkpoint, site, models.PRODUCTION),
            )
    return told(decision)


def started_from(store_url: str, settings: NightSettings) -> models.Version:
    """The version in production; before the first promotion the site's checkpoint, stored as a version."""
    version = models.read_production(store_url).version
    if version:
        return models.read_version(store_url, version)
    name = "small" if settings.checkpoint == models.PRODUCTION else settings.checkpoint
    return models.add_version(store_url, checkpoint.locate(name), now())


def put_in_production(store_url: str, old: str, decision: Decision) -> None:
    """Promote what was decided for, unless production changed meanwhile. The first one's start is promoted before it,
    so that there is something to roll back to."""
    if not models.read_production(store_url).version:
        models.promote(store_url, old, who(), now(), "where the first retraining started", instead_of="")
    models.promote(store_url, decision.new, who(), now(), decision.why, instead_of=old)


def told(decision: Decision) -> Decision:
    """The decision, after showing it in the log and on the flow's page."""
    log.info("%s against %s: %s", decision.new or "nothing new", decision.old, decision.why)
    rows = [
        f"| {d.of} | {d.old:.{n}f} | {d.new:.{n}f} | {d.mean:+.{n}f} | {d.low:.{n}f} to {d.high:.{n}f} |"
        for d, n in ((d, d.digits) for d in decision.differences)
    ]
    head = ["", "| held out | old, dB | new, dB | gain, dB | interval |", "| --- | --- | --- | --- | --- |"]
    create_markdown_artifact("\n".join([decision.why, *(head + rows if rows else [])]), key="retrain")
    return decision


def who() -> str:
    """Who promotes: this account on this machine."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # containers may run as a number without a name
        return socket.gethostname()


def now() -> str:
    """The time of a promotion."""
    return datetime.now(UTC).isoformat(timespec="seconds")
