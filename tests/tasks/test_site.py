"""cameras.toml is read whole or refused, with a message that says where and what."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lednet.degrade import RECIPES, RecipeError
from tasks.health import HealthSettings
from tasks.settings import LearnSettings, NightSettings, SynthesisSettings
from tasks.site import Site, SiteError, parse_site, read_site
from tasks.types import Camera

HUGE = pytest.param(10**5000, id="huge")
NORTH: dict[str, Any] = {
    "id": "pit-north",
    "name": "Pit, north face",
    "scene": "outdoor",
    "timezone": "Asia/Shanghai",
    "pattern": "north/%Y-%m-%d/%H%M%S.mp4",
    "rate": 5,
}
WHOLE = """
[settings]
checkpoint = "night.safetensors"
shard_mb = 64

[[camera]]
id = "pit-north"
name = "北坡"
scene = "outdoor"
timezone = "Asia/Shanghai"
pattern = "北坡/%Y-%m-%d/%H%M%S.mp4"
rate = "30000/1001"
start = "19:30"
end = "05:15:30"
clock = "utc"
clock_offset_s = -2.5
segment_s = 60

[[camera]]
id = "silo_1"
name = "Silo"
scene = "indoor"
timezone = "Europe/Berlin"
pattern = "GX{chapter}{clip}.MP4"
rate = 0.5
"""


def site_of(*cameras: dict[str, Any], **tables: Any) -> Site:
    return parse_site({"camera": [{**NORTH, **c} for c in cameras or ({},)], **tables}, "mine/cameras.toml")


def without(name: str) -> dict[str, Any]:
    return {k: v for k, v in NORTH.items() if k != name}


# What is read


def test_every_field_of_a_camera_is_read(tmp_path: Path) -> None:
    (tmp_path / "cameras.toml").write_text(WHOLE, encoding="utf-8")
    assert read_site(str(tmp_path / "cameras.toml")).cameras[0] == Camera(
        "pit-north", "北坡", "outdoor", "Asia/Shanghai", "北坡/%Y-%m-%d/%H%M%S.mp4", Fraction(30000, 1001),
        "19:30", "05:15:30", "utc", -2.5, 60,
    )  # fmt: skip


def test_fields_that_are_left_out_have_the_documented_values(tmp_path: Path) -> None:
    (tmp_path / "cameras.toml").write_text(WHOLE, encoding="utf-8")
    silo = read_site(str(tmp_path / "cameras.toml")).cameras[1]
    assert (silo.start, silo.end, silo.clock, silo.clock_offset_s, silo.segment_s) == (
        "18:00", "06:00", "local", 0.0, None,
    )  # fmt: skip


def test_a_site_is_read_by_url_too(tmp_path: Path) -> None:
    (tmp_path / "my site #1.toml").write_text(WHOLE, encoding="utf-8")
    assert len(read_site(f"file://{tmp_path}/my site #1.toml").cameras) == 2


def test_settings_that_are_named_are_read_and_the_others_keep_their_defaults(tmp_path: Path) -> None:
    (tmp_path / "cameras.toml").write_text(WHOLE, encoding="utf-8")
    assert read_site(str(tmp_path / "cameras.toml")).settings == NightSettings("night.safetensors", shard_mb=64)


@pytest.mark.parametrize("field", [f.name for f in fields(NightSettings)])
def test_every_setting_can_be_set(field: str) -> None:
    named = {"checkpoint": "other", "video": "frame-wise", "item_stall_s": 7200, "codec": "jpeg", "precision": "bf16"}
    named |= {"compile": True}
    value: Any = named.get(field, 7)
    assert getattr(site_of(settings={field: value}).settings, field) == value


def test_a_switch_is_on_or_off_and_nothing_else() -> None:
    assert site_of(settings={"compile": False}).settings.compile is False
    with pytest.raises(SiteError, match="compile must be true or false, not 1"):
        site_of(settings={"compile": 1})


def test_an_unknown_way_to_restore_video_is_told() -> None:
    with pytest.raises(SiteError, match="video must be steady or frame-wise, not 'shaky'"):
        site_of(settings={"video": "shaky"})


def test_an_unknown_precision_is_told() -> None:
    with pytest.raises(SiteError, match="precision must be one of auto, fp32, bf16, not 'int8'"):
        site_of(settings={"precision": "int8"})


def test_an_unknown_codec_is_told() -> None:
    with pytest.raises(SiteError, match="codec must be one of zstd, jpegxl-lossless, jpegxl, jpeg, not 'h264'"):
        site_of(settings={"codec": "h264"})


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [("zstd_level", 23, "1 to 22"), ("jpegxl_effort", 10, "1 to 9"), ("jpeg_quality", 101, "1 to 100"),
     ("jpegxl_distance", 0.05, "0.1 to 25"), ("jpegxl_distance", 26, "0.1 to 25")],
)  # fmt: skip
def test_a_number_that_an_encoder_would_refuse_or_change_is_told(field: str, value: float, words: str) -> None:
    with pytest.raises(SiteError, match=rf"{field} must be {words}, not {value}"):
        site_of(settings={field: value})


@pytest.mark.parametrize("value", ["1", True, float("nan"), float("inf"), 0, -1.0, None, [1.0], HUGE])
def test_a_distance_that_is_no_number_above_0_is_told(value: Any) -> None:
    with pytest.raises(SiteError, match="settings: jpegxl_distance must be a number above 0, not"):
        site_of(settings={"jpegxl_distance": value})


def test_a_distance_written_as_a_whole_number_makes_no_other_run() -> None:
    written = (site_of(settings={"codec": "jpegxl", "jpegxl_distance": value}).settings for value in (2, 2.0))
    assert len({repr(one.stored()) for one in written}) == 1


@pytest.mark.parametrize(
    ("written", "rate"),
    [(5, Fraction(5)), (0.1, Fraction(1, 10)), ("25", Fraction(25)), ("12.5", Fraction(25, 2)), (240, Fraction(240)),
     ("30000/1001", Fraction(30000, 1001)), (29.97, Fraction(2997, 100)), ("1/60", Fraction(1, 60))],
)  # fmt: skip
def test_a_rate_is_a_number_or_a_fraction(written: Any, rate: Fraction) -> None:
    assert site_of({"rate": written}).cameras[0].rate == rate


# What is refused


@pytest.mark.parametrize("rate", [0, -5, 0.0, 241, "0", "-1", "5/0", "fast", "", "1e999999999", True, [5], None,
                                  float("nan"), float("inf"), 1e-12, HUGE])  # fmt: skip
def test_a_rate_that_is_none_is_refused(rate: Any) -> None:
    with pytest.raises(SiteError, match=r"mine/cameras\.toml, camera 1: rate must be above 0 and at most 240"):
        site_of({"rate": rate})


@pytest.mark.parametrize("name", list(NORTH))
def test_a_camera_without_a_needed_field_is_refused(name: str) -> None:
    with pytest.raises(SiteError, match=rf"mine/cameras\.toml, camera 1: missing {name}, unknown nothing"):
        parse_site({"camera": [without(name)]}, "mine/cameras.toml")


def test_an_unknown_field_is_refused_and_the_known_ones_are_listed() -> None:
    with pytest.raises(SiteError, match=r"camera 2: missing nothing, unknown fps; known fields: id, name, .*segment_s"):
        site_of({}, {"id": "other", "fps": 5})


@pytest.mark.parametrize("name", ["id", "name", "scene", "timezone", "pattern", "start", "end", "clock"])
@pytest.mark.parametrize("value", [3, 1.5, True, ["x"], {"a": 1}, None])
def test_text_that_is_no_text_is_refused(name: str, value: Any) -> None:
    with pytest.raises(SiteError, match=rf"mine/cameras\.toml, camera 1: {name} must be text, not "):
        site_of({name: value})


@pytest.mark.parametrize("name", ["clock_offset_s", "segment_s"])
@pytest.mark.parametrize("value", ["3", True, [], None, float("nan"), float("inf"), float("-inf"), HUGE])
def test_seconds_that_are_no_number_are_refused(name: str, value: Any) -> None:
    with pytest.raises(SiteError, match=rf"mine/cameras\.toml, camera 1: {name} must be"):
        site_of({name: value})


@pytest.mark.parametrize("value", ["1", True, 1.5, None, HUGE])
def test_a_priority_that_is_no_whole_number_is_refused(value: Any) -> None:
    with pytest.raises(SiteError, match=r"mine/cameras\.toml, camera 1: priority must be a whole number"):
        site_of({"priority": value})
    assert [site_of({"priority": p}).cameras[0].priority for p in (-1, 7)] == [-1, 7]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("id", "Pit North", "id 'Pit North' must be lower-case"),
        ("id", "", "id '' must be"),
        ("id", "../x", "id '../x' must be"),
        ("id", "a\n", "id 'a\\n' must be"),
        ("id", "a" * 65, "64 at most"),
        ("scene", "underwater", "scene must be outdoor or indoor, not 'underwater'"),
        ("clock", "gps", "clock must be local or utc, not 'gps'"),
        ("timezone", "Mars/Olympus", "'Mars/Olympus' is no IANA time zone"),
        ("timezone", "", "'' is no IANA time zone"),
        ("timezone", "../../etc/passwd", "is no IANA time zone"),
        ("timezone", "Asia", "'Asia' is no IANA time zone"),
        ("timezone", "UTC\0", "is no IANA time zone"),
        ("segment_s", 0, "segment_s must be above 0"),
        ("segment_s", -60, "segment_s must be above 0"),
        ("segment_s", 8 * 86_400, "at most a week"),
        ("clock_offset_s", 4e7, "clock_offset_s must be within a year"),
        ("pattern", "", "must stay below the archive"),
        ("pattern", "/etc/%Y.mp4", "must stay below the archive"),
        ("pattern", "../other/%Y.mp4", "must stay below the archive"),
        ("pattern", "north/../../%Y.mp4", "must stay below the archive"),
    ],
)
def test_a_field_with_an_impossible_value_is_refused(name: str, value: Any, message: str) -> None:
    with pytest.raises(SiteError, match=re.escape(message)) as caught:
        site_of({name: value})
    assert str(caught.value).startswith("mine/cameras.toml, camera 1: ")


@pytest.mark.parametrize("name", ["start", "end"])
@pytest.mark.parametrize(
    "value", ["24:00", "25:00", "18:60", "six", "", "18", "1800", "T18:00", "18:00+08:00", "18:00Z", "18:00:00.5",
              "18h", "6:00", "１８:００"],
)  # fmt: skip
def test_what_is_no_time_of_day_is_refused(name: str, value: str) -> None:
    with pytest.raises(SiteError, match=rf"camera 1: {name} must be a time of day such as 18:00, not "):
        site_of({name: value})


def test_dots_within_a_name_leave_nothing() -> None:
    assert site_of({"pattern": "a..b/%Y...mp4"}).cameras[0].pattern == "a..b/%Y...mp4"


def test_two_cameras_of_one_id_are_refused() -> None:
    with pytest.raises(SiteError, match=r"mine/cameras\.toml: camera id pit-north stands twice; ids must differ"):
        site_of({}, {"id": "b"}, {})


@pytest.mark.parametrize("table", [{}, {"camera": []}, {"camera": NORTH}, {"camera": "north"}, {"settings": {}}])
def test_a_file_that_describes_no_camera_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(SiteError, match=r"mine/cameras\.toml: no \[\[camera\]\]"):
        parse_site(table, "mine/cameras.toml")


def test_an_unknown_table_is_refused() -> None:
    with pytest.raises(SiteError, match=r"mine/cameras\.toml: unknown table cameras; known are settings, camera"):
        site_of(cameras=[])


def test_a_camera_that_is_no_table_is_refused() -> None:
    with pytest.raises(SiteError, match=r"mine/cameras\.toml, camera 2: must be a table"):
        parse_site({"camera": [NORTH, 5]}, "mine/cameras.toml")


@pytest.mark.parametrize("value", [0, -1, 2.0, "3", True, None, 2**50, HUGE])
def test_a_setting_that_is_no_positive_number_is_refused(value: Any) -> None:
    with pytest.raises(SiteError, match=r"mine/cameras\.toml, settings: shard_mb must be a whole number above 0, not "):
        site_of(settings={"shard_mb": value})


def test_a_checkpoint_that_is_no_text_is_refused() -> None:
    with pytest.raises(SiteError, match=r"settings: checkpoint must be text, not 5"):
        site_of(settings={"checkpoint": 5})


def test_an_unknown_setting_is_refused_and_the_known_ones_are_listed() -> None:
    with pytest.raises(SiteError, match=r"mine/cameras\.toml, settings: unknown field 'shards'; known: checkpoint, .*"):
        site_of(settings={"shards": 5})


def test_the_table_of_learning_is_read_and_the_others_keep_their_defaults() -> None:
    learn = {"footage": "s3://gopro", "steps": 50, "learning_rate": 1}
    assert site_of(learn=learn).learn == LearnSettings("s3://gopro", steps=50, learning_rate=1)


@pytest.mark.parametrize(
    ("learn", "words"),
    [
        ({"steps": 0}, "steps must be above 0"),
        ({"steps": 1.5}, "steps must be a whole number"),
        ({"steps": True}, "steps must be a whole number"),
        ({"footage": ["a"]}, "footage must be text"),
        ({"film": "a"}, "unknown field 'film'; known: footage"),
        ({"recipes": "night,noon"}, "no recipe noon; there are paper, night, mine"),
        ({"recipes": "a/dusty.toml,b/dusty.toml"}, "recipes: several files are called dusty.toml; give each a name"),
        ({"recipes": "s3://site/dusty.toml"}, "learn: recipes: s3://site/dusty.toml: recipes are read from files; wri"),
        ({"recipes": "../dusty.toml"}, "mine/cameras.toml, learn: recipes: .*refusing the path '../dusty.toml'"),
        ({"recipes": ["dusty.toml"]}, "recipes must be text"),
        ({"judged_crop": 12}, "judged_crop must be 16 or more"),
        ({"held_out_share": 1.0}, "held_out_share and confidence must lie between 0 and 1"),
        ({"zstd_level": 23}, "learn: zstd_level must be 1 to 22, not 23"),
        ([], "learn must be a table"),
    ],
)
def test_what_is_wrong_in_the_table_of_learning_is_named(learn: Any, words: str) -> None:
    with pytest.raises(SiteError, match=words):
        site_of(learn=learn)


def written(folder: Path, recipes: str) -> Path:
    """A cameras.toml whose [learn] names recipes."""
    site = folder / "cameras.toml"
    site.write_text(f'[learn]\nrecipes = "{recipes}"\n{WHOLE}')
    return site


def test_recipes_may_be_files_whose_relative_paths_start_beside_cameras_toml(tmp_path: Path) -> None:
    learn = read_site(str(written(tmp_path, "night, own/dusty.toml,/etc/fog.toml"))).learn
    assert learn.recipe_names == ("night", f"{tmp_path}/own/dusty.toml", "/etc/fog.toml")


def test_built_in_recipes_stay_as_they_are_written() -> None:
    assert site_of(learn={"recipes": "night, paper"}).learn.recipes == "night, paper"


def test_a_recipes_file_that_is_not_there_stops_no_night(tmp_path: Path) -> None:
    learn = read_site(str(written(tmp_path, "gone.toml"))).learn
    with pytest.raises(
        RecipeError, match=rf"recipes of \[learn\]: {tmp_path}/gone.toml: not a readable TOML file \(.*; write a"
    ):
        learn.find_recipes()


def test_the_recipes_of_the_default_exist() -> None:
    assert set(LearnSettings().recipe_names) <= set(RECIPES)


def test_settings_that_are_no_table_are_refused() -> None:
    with pytest.raises(SiteError, match="settings must be a table"):
        site_of(settings=[])


@pytest.mark.parametrize(
    ("table", "field", "value", "words"),
    [
        ("health", "frozen_s", "long", "a number"),
        ("health", "frozen_s", -1, "a number"),
        ("health", "frozen_s", float("nan"), "a number"),
        ("health", "least_nights", 2.5, "a whole number"),
        ("synthesis", "frames", True, "a whole number"),
        ("synthesis", "lpips_weights", 5, "text"),
        ("health", "frozen", 5, "unknown field 'frozen'"),
        # Written in per cent, as alarm_coverage is, they would silence the finding without a word.
        ("health", "missing_share", 5, "missing_share must be 0 to 1, .* 0.02, not 5"),
        ("health", "covered_flat", 95, "covered_flat must be 0 to 1"),
        ("health", "trend_confidence", 99.9, "trend_confidence must lie between 0 and 1, .* 0.999, not 99.9"),
        ("health", "model_confidence", 1, "model_confidence must lie between 0 and 1"),
        ("health", "least_nights", 0, "least_nights must be 2 or more, not 0"),
        ("health", "history_nights", 2, "history_nights = 2: must be no fewer than least_nights, which is 3"),
        ("synthesis", "frames", 0, "frames must be 1 or more, not 0"),
        ("synthesis", "width", 0, "width must be 32 or more, not 0"),
        ("synthesis", "least_brightness", 15, "least_brightness must be 0 to 1, .* 0.15, not 15"),
    ],
)
def test_a_threshold_of_another_kind_is_refused_by_name(table: str, field: str, value: Any, words: str) -> None:
    with pytest.raises(SiteError, match=rf"mine/cameras\.toml, {table}: .*{words}"):
        site_of(**{table: {field: value}})


def test_thresholds_are_taken_and_the_others_stay() -> None:
    site = site_of(
        health={"frozen_s": 30}, synthesis={"frames": 2, "lpips_weights": "w.npz"}, report={"language": "zh"}
    )
    assert site.health == HealthSettings(frozen_s=30)
    assert site.synthesis == SynthesisSettings(frames=2, lpips_weights="w.npz")
    assert site.language == "zh"


def test_a_language_without_texts_is_refused() -> None:
    with pytest.raises(SiteError, match="language must be en or zh, not 'fr'"):
        site_of(report={"language": "fr"})


@pytest.mark.parametrize(
    ("daylight", "wanted"),
    [("day/*.jpg", "{folder}/day/*.jpg"), ("/day", "/day"), ("s3://mine/day", "s3://mine/day"), ("", "")],
)
def test_daylight_starts_beside_cameras_toml(tmp_path: Path, daylight: str, wanted: str) -> None:
    lines = [f"{name} = {json.dumps(value)}" for name, value in {**NORTH, "daylight": daylight}.items()]
    (tmp_path / "cameras.toml").write_text("\n".join(["[[camera]]", *lines]))
    assert read_site(str(tmp_path / "cameras.toml")).cameras[0].daylight == wanted.format(folder=tmp_path.as_uri())


# Files


def test_a_file_that_is_not_there_is_told_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match=r"nowhere\.toml: not there; write a cameras\.toml"):
        read_site(str(tmp_path / "nowhere.toml"))


def test_a_folder_in_place_of_the_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match=re.escape(str(tmp_path)) + ": (cannot be read|not there)"):
        read_site(str(tmp_path))


@pytest.mark.parametrize(
    "content",
    [b"camera = [", b"\xff\xfe\x00", b"\x00" * 64, b"[[camera]]\nid = 1\nid = 2", b"a = " + b"9" * 5000,
     b"a = " + b"[" * 100_000],
    ids=["open", "no text", "zeros", "twice", "huge", "deep"],
)  # fmt: skip
def test_a_file_that_is_no_toml_is_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "cameras.toml").write_bytes(content)
    with pytest.raises(SiteError, match=r"cameras\.toml: not a TOML file"):
        read_site(str(tmp_path / "cameras.toml"))


# Selecting


def cameras(*ids: str) -> Site:
    return site_of(*({"id": i, "pattern": f"{i}/%H%M%S.mp4"} for i in ids))


def test_named_cameras_are_selected_in_the_order_asked_each_once() -> None:
    site = cameras("a", "b", "c")
    assert [c.id for c in site.select(["c", "a", "c"])] == ["c", "a"]


@pytest.mark.parametrize("ids", [None, []])
def test_without_names_all_cameras_are_selected(ids: list[str] | None) -> None:
    assert [c.id for c in cameras("a", "b").select(ids)] == ["a", "b"]


def test_a_camera_that_is_not_described_is_told_with_those_that_are() -> None:
    with pytest.raises(SiteError, match=r"no camera x in cameras\.toml; known: a, b"):
        cameras("a", "b").select(["a", "x"])


# Anything at all

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.dates(),
    st.times(),
    st.binary(max_size=4),
)
anything = st.recursive(
    scalars,
    lambda x: st.one_of(st.lists(x, max_size=3), st.dictionaries(st.text(max_size=6), x, max_size=3)),
    max_leaves=6,
)
camera_fields = [f.name for f in fields(Camera)]


def read_or_refused(table: dict[str, Any]) -> None:
    try:
        parse_site(table, "mine/cameras.toml")
    except SiteError as error:
        refusal = str(error)
    else:
        return
    assert refusal.startswith("mine/cameras.toml")


@settings(max_examples=100)
@given(st.dictionaries(st.one_of(st.sampled_from(["camera", "settings"]), st.text(max_size=5)), anything, max_size=4))
def test_any_table_is_read_or_refused(table: dict[str, Any]) -> None:
    read_or_refused(table)


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(camera_fields), anything, max_size=3))
def test_a_camera_with_anything_in_its_fields_is_read_or_refused(changed: dict[str, Any]) -> None:
    read_or_refused({"camera": [{**NORTH, **changed}]})


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from([f.name for f in fields(NightSettings)]), anything, max_size=3))
def test_settings_of_anything_are_read_or_refused(changed: dict[str, Any]) -> None:
    read_or_refused({"camera": [NORTH], "settings": changed})
