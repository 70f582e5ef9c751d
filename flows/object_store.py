"""The object store's endpoint, region and keys from a Prefect block, for those that the environment does not name.

    LEDNET_S3_BLOCK     name of a Secret block that holds {"endpoint": ..., "region": ..., "key": ..., "secret": ...}

The block is read once a process, where a command or flow begins, and becomes the AWS_ variables that `tasks.storage`
goes by; what the environment names itself wins, the two keys together. Dask workers are given the same by a plugin,
those that join later too. Nothing else is told of them: no argument, log line, artifact or object holds them. Not
covered: a night's embedded Prefect server, which is empty and knows no block.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from distributed import WorkerPlugin

from flows.logs import PlainError
from tasks import storage

BLOCK = "LEDNET_S3_BLOCK"
FIELDS = {
    "endpoint": "AWS_ENDPOINT_URL",
    "region": "AWS_DEFAULT_REGION",
    "key": "AWS_ACCESS_KEY_ID",
    "secret": "AWS_SECRET_ACCESS_KEY",
}
"""The block's fields, and the variables that they stand for."""
NEEDED = ("key", "secret")
IDENTITY = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE")
"""Variables that say who asks. Where the environment has any of them, the block's keys are not used: half of one and
half of the other would be nobody's."""
TAKEN = "LEDNET_S3_TAKEN"
"""Names the AWS_ variables that were taken from a block, so that they are not held for the site's own."""


class BlockError(PlainError):
    """The Prefect block can't be used; the message names it, cause and next step, and nothing of its content."""


def use_block() -> None:
    """Take from the block that LEDNET_S3_BLOCK names what the environment lacks. Does nothing where it names none, and
    where the environment names all.

    Raises:
        BlockError: if the block is needed and can't be used.
    """
    name = os.environ.get(BLOCK)
    if name and not os.environ.get(TAKEN) and not all(os.environ.get(variable) for variable in FIELDS.values()):
        take(read_block(name))


def read_block(name: str) -> dict[str, str]:
    """What a Secret block holds, as AWS_ variables.

    Raises:
        BlockError: if there is none, or it holds something else.
    """
    from httpx import HTTPError
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound
    from prefect.settings import PREFECT_API_URL

    if not PREFECT_API_URL.value():
        raise _error(name, "PREFECT_API_URL is not set", "name the Prefect server that keeps the block")
    try:
        with get_client(sync_client=True) as client:
            document = client.read_block_document_by_name(name, "secret", include_secrets=True)
    except ObjectNotFound:
        where = f"there is no Secret block of this name on {PREFECT_API_URL.value()}"
        raise _error(name, where, "make it (docs/operating.md, The object store)") from None
    except (HTTPError, RuntimeError) as error:
        raise _error(name, f"the Prefect server did not give it ({error})", "look at the server") from error
    return _variables(name, document.data.get("value"))


def _variables(name: str, value: Any) -> dict[str, str]:
    """The content, checked. No error repeats any of it, or leads to one that does."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    shape = 'a JSON object {"endpoint": ..., "region": ..., "key": ..., "secret": ...}'
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise _error(name, f"its value is not {shape} of strings", "write it anew")
    missing = [f for f in NEEDED if not value.get(f)]
    if missing:
        raise _error(name, f"it has no {' and no '.join(missing)}", f"write {shape} into it")
    if set(value) - set(FIELDS):
        raise _error(name, f"it has other fields than {', '.join(FIELDS)}", "remove them")
    return {variable: value[f] for f, variable in FIELDS.items() if value.get(f)}


def _error(name: str, cause: str, next_step: str) -> BlockError:
    return BlockError(f"{BLOCK}={name}: {cause}; {next_step}, or set the AWS_ variables instead")


def take(values: Mapping[str, str]) -> None:
    """Make AWS_ variables of this process's environment, in place of those that an earlier block gave; its own stay."""
    before = os.environ.get(TAKEN, "").split()
    own = {name for name in (*FIELDS.values(), *IDENTITY) if os.environ.get(name) and name not in before}
    if own.intersection(IDENTITY):
        own.update(IDENTITY)
    for name in before:
        os.environ.pop(name, None)
    taken = {name: value for name, value in values.items() if name not in own}
    os.environ.update(taken | {TAKEN: " ".join(taken)})
    storage.forget()


def hand_on(client: Any) -> None:
    """Give a Dask client's workers, and those that join later, what this process took from a block.

    It stays with the scheduler until it ends or a later run brings other keys: the next night needs it again, and
    another that is under way on the same workers as well.
    """
    values = {name: os.environ[name] for name in os.environ.get(TAKEN, "").split()}
    if values:
        client.register_plugin(ObjectStoreAccess(values), name="lednet-object-store")


@dataclass(frozen=True)
class ObjectStoreAccess(WorkerPlugin):
    """Takes `values` (AWS_ variables) over into a worker's environment, before it is given work."""

    values: dict[str, str] = field(repr=False)

    def setup(self, worker: Any) -> None:
        """Called by Dask when the worker has registered."""
        take(self.values)
