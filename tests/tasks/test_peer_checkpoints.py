"""A peer's checkpoint can be named wherever a night names one: as a path, and as a stored version."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lednet import checkpoint
from lednet.baselines.peers import PEERS
from tasks import models
from tasks.enhance import load_restorer


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "zero_dce_trained.safetensors"
    checkpoint.save(path, PEERS["zero_dce_trained"](), half=True, training={"clips": ["pit"]}, validation={})
    return path


def test_a_worker_restores_with_a_peers_checkpoint_by_its_path(weights: Path) -> None:
    restored = load_restorer(str(weights), 256, "auto", False).restore(np.full((1, 40, 50, 3), 30, np.uint8))
    assert restored.shape == (1, 40, 50, 3)


def test_a_peer_is_stored_as_a_version_and_fetched_from_it(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEDNET_CACHE", str(tmp_path / "cache"))
    store = (tmp_path / "store").as_uri()
    version = models.add_version(store, weights, "2026-01-15T10:00:00+00:00")
    assert version.card.config == {"model": "zero_dce_trained"}
    assert load_restorer(version.url, 256, "auto", False).sha256 == checkpoint.read_card(weights).sha256
