"""The legs of a training on a card: all of them come back, and each is stored for what is new in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lednet import checkpoint
from lednet.checkpoint import CheckpointError, card_path, read_card
from lednet.legs import in_all, legs_before, legs_of
from lednet.model import LEDNet, LEDNetConfig

NIGHT, PAPER = {"blur": [0.5, 9.0], "gain": 3.0}, {"blur": [0.25, 4.0], "gain": 1.0}


def leg(number: int, **changed: Any) -> dict[str, Any]:
    settings = {"seed": number, "init": "", "stages": [[0.5, 128], [1.0, 176]], "loss": {"perceptual": 0.1}}
    recipes = {"night": NIGHT, "paper": PAPER}
    return {"command": f"leg {number}", "settings": settings, "recipes": recipes, "clips": ["a", "b"],
            "steps_done": 10} | changed  # fmt: skip


def stored(training: dict[str, Any]) -> dict[str, Any]:
    """As it is read from a file."""
    read: dict[str, Any] = json.loads(json.dumps(training))
    return read


def trained(*legs: dict[str, Any]) -> dict[str, Any]:
    """A card's training after these legs, the first of them first."""
    training: dict[str, Any] = {}
    for one in legs:
        training = stored(legs_before(training) | one)
    return training


def test_every_leg_comes_back_as_it_was() -> None:
    legs = [leg(1), leg(2, recipes={"night": PAPER}), {"command": "by hand", "steps_done": 0}, leg(3, clips=["c"])]
    legs += [leg(4, settings={"of": "a text", "table": {"of": "a text"}}, curve=[[1, 2]])]
    assert list(legs_of(trained(*legs))) == legs[::-1]


def test_a_card_sums_up_its_legs_for_who_reads_no_further() -> None:
    legs = [leg(1, hours=0.5, device="a GPU", photos=7), leg(2, hours=0.25, device="CPU", clips=["c", "a"])]
    training = trained(*legs, {"command": "by hand", "steps_done": 0})
    told = in_all(training)
    assert told == {
        "steps": 20, "hours": 0.75, "devices": ["CPU", "a GPU"], "recipes": ["night", "paper"],
        "clips": ["c", "a", "b"], "photos": 7,
    }  # fmt: skip
    assert [one["command"] for one in legs_of({"in_all": told} | training)] == ["by hand", "leg 2", "leg 1"]
    assert not [one for one in legs_of({"in_all": told} | training) if "in_all" in one]


def test_what_an_older_cards_legs_hold_one_in_another_is_made_flat_by_the_next() -> None:
    old = leg(3) | {"from": leg(2) | {"from": leg(1)}}
    training = stored(legs_before(old) | leg(4))
    assert list(legs_of(training)) == [leg(4), leg(3), leg(2), leg(1)]
    assert "from" not in json.dumps(training)


def test_a_leg_that_repeats_the_one_before_is_stored_for_what_is_new_in_it() -> None:
    second, third = (trained(*map(leg, range(count))) for count in (2, 3))
    assert third["contents"] == second["contents"]
    assert json.dumps(third).count('"gain"') == 4  # of the last leg, and once for all before it


def test_a_recipe_that_keeps_its_name_and_not_its_numbers_stays_two() -> None:
    brighter = NIGHT | {"gain": 4.0}
    training = trained(leg(1), leg(2, recipes={"night": brighter}), leg(3))
    assert [one["recipes"]["night"] for one in legs_of(training)] == [NIGHT, brighter, NIGHT]


@pytest.mark.parametrize("name", ["small", "base"])
def test_a_shipped_cards_legs_are_the_same_after_another(name: str) -> None:
    card = read_card(checkpoint.locate(name))
    training = stored(legs_before(card.training) | leg(1))
    assert list(legs_of(training))[1:] == list(card.legs())
    assert len(json.dumps(training)) < 80_000


DAMAGED: list[dict[str, Any]] = [
    {"before": [leg(1, clips="gone")], "contents": {}},
    {"before": [leg(1)]},
    {"before": 3},
    {"clips": 3},
    {"steps_done": "many"},
]


@pytest.mark.parametrize("training", DAMAGED)
def test_a_card_whose_legs_can_not_be_told_is_damaged(
    tmp_path: Path, tiny: LEDNetConfig, training: dict[str, Any]
) -> None:
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, LEDNet(tiny), half=True, training={}, validation={})
    card = json.loads(card_path(path).read_text()) | {"training": training}
    card_path(path).write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match="no readable card"):
        read_card(path)
