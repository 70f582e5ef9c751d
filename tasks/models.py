"""The model registry in the store: versions that never change, and which of them is in production.

    <store>/models/<version>/model.safetensors     then card.json, whose existence means that the version is whole
    <store>/models/<version>/decision.json         what `retrain` decided of it and why, where it did
    <store>/models/production.json                 the promoted version and the history of promotions, one atomic object

A version is named by its date and the sha256 of its weights, so that storing it again changes nothing. Two people who
promote at once go one after the other, by a lease beside production.json. One whose process was suspended meanwhile,
for longer than a lease lives, writes over nothing that it hasn't read (`conditional.replace`).
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lednet import checkpoint
from lednet.checkpoint import Card, CheckpointError
from tasks import conditional, lease, listing, storage
from tasks.cache import cache_folder
from tasks.store import canonical_json

PRODUCTION = "production"
"""The checkpoint's name that stands for whatever is promoted."""
VERSION = re.compile(r"\d{4}-\d{2}-\d{2}-[0-9a-f]{12}")
SHA_DIGITS = 12
RUN = "run"
"""Field of a card's training: which retraining made it (`tasks.finetune`), by all that decides what it makes."""
FORMAT = 1
PATIENCE_S = 60.0
"""Longest wait for another's change of production, which takes a moment ..."""
LOOK_S = 0.1
"""... and how often it is looked at."""


class ModelError(ValueError):
    """The registry can't do what was asked; the message names the version, the cause and the next step."""


@dataclass(frozen=True)
class Version:
    """One stored model."""

    name: str
    """Date and the first digits of the weights' sha256."""
    url: str
    card: Card
    decision: dict[str, Any] | None = None
    """What `retrain` decided of it; None for one that was added by hand."""


@dataclass(frozen=True)
class Promotion:
    """One change of production: what came, what went, and why."""

    version: str
    previous: str
    """What was in production before; empty for the first."""
    action: str
    """`promote` or `rollback`."""
    who: str
    when: str
    """ISO 8601, UTC."""
    why: str


@dataclass(frozen=True)
class Production:
    """What is in production, and how it came there."""

    version: str = ""
    """Empty: nothing was promoted yet."""
    history: tuple[Promotion, ...] = field(default_factory=tuple)
    """Oldest first."""


def models_url(store: str) -> str:
    """Where a store's models stand."""
    return storage.join(store, "models")


def version_url(store: str, version: str) -> str:
    """Where a version stands. Raises ModelError for a name that can't be one."""
    if not VERSION.fullmatch(version):
        raise ModelError(f"{version!r}: no version of a model; `lednet models list` names them")
    return storage.join(models_url(store), version)


def add_version(store: str, weights: Path, when: str) -> Version:
    """Store a checkpoint as a version; one that is stored already is returned, and written again if it is damaged.

    Args:
        weights: a .safetensors file with its card beside it.
        when: ISO 8601; its date names the version.

    Raises:
        CheckpointError: if the checkpoint is not whole.
    """
    card, data = checkpoint.identify(weights)
    # Also one that has lost its card: under another day's name, production would still lack what it names.
    known = [name for name in _folders(store) if name.endswith(card.sha256[:SHA_DIGITS])]
    whole = [name for name in known if _is_whole(store, name)]
    name = next(iter((*whole, *known)), f"{when[:10]}-{card.sha256[:SHA_DIGITS]}")
    if not whole:
        url = version_url(store, name)
        storage.write(storage.join(url, "model.safetensors"), data)
        storage.write(storage.join(url, "card.json"), canonical_json(asdict(replace(card, name=name))))
    return read_version(store, name)


def made_by(store: str, run: str) -> Version | None:
    """The version that a retraining made, the newest if there are several; None if none is stored whole."""
    made = (v for v in reversed(read_versions(store)[0]) if next(v.card.legs(), {}).get(RUN) == run)
    return next((v for v in made if _is_whole(store, v.name)), None)


def _is_whole(store: str, name: str) -> bool:
    """Whether a version's card can be read and its weights are those that its card and its name tell."""
    try:
        _weights(read_version(store, name))
    except ModelError:
        return False
    return True


def record_decision(version: Version, decision: Mapping[str, Any]) -> Version:
    """Store next to a version what was decided of it."""
    storage.write(storage.join(version.url, "decision.json"), canonical_json(dict(decision)))
    return replace(version, decision=dict(decision))


def version_names(store: str) -> list[str]:
    """The whole versions, oldest first. What a crash left without a card is none."""
    return [name for name in _folders(store) if storage.exists(storage.join(version_url(store, name), "card.json"))]


def _folders(store: str) -> list[str]:
    """Where versions are or were begun, oldest first."""
    return [name for name in listing.names(models_url(store)) if VERSION.fullmatch(name)]


def read_version(store: str, name: str) -> Version:
    """A stored version. Raises ModelError if there is none, or its card is damaged."""
    url = version_url(store, name)
    try:
        card = _card(storage.read(storage.join(url, "card.json")))
        if card.sha256[:SHA_DIGITS] != name[-SHA_DIGITS:]:
            raise ValueError("it is another version's")
    except FileNotFoundError:
        known = ", ".join(version_names(store)) or "none"
        raise ModelError(f"{name}: no such version in {models_url(store)}; stored are {known}") from None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{url}/card.json: not a card ({error}); add the checkpoint again") from error
    return Version(name, url, card, _decision(url))


def read_versions(store: str) -> tuple[list[Version], dict[str, str]]:
    """All versions, oldest first, and those whose card is damaged: name -> what is wrong and what to do."""
    versions, damaged = [], dict[str, str]()
    for name in version_names(store):
        try:
            versions.append(read_version(store, name))
        except ModelError as error:
            damaged[name] = str(error)
    return versions, damaged


def read_whole_versions(store: str) -> tuple[list[Version], dict[str, str]]:
    """As `read_versions`; one whose weights are gone, or are not those that its card tells, is damaged as well. Reads
    the weights of all."""
    versions, damaged = read_versions(store)
    whole = []
    for version in versions:
        try:
            _weights(version)
            whole.append(version)
        except ModelError as error:
            damaged[version.name] = str(error)
    return whole, damaged


def _card(data: bytes) -> Card:
    card = Card(**json.loads(data))
    if not re.fullmatch(r"[0-9a-f]{64}", card.sha256) or not isinstance(card.config, dict):
        raise ValueError("its sha256 or its config is none")
    return card


def _decision(url: str) -> dict[str, Any] | None:
    try:
        decision = json.loads(storage.read(storage.join(url, "decision.json")))
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return decision if isinstance(decision, dict) else None


def read_production(store: str) -> Production:
    """What is in production. Raises ModelError if the record is damaged."""
    return _read_production(store)[0]


def _read_production(store: str) -> tuple[Production, str]:
    """The same, and the mark of its record."""
    url = storage.join(models_url(store), "production.json")
    try:
        data, mark = conditional.read_marked(url)
        record = json.loads(data)
        if record["format"] != FORMAT:
            raise ValueError(f"its format is {record['format']}, not {FORMAT}")
        history = tuple(Promotion(**entry) for entry in record["history"])
        if not history or history[-1].version != record["version"]:
            raise ValueError("its history does not end with its version")
        return Production(str(record["version"]), history), mark
    except FileNotFoundError:
        return Production(), ""
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ModelError(f"{url}: not a record of promotions ({error}); restore it, or remove and promote") from error


def promote(store: str, version: str, who: str, when: str, why: str, instead_of: str | None = None) -> Production:
    """Put a version into production, by one atomic write. Nothing happens if it is there already.

    Args:
        instead_of: what must be in production for this to be right; None: whatever is.

    Raises:
        ModelError: if there is no such version, its weights are damaged, or production changed meanwhile.
    """
    _download(read_version(store, version))  # a night must be able to load what is promoted
    with _alone(store):
        before, mark = _read_production(store)
        if instead_of is not None and before.version != instead_of:
            raise ModelError(
                f"{version}: not promoted, since production became {before.version or 'none'} meanwhile, and it was "
                f"compared with {instead_of or 'none'}; run it again"
            )
        if before.version == version:
            return before
        return _write(store, before, mark, Promotion(version, before.version, "promote", who, when, why))


def rollback(store: str, who: str, when: str, why: str) -> Production:
    """Put the version back that the present one replaced; done again, the one before that.

    Raises:
        ModelError: if nothing was in production before, its weights are gone or damaged, or production changed
            meanwhile: two who roll back the same version must not go back two.
    """
    now = read_production(store)
    back = _replaced(now.history)
    if not back:
        raise ModelError(f"{models_url(store)}: nothing was in production before {now.version or 'now'}; promote one")
    _download(read_version(store, back))
    with _alone(store):
        found, mark = _read_production(store)
        if found != now:
            raise ModelError(
                f"{now.version}: not rolled back, since production became {found.version} meanwhile; look at "
                "`lednet models list`, and run it again if that is to go back as well"
            )
        return _write(store, now, mark, Promotion(back, now.version, "rollback", who, when, why))


def _replaced(history: Sequence[Promotion]) -> str:
    """What the last promotion that still stands took the place of, empty for the first or none. A rollback takes back
    one promotion and not a version, which may have been promoted twice."""
    standing: list[str] = []
    for change in history:
        if change.action == "promote":
            standing.append(change.previous)
        elif standing:
            standing.pop()
    return standing[-1] if standing else ""


@contextmanager
def _alone(store: str) -> Iterator[None]:
    """Hold the lease of production while the context lasts, so that no other change is read before it or written over.

    Raises:
        ModelError: if another holds it for longer than `PATIENCE_S`.
    """
    until = time.monotonic() + PATIENCE_S
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(lease.held(models_url(store)))
                break
            except lease.HeldError as other:
                if time.monotonic() > until:
                    raise ModelError(
                        f"{models_url(store)}: another has been changing production for {PATIENCE_S:.0f} s; "
                        "lease.<n>.json there names its process: let it finish, or end it, and run this again"
                    ) from other
                time.sleep(LOOK_S)
        yield


def rolled_back(production: Production, version: str) -> Promotion | None:
    """When and why a version was taken out of production, if it was and nobody promoted it since."""
    last = [p for p in production.history if version in (p.version, p.previous)]
    return last[-1] if last and last[-1].action == "rollback" and last[-1].previous == version else None


def _write(store: str, before: Production, mark: str, change: Promotion) -> Production:
    """Write a change of the record of this mark. Raises ModelError if that is there no more."""
    after = Production(change.version, (*before.history, change))
    history = [asdict(p) for p in after.history]
    record = canonical_json({"format": FORMAT, "version": after.version, "history": history})
    if not conditional.replace(storage.join(models_url(store), "production.json"), record, mark):
        raise ModelError(
            f"{change.version}: no {change.action}, since another changed production while this process was away; look "
            "at `lednet models list`, and run it again"
        )
    return after


def resolve(name: str, store: str) -> str:
    """A checkpoint's name as every worker understands it: `production` becomes the promoted version's URL.

    Raises:
        ModelError: if nothing is in production.
    """
    if name != PRODUCTION:
        return name
    version = read_production(store).version
    if not version:
        raise ModelError(
            f"checkpoint {PRODUCTION}: no model is promoted in {models_url(store)}; promote one (lednet models "
            'promote), or set checkpoint = "small"'
        )
    return version_url(store, version)


def fetch(name: str) -> str:
    """What `lednet.checkpoint` loads: a version's URL becomes a file of this machine's cache, all else stays.

    The cache is LEDNET_CACHE, or ~/.cache/lednet. The weights' sha256 is checked against the card and the version's
    name; a damaged copy is fetched again.

    Raises:
        ModelError, CheckpointError: if the version is not there or not whole.
    """
    if "://" not in name:
        return name
    store, _, version = name.removesuffix("/").rpartition("/models/")
    found = read_version(store, version)
    path = _cached(found)
    try:
        checkpoint.identify(path)
    except CheckpointError:
        _download(found)
    return str(path)


def _cached(version: Version) -> Path:
    """Where this machine's copy of a version's weights stands."""
    return cache_folder("models", version.card.sha256) / f"{version.name}.safetensors"


def _download(version: Version) -> None:
    """Copy a version from the store into the cache, whatever is there. Raises ModelError if it is gone or damaged."""
    path = _cached(version)
    data = _weights(version)
    storage.write(str(path), data)
    storage.write(str(checkpoint.card_path(path)), canonical_json(asdict(version.card)))
    checkpoint.identify(path)


def _weights(version: Version) -> bytes:
    """A version's weights, as the store has them. Raises ModelError if they are gone or damaged."""
    try:
        data = storage.read(storage.join(version.url, "model.safetensors"))
    except FileNotFoundError:
        raise ModelError(
            f"{version.url}: its model.safetensors is gone; add the checkpoint again, or promote another"
        ) from None
    digest = hashlib.sha256(data).hexdigest()
    if digest != version.card.sha256:
        raise ModelError(
            f"{version.url}/model.safetensors: sha256 is {digest[:12]}, its card says {version.card.sha256[:12]}; "
            "add the checkpoint again, or promote another"
        )
    return data
