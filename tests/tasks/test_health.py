"""Camera health: each fault is called by its name at its threshold, and not below it, nor without what it needs."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pandas as pd
import pytest

from tasks.findings import Finding
from tasks.health import HealthSettings, findings_of
from tasks.wording import LANGUAGES, say
from tests.tasks.made_facts import LAST, made_facts, made_row

SETTINGS = HealthSettings()
EARLIER = made_facts().iloc[1:]
PEERS = made_facts(nights=1, cameras=("gate", "hall"))
NOBODY = EARLIER.iloc[:0]


def findings(earlier: pd.DataFrame = EARLIER, peers: pd.DataFrame = PEERS, **changes: Any) -> list[Finding]:
    return findings_of(made_row(**changes), earlier, peers, SETTINGS)


def kinds(earlier: pd.DataFrame = EARLIER, peers: pd.DataFrame = PEERS, **changes: Any) -> list[str]:
    return [f.kind for f in findings(earlier, peers, **changes)]


FAULTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "covered": ({"covered_share": 0.25}, {"covered_share": 0.24}),
    "defocused": ({"edge_width": 4.4}, {"edge_width": 4.0}),
    "moved": ({"moved": 0.02}, {"moved": 0.019}),
    "frozen": ({"frozen_s": 60.0}, {"frozen_s": 59.0}),
    "blown": ({"blown": 0.2}, {"blown": 0.19}),
    "dark": ({"dark": 0.95}, {"dark": 0.94}),
    "dusty": ({"veil": 0.5, "relative_contrast": 0.4}, {"veil": 0.5, "relative_contrast": 0.75}),
    "infrared": ({"colour": 0.001}, {"colour": 0.002}),
    "clock_drift": ({"overlap_s": 3.0, "overlap_at": "23:00:00"}, {"overlap_s": 1.0}),
    "missing_hours": ({"missing": 0.02, "gaps_s": 900.0, "longest_gap": "23:00–23:15"}, {"missing": 0.01}),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_at_its_threshold_is_called_by_its_name(kind: str) -> None:
    assert kinds(**FAULTS[kind][0]) == [kind]


@pytest.mark.parametrize("kind", FAULTS)
def test_below_its_threshold_it_is_not(kind: str) -> None:
    assert kinds(**FAULTS[kind][1]) == []


def test_a_threshold_of_0_tells_every_fault_but_no_faultless_night() -> None:
    told = "blown_share dark_share frozen_s overlap_s drift_s_per_h missing_share sparse_share".split()
    strictest = replace(SETTINGS, **dict.fromkeys(told, 0.0))
    faultless = made_row(dark=0.0)
    assert [f.kind for f in findings_of(faultless, EARLIER, PEERS, strictest)] == []
    gap = faultless | {"missing": 0.001, "gaps_s": 30.0, "longest_gap": "23:00:00–23:00:30", "coverage": 0.999}
    assert [f.kind for f in findings_of(gap, EARLIER, PEERS, strictest)] == ["missing_hours"]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", FAULTS)
def test_every_finding_can_be_said_with_its_threshold(kind: str, language: str) -> None:
    (finding,) = findings(**FAULTS[kind][0])
    assert "threshold" in finding.values
    assert say(finding, language)


@pytest.mark.parametrize("fault", [FAULTS["dusty"][0], FAULTS["defocused"][0], {"flat": 0.8}])
def test_the_threshold_that_is_told_lies_between_the_usual_and_the_night(fault: dict[str, Any]) -> None:
    told = findings(**fault)[0].values
    assert float(told["usual"]) < float(told["threshold"]) <= float(told["value"])


def test_a_figure_that_is_not_known_is_no_fault() -> None:
    numbers = [n for n, v in made_row().items() if isinstance(v, float) and n != "coverage"]
    assert kinds(**dict.fromkeys(numbers, float("nan"))) == []


def test_a_moonless_night_is_dark_and_not_covered() -> None:
    night = {"covered_share": 1.0, "dark": 0.99}
    dark_before = made_facts(*(made_row("pit", k, **night) for k in range(30))).iloc[1:]
    assert kinds(dark_before, **night) == ["dark"]
    assert kinds(NOBODY, NOBODY, **night) == ["dark"]


def test_a_power_cut_that_darkens_every_camera_of_a_new_site_covers_none() -> None:
    dark_peers = PEERS.assign(covered_share=1.0)
    assert kinds(NOBODY, dark_peers, covered_share=1.0, dark=0.99) == ["dark"]


def test_a_camera_without_history_is_covered_where_its_neighbours_see() -> None:
    assert kinds(NOBODY, PEERS, covered_share=1.0, dark=0.99) == ["covered"]


def test_a_part_of_the_lens_that_shows_no_detail_any_more_is_covered() -> None:
    (finding,) = findings(flat=0.8)
    assert (finding.kind, finding.values["case"]) == ("covered", "part")
    assert all("{" not in say(finding, language) for language in LANGUAGES)
    assert kinds(flat=0.5) == []


def test_where_lamps_are_out_or_dust_hangs_nothing_is_covered() -> None:
    assert kinds(flat=0.9, dark=0.9) == []
    assert kinds(flat=0.9, veil=0.6, relative_contrast=0.4) == ["dusty"]
    assert kinds(flat=0.9, veil=0.6, relative_contrast=0.4, match=0.05) == ["covered"]


def test_a_lamp_that_burns_out_half_of_the_picture_does_not_cover_it() -> None:
    assert kinds(flat=0.6, blown=0.5) == ["blown"]


def test_a_camera_that_often_looks_covered_is_so_only_beyond_its_usual() -> None:
    dim = EARLIER.assign(covered_share=0.3)
    assert kinds(dim, covered_share=0.4) == []
    assert kinds(dim, covered_share=0.6) == ["covered"]


def test_a_camera_that_looks_covered_most_of_the_time_is_in_the_dark() -> None:
    assert kinds(EARLIER.assign(covered_share=0.5), covered_share=0.99) == []


@pytest.mark.parametrize("kind", ["covered", "defocused"])
@pytest.mark.parametrize(("good", "faulty"), [(3, 4), (10, 17)])
def test_a_fault_that_nobody_mends_does_not_become_the_usual(kind: str, good: int, faulty: int) -> None:
    fault = {"covered": {"covered_share": 1.0, "flat": 1.0}, "defocused": {"edge_width": 9.0}}[kind]
    before = made_facts(*(made_row("pit", k, **fault) for k in range(faulty + 1)), nights=good + faulty + 1)
    assert kinds(before[before["night"] < LAST], **fault) == [kind]


def test_a_new_camera_is_covered_where_its_neighbours_show_nothing_either() -> None:
    assert kinds(NOBODY, PEERS.assign(frames=0, covered_share=float("nan")), covered_share=1.0) == ["covered"]


def test_a_camera_on_a_vehicle_looks_elsewhere_every_night_and_is_not_moved() -> None:
    assert kinds(EARLIER.assign(moved=0.2), moved=0.3) == []
    assert kinds(EARLIER.assign(match=0.05), match=0.02) == []


def test_of_a_scene_without_detail_dust_is_not_told() -> None:
    dust = {"veil": 0.6, "relative_contrast": 0.4}
    assert kinds(**dust) == ["dusty"]
    assert kinds(EARLIER.assign(flat=0.95), flat=0.95, **dust) == []


def test_blur_and_glare_are_not_taken_for_dust() -> None:
    assert kinds(edge_width=9.0, veil=0.6, relative_contrast=0.4) == ["defocused"]
    assert kinds(blown=0.5, veil=0.6, relative_contrast=0.4) == ["blown"]


def test_from_a_covered_lens_nothing_else_of_the_picture_is_read() -> None:
    assert kinds(covered_share=1.0, edge_width=9.0, moved=0.3, veil=0.9, colour=0.0, frozen_s=99.0) == ["covered"]


def test_a_camera_without_history_is_not_compared_with_it() -> None:
    assert kinds(EARLIER.tail(2), edge_width=14.0, veil=0.9, relative_contrast=0.1) == []


def test_another_scene_is_told_from_a_shift() -> None:
    (finding,) = findings(match=0.05, moved=0.4)
    assert finding.values["case"] == "turned"


def test_infrared_all_along_is_a_note_and_a_change_asks_for_attention() -> None:
    always = EARLIER.assign(colour=0.0)
    assert [f.severity for f in findings(always, colour=0.0)] == ["note"]
    assert [f.severity for f in findings(EARLIER.assign(colour=0.005), colour=0.0)] == ["note"]
    assert [f.severity for f in findings(colour=0.0)] == ["attention"]


def test_steady_steps_between_files_are_a_drift_either_way() -> None:
    assert kinds(drift_s_per_h=12.0) == kinds(drift_s_per_h=-12.0) == ["clock_drift"]


@pytest.mark.parametrize(("share", "severity"), [(0.49, "attention"), (0.5, "bad")])
def test_half_a_night_without_footage_is_bad_and_less_asks_for_attention(share: float, severity: str) -> None:
    (finding,) = findings(missing=share, gaps_s=18_000.0, longest_gap="20:00–01:00")
    assert finding.severity == severity


@pytest.mark.parametrize(("gaps_s", "words"), [(9.0, "9 seconds"), (900.0, "15 minutes"), (9000.0, "2.5 hours")])
def test_what_is_missing_is_told_in_the_unit_that_a_person_would_say(gaps_s: float, words: str) -> None:
    (finding,) = findings(missing=0.2, gaps_s=gaps_s, longest_gap="20:00–21:00")
    assert words in say(finding, "en")


def test_a_night_without_a_frame_has_no_findings() -> None:
    assert kinds(frames=0, missing=1.0, covered_share=1.0) == []


def test_every_threshold_is_a_number_that_can_be_set() -> None:
    assert all(isinstance(f.default, int | float) for f in fields(HealthSettings))


def test_a_scene_that_has_nothing_in_common_agrees_by_nothing_and_not_by_less() -> None:
    (finding,) = findings(match=-0.04, moved=0.4)
    assert "only 0% of the picture's structure agrees" in say(finding, "en")


def test_a_recorder_that_takes_fewer_pictures_than_it_should_asks_for_attention() -> None:
    """No stretch is missing: every second slot is empty, since the recorder's rate was set anew."""
    (finding,) = findings(coverage=0.5)
    assert (finding.kind, finding.severity) == ("missing_hours", "attention")
    assert "50% of the pictures that should exist were not there (limit 10%)" in say(finding, "en")
    assert kinds(coverage=0.91) == []


def test_what_a_gap_costs_is_not_told_again_as_a_low_rate() -> None:
    gap = {"missing": 0.6, "gaps_s": 25_920.0, "longest_gap": "20:00–03:12"}
    assert kinds(coverage=0.4, **gap) == ["missing_hours"]
    assert [f.values["case"] for f in findings(coverage=0.2, **gap)] == ["", "sparse"]
    assert kinds(coverage=0.0, missing=1.0, gaps_s=43_200.0, longest_gap="18:00–06:00") == ["missing_hours"]


def test_only_a_night_without_a_picture_is_missing_by_100_per_cent() -> None:
    (finding,) = findings(missing=0.9985, gaps_s=43_135.0, coverage=0.0015, longest_gap="18:00–05:58")
    assert "(99%; limit 2%)" in say(finding, "en")


SHOWN_BY = {"covered": "flat", "defocused": "typical", "moved": "typical", "frozen": "typical", "blown": "blown",
            "dark": "dark", "dusty": "typical", "infrared": "typical"}  # fmt: skip


@pytest.mark.parametrize("kind", SHOWN_BY)
def test_a_fault_is_shown_by_the_picture_that_shows_it_best(kind: str) -> None:
    slots = {"typical_slot": 1, "flat_slot": 2, "blown_slot": 3, "dark_slot": 4}
    (finding,) = findings(**FAULTS[kind][0], **slots)
    assert finding.values["slot"] == slots[f"{SHOWN_BY[kind]}_slot"]
    assert findings(flat=0.8, **slots)[0].values["slot"] == slots["flat_slot"]


@pytest.mark.parametrize(("usual", "good", "soft"), [(2.0, 2.9, 3.1), (6.0, 7.7, 7.9)])
def test_edges_are_soft_that_are_wider_by_a_pixel_and_by_a_third(usual: float, good: float, soft: float) -> None:
    before = EARLIER.assign(edge_width=usual)
    assert kinds(before, edge_width=good) == []
    assert kinds(before, edge_width=soft) == ["defocused"]


def test_a_dark_picture_is_told_neither_as_dust_nor_as_infrared() -> None:
    assert kinds(dark=0.99, colour=0.0, veil=0.9, relative_contrast=0.1) == ["dark"]


def test_blocks_that_are_black_on_every_night_do_not_lower_the_limit_of_a_part() -> None:
    assert kinds(EARLIER.assign(flat=0.1, dark=0.5), flat=0.5, dark=0.15) == []


def test_a_part_that_stays_covered_does_not_become_the_usual() -> None:
    part = {"flat": 0.9, "sharpness_after": 0.5}
    before = made_facts(*(made_row("pit", k, **part) for k in range(18)), nights=28)
    assert kinds(before[before["night"] < LAST], **part) == ["covered"]


def test_nights_without_a_frame_are_no_history() -> None:
    before = EARLIER.tail(4).copy()
    before.loc[before.index[:2], "frames"] = 0
    assert kinds(before, edge_width=14.0) == []


def test_as_many_nights_as_the_settings_ask_for_are_enough() -> None:
    assert kinds(EARLIER.tail(3), edge_width=14.0) == ["defocused"]


@pytest.mark.parametrize(("frozen_s", "words"), [(100.0, "100 seconds"), (5400.0, "90 minutes"), (9000.0, "2.5 hours")])
def test_a_standstill_is_told_in_the_unit_that_a_person_would_say(frozen_s: float, words: str) -> None:
    (finding,) = findings(frozen_s=frozen_s, frozen_at="23:10:00")
    assert f"stood still for {words} from 23:10:00 on" in say(finding, "en")


def test_what_is_told_of_the_clock_is_its_own_figure() -> None:
    back, drift = findings(overlap_s=3.0, overlap_at="23:00:00")[0], findings(drift_s_per_h=-12.0)[0]
    assert "files overlap by 3 s at 23:00:00 (limit 2 s)" in say(back, "en")
    assert "part by 12.0 s an hour on average (limit 10.0 s)" in say(drift, "en")


def test_a_move_is_told_since_the_night_that_it_was_compared_with() -> None:
    for change in ({"moved": 0.1}, {"match": 0.05}):
        assert "than on 2026-02-20:" in say(findings(moved_since="2026-02-20", **change)[0], "en")
