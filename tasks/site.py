"""A site's description: cameras.toml, read and checked.

[settings]                       # optional; every field of tasks.settings.NightSettings
checkpoint = "small"

[report]                         # optional
language = "en"                  # of the report's page, en or zh

[health]                         # optional; every field of tasks.health.HealthSettings
frozen_s = 60

[synthesis]                      # optional; every field of tasks.settings.SynthesisSettings
frames = 8
[learn]                          # optional; every field of tasks.settings.LearnSettings
footage = "s3://gopro"

[[camera]]
id = "pit-north"
name = "Pit, north face"
scene = "outdoor"                # outdoor | indoor
timezone = "Asia/Shanghai"
pattern = "north/%Y-%m-%d/%H%M%S.mp4"
rate = 5                         # slots a second; "30000/1001" is fine
daylight = "day/north/*.jpg"     # optional: its own daylight, a path beside cameras.toml or a URL
start = "18:00"                  # the rest has defaults, see tasks.types.Camera
end = "06:00"
priority = 0                     # the higher, the earlier its work is done
"""

from __future__ import annotations

import re
import reprlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import time
from fractions import Fraction
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tasks import storage
from tasks.health import HealthSettings
from tasks.settings import RECIPE_SUFFIX, LearnSettings, NightSettings, SynthesisSettings
from tasks.types import Camera
from tasks.wording import LANGUAGES

CAMERA_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
TIME_OF_DAY = re.compile(r"\d\d:\d\d(:\d\d)?", re.ASCII)
RATE = re.compile(r"\d{1,9}([./]\d{1,9})?", re.ASCII)
MOST_SLOTS_A_SECOND = 240
TABLES = ("settings", "camera", "report", "health", "synthesis", "learn")

Table = TypeVar("Table", HealthSettings, SynthesisSettings, LearnSettings)


class SiteError(ValueError):
    """cameras.toml is missing or wrong; the message names the file, the camera, the field and the next step."""


@dataclass(frozen=True)
class Site:
    """Cameras and settings of a site."""

    cameras: tuple[Camera, ...]
    settings: NightSettings
    language: str = "en"
    """Of the report's page, one of `tasks.wording.LANGUAGES`."""
    health: HealthSettings = field(default_factory=HealthSettings)
    synthesis: SynthesisSettings = field(default_factory=SynthesisSettings)
    learn: LearnSettings = field(default_factory=LearnSettings)

    def select(self, ids: list[str] | None) -> tuple[Camera, ...]:
        """The named cameras, all of them for None. Raises SiteError for one that is not described."""
        known = {camera.id: camera for camera in self.cameras}
        unknown = [i for i in ids or [] if i not in known]
        if unknown:
            raise SiteError(f"no camera {', '.join(unknown)} in cameras.toml; known: {', '.join(known)}")
        return tuple(known[i] for i in dict.fromkeys(ids)) if ids else self.cameras


def read_site(location: str) -> Site:
    """Read cameras.toml from a path or URL. Raises SiteError with what is wrong and where."""
    url = storage.normalise(location)
    try:
        text = storage.read(url).decode("utf-8-sig")  # some editors put a mark before the text
        table = tomllib.loads(text)
    except FileNotFoundError:
        raise SiteError(f"{location}: not there; write a cameras.toml (README, section Your own night)") from None
    except OSError as error:
        raise SiteError(f"{location}: cannot be read ({error}); pass the path or URL of a cameras.toml") from error
    except UnicodeDecodeError as error:
        raise SiteError(f"{location}: not a TOML file: not UTF-8 ({error}); save it as UTF-8 there") from error
    except (ValueError, RecursionError) as error:  # not TOML, numbers or nesting beyond all bounds
        raise SiteError(f"{location}: not a TOML file: {error}; mend it there") from error
    site = parse_site(table, location)
    folder = url.rpartition("/")[0]
    return replace(site, cameras=tuple(_placed(camera, folder) for camera in site.cameras))


def _placed(camera: Camera, folder: str) -> Camera:
    """A camera whose daylight is a URL: a relative path of it starts beside cameras.toml."""
    return replace(camera, daylight=_beside(camera.daylight, folder)) if camera.daylight else camera


def _beside(location: str, folder: str) -> str:
    """A path or URL that cameras.toml names: a relative path of it starts in this folder."""
    whole = "://" in location or location.startswith(("/", "~"))
    return location if whole else storage.join(folder, location)


def parse_site(table: Mapping[str, Any], source: str) -> Site:
    """A parsed cameras.toml -> Site. Raises SiteError."""
    unknown = set(table) - set(TABLES)
    if unknown:
        raise SiteError(f"{source}: unknown table {', '.join(sorted(unknown))}; known are {', '.join(TABLES)}")
    entries = table.get("camera")
    if not isinstance(entries, list) or not entries:
        raise SiteError(f"{source}: no [[camera]] in it; describe one at least")
    cameras = tuple(_camera(entry, f"{source}, camera {n}") for n, entry in enumerate(entries, 1))
    doubled = {c.id for c in cameras if [d.id for d in cameras].count(c.id) > 1}
    if doubled:
        raise SiteError(f"{source}: camera id {', '.join(sorted(doubled))} stands twice; ids must differ")
    _refuse_mixed(cameras, source)
    return Site(
        cameras,
        _settings(table.get("settings", {}), source),
        _language(table.get("report", {}), source),
        _numbers(HealthSettings, table.get("health", {}), source, "health"),
        _numbers(SynthesisSettings, table.get("synthesis", {}), source, "synthesis"),
        _learn(table.get("learn", {}), source),
    )


def _refuse_mixed(cameras: Sequence[Camera], source: str) -> None:
    """A pattern that catches another camera's files as well would mix the pictures of both in one night; the very same
    one, of an entry that was copied, would show one camera's pictures as the other's."""
    from tasks.archive import example, pattern_regex  # only here, for its video library takes a while to import

    hours: dict[tuple[str, str, str], str] = {}
    for camera in cameras:
        same = hours.setdefault((camera.pattern, camera.start, camera.end), camera.id)
        if same != camera.id:
            raise SiteError(
                f"{source}: camera {camera.id}: its pattern {camera.pattern!r} and hours are those of {same}: it would "
                "be shown the other's pictures; write its own pattern, or other hours for the same files"
            )
    paths = {camera.pattern: (camera.id, example(camera.pattern)) for camera in cameras}
    for camera in cameras if len(paths) > 1 else ():
        caught = pattern_regex(camera.pattern).fullmatch
        for pattern, (other, path) in paths.items():
            if pattern != camera.pattern and caught(path):
                raise SiteError(
                    f"{source}: camera {camera.id}: its pattern {camera.pattern!r} also catches the files of {other}, "
                    f"such as {path}, and would mix the pictures of both; write what tells their names apart"
                )


def _language(table: Any, source: str) -> str:
    if not isinstance(table, Mapping) or set(table) - {"language"}:
        raise SiteError(f"{source}: report must be a table with the one field language")
    language = table.get("language", LANGUAGES[0])
    if language not in LANGUAGES:
        raise SiteError(f"{source}, report: language must be {' or '.join(LANGUAGES)}, not {_shown(language)}")
    return str(language)


def _settings(table: Any, source: str) -> NightSettings:
    known = {f.name: type(f.default) for f in fields(NightSettings)}
    if not isinstance(table, Mapping):
        raise SiteError(f"{source}: settings must be a table")
    for name, value in table.items():
        if name not in known:
            raise SiteError(f"{source}, settings: unknown field {name!r}; known: {', '.join(known)}")
        fits = type(value) is known[name] or (known[name] is float and type(value) is int)
        if not fits or (type(value) in (int, float) and not 0 < value < 2**40):
            words = {int: "a whole number above 0", float: "a number above 0", bool: "true or false"}
            wanted = words.get(known[name], "text")
            raise SiteError(f"{source}, settings: {name} must be {wanted}, not {_shown(value)}")
    # 1 and 1.0 are one setting, and one run key.
    given: dict[str, Any] = {name: float(v) if known[name] is float else v for name, v in table.items()}
    try:
        return NightSettings(**given)
    except ValueError as error:
        raise SiteError(f"{source}, settings: {error}") from None


def _numbers(kind: type[Table], table: Any, source: str, name: str) -> Table:
    """A table of numbers, each of the type of its default, as a dataclass. Raises SiteError."""
    known = {f.name: type(f.default) for f in fields(kind)}
    if not isinstance(table, Mapping):
        raise SiteError(f"{source}: {name} must be a table")
    for key, value in table.items():
        if key not in known:
            raise SiteError(f"{source}, {name}: unknown field {key!r}; known: {', '.join(known)}")
        wanted = known[key]
        number = isinstance(value, (int, wanted)) and not isinstance(value, bool) and wanted is not str
        if not ((number and 0 <= value < 2**40) or wanted is str is type(value)):
            words = {int: "a whole number, 0 or above", float: "a number, 0 or above", str: "text"}[wanted]
            raise SiteError(f"{source}, {name}: {key} must be {words}, not {_shown(value)}")
    try:
        return kind(**table)
    except ValueError as error:
        raise SiteError(f"{source}, {name}: {error}") from None


def _learn(table: Any, source: str) -> LearnSettings:
    """The table of learning, its recipes' files by their whole paths. Raises SiteError."""
    recipes = table.get("recipes") if isinstance(table, Mapping) else None
    if isinstance(recipes, str) and RECIPE_SUFFIX in recipes:  # others stay as written: they are part of keys
        table = {**table, "recipes": ",".join(_recipe(name.strip(), source) for name in recipes.split(","))}
    return _numbers(LearnSettings, table, source, "learn")


def _recipe(name: str, source: str) -> str:
    """A recipe's name as it is, or its file's whole path. Raises SiteError for what lies on no file system."""
    if not name.endswith(RECIPE_SUFFIX):
        return name
    try:
        url = storage.normalise(_beside(name, storage.normalise(source).rpartition("/")[0]))
    except (storage.StorageError, ValueError) as error:
        raise SiteError(f"{source}, learn: recipes: {error}") from None
    if not storage.is_local(url):
        raise SiteError(f"{source}, learn: recipes: {url}: recipes are read from files; write the path of a copy")
    return url.removeprefix("file://")


def _camera(entry: Any, where: str) -> Camera:
    if not isinstance(entry, Mapping):
        raise SiteError(f"{where}: must be a table")
    known = [f.name for f in fields(Camera)]
    missing = [n for n in ("id", "name", "scene", "timezone", "pattern", "rate") if n not in entry]
    unknown = [n for n in entry if n not in known]
    if missing or unknown:
        raise SiteError(
            f"{where}: missing {', '.join(missing) or 'nothing'}, unknown {', '.join(unknown) or 'nothing'}; "
            f"known fields: {', '.join(known)}"
        )
    for name in ("id", "name", "scene", "timezone", "pattern", "start", "end", "clock", "daylight"):
        if not isinstance(entry.get(name, ""), str):
            raise SiteError(f"{where}: {name} must be text, not {_shown(entry[name])}")
    for name in ("clock_offset_s", "segment_s"):
        if not isinstance(entry.get(name, 0), (int, float)) or isinstance(entry.get(name), bool):
            raise SiteError(f"{where}: {name} must be a number of seconds, not {_shown(entry[name])}")
    priority = entry.get("priority", 0)
    if type(priority) is not int or abs(priority) >= 2**31:
        raise SiteError(f"{where}: priority must be a whole number, not {_shown(priority)}; the higher, the earlier")
    camera = Camera(**{**entry, "rate": _rate(entry["rate"], where)})
    _check(camera, where)
    return camera


def _shown(value: Any) -> str:
    """A wrong value for a message; never the whole of a huge one."""
    try:
        return reprlib.repr(value)
    except ValueError:  # an integer of more digits than Python prints
        return "a huge number"


def _rate(value: Any, where: str) -> Fraction:
    try:
        # A text with an exponent may name a number that fills the memory.
        written = isinstance(value, (int, float)) or (isinstance(value, str) and RATE.fullmatch(value))
        rate = Fraction(str(value)).limit_denominator(100_000) if written else Fraction(0)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= MOST_SLOTS_A_SECOND:
        raise SiteError(
            f"{where}: rate must be above 0 and at most {MOST_SLOTS_A_SECOND} slots a second, such as 5 or "
            f'"30000/1001", not {_shown(value)}'
        )
    return rate


def _check(camera: Camera, where: str) -> None:
    if not CAMERA_ID.fullmatch(camera.id):
        raise SiteError(f"{where}: id {camera.id!r} must be lower-case letters, digits, - and _, 64 at most")
    if camera.scene not in ("outdoor", "indoor"):
        raise SiteError(f"{where}: scene must be outdoor or indoor, not {camera.scene!r}")
    if camera.clock not in ("local", "utc"):
        raise SiteError(f"{where}: clock must be local or utc, not {camera.clock!r}")
    if camera.segment_s is not None and not 0 < camera.segment_s <= 7 * 86_400:
        raise SiteError(f"{where}: segment_s must be above 0 and at most a week, not {_shown(camera.segment_s)}")
    if not abs(camera.clock_offset_s) <= 366 * 86_400:
        raise SiteError(f"{where}: clock_offset_s must be within a year, not {_shown(camera.clock_offset_s)}")
    try:
        ZoneInfo(camera.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SiteError(f"{where}: {camera.timezone!r} is no IANA time zone; write one such as Asia/Shanghai") from None
    for name, value in (("start", camera.start), ("end", camera.end)):
        try:
            if not TIME_OF_DAY.fullmatch(value):
                raise ValueError
            time.fromisoformat(value)
        except ValueError:
            raise SiteError(f"{where}: {name} must be a time of day such as 18:00, not {value!r}") from None
    if camera.pattern.startswith("/") or {".", ".."} & set(camera.pattern.split("/")) or not camera.pattern:
        raise SiteError(
            f"{where}: pattern {camera.pattern!r} must stay below the archive; write it relative, without . or .."
        )
    unknown = [token for token in re.findall("%[A-Za-z]", camera.pattern) if token[1] not in "YmdHMSf"]
    if unknown:
        raise SiteError(
            f"{where}: pattern {camera.pattern!r} holds {', '.join(unknown)}, which no name would fit; "
            "the time is written with %Y %m %d %H %M %S %f"
        )
