"""The state of a retraining, kept in the store, so that another machine or container can go on from it.

Covers `<store>/training/<run>-<device>.pt`, a copy of the trainer's `state.pt`: written at each of its saves, fetched
where this machine has none, removed when the new version is stored. Not covered: what a state holds (`lednet.trainer`),
which run is which (`tasks.finetune`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from lednet import checkpoint
from lednet.legs import CLIP_KEYS
from lednet.trainer import Trainer
from tasks import listing, storage
from tasks.models import RUN

log = logging.getLogger(__name__)


def states_url(store: str) -> str:
    """Where a store keeps the states of retrainings that are not done."""
    return storage.join(store, "training")


def forget(store: str) -> None:
    """Remove all of them. A retraining that is at work elsewhere leaves its own again at its next save."""
    for name in listing.names(states_url(store)):
        storage.remove(storage.join(states_url(store), name))


class KeptTrainer(Trainer):
    """A trainer whose saved states are copied to the store; its folder names the run.

    A CPU's random state is of no use to a GPU, so each kind of device has a state of its own.

    Args:
        store: the store's URL.
        clip_keys: clip -> what changes with its files (`tasks.footage`), for the card.
        trainers: what a `Trainer` is given.
    """

    def __init__(self, store: str, clip_keys: Mapping[str, str], *trainers: Any) -> None:
        super().__init__(*trainers)
        self.store, self.clip_keys = store, clip_keys

    def description(self) -> dict[str, Any]:
        """The run, so that it is not done again once its version is stored; and the clips' keys, so that footage that
        is filmed anew under an old name is told from what is known."""
        keys = {c.name: self.clip_keys[c.name] for c in self.clips}
        return super().description() | {RUN: self.out.name, CLIP_KEYS: keys}

    @property
    def kept(self) -> str:
        """Where this run's state is kept."""
        return storage.join(states_url(self.store), f"{self.out.name}-{self.device.type}.pt")

    def save_state(self) -> None:
        """Here, and then in the store: where that fails it is told of, and the training goes on."""
        super().save_state()
        try:
            storage.write(self.kept, self.state_path.read_bytes())
        except OSError as error:
            log.warning("the training's state is on this machine alone: %s", error)

    def resume(self) -> None:
        """Go on from this machine's state, or from the store's where there is none.

        Raises:
            ValueError: if the state is damaged; names the one to delete.
            OSError: if the store can't be read.
        """
        fetched = not self.state_path.exists() and self._fetch()
        try:
            super().resume()
        except ValueError as error:
            if not fetched:
                raise
            self.state_path.unlink()
            raise ValueError(f"{self.kept}, fetched as {error}") from error

    def _fetch(self) -> bool:
        """Copy the store's state here; returns whether there is one."""
        try:
            state = storage.read(self.kept)
        except FileNotFoundError:
            return False
        # A checkpoint that an earlier training left here is of another state, perhaps of an earlier step.
        (self.out / f"{self.name}.safetensors").unlink(missing_ok=True)
        checkpoint.write_atomically(self.state_path, state)
        log.info("fetched %s", self.kept)
        return True
