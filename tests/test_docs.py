"""The documents name what is there: files, headings, tests, modules, variables, commands and their options.

Read from the files alone. Not covered: whether what they say of them is true.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from flows.cli import app

ROOT = Path(__file__).resolve().parents[1]
DOCS = [ROOT / "README.md", ROOT / "infra/README.md", *sorted((ROOT / "docs").glob("*.md"))]
HAND_OVER = ("train", "bench", "export")
"""Commands that hand their options over to lednet."""
TREE = [p for room in ("flows", "tasks", "lednet", "infra", "tests", "docs") for p in (ROOT / room).rglob("*")]
FILES = {p.name for p in [*TREE, *ROOT.iterdir()] if p.is_file()}
CODE = "\n".join(p.read_text(encoding="utf-8") for p in TREE if p.suffix in (".py", ".yaml", ".env", ".toml"))

documents = pytest.mark.parametrize("document", DOCS, ids=lambda p: str(p.relative_to(ROOT)))


def anchors(document: Path) -> set[str]:
    """What its headings are linked by."""
    heads = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def without_code(document: Path) -> str:
    return re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)


@documents
def test_links_lead_to_files_and_headings_that_are_there(document: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", without_code(document)):
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@documents
def test_files_and_tests_that_are_named_are_there(document: Path) -> None:
    for named in re.findall(r"`([\w./-]+\.(?:py|md|toml|yaml|lock|hashes|npz|j2))`", without_code(document)):
        name = named.rpartition("/")[2]
        assert name in FILES or f"/{name}" in CODE or name in CODE, named
        if named.split("/")[0] in ("flows", "tasks", "lednet", "infra", "tests", "docs"):
            assert (ROOT / named).is_file(), named
    for test in re.findall(r"`(test_\w+)`", without_code(document)):
        assert f"def {test}(" in CODE, test


@documents
def test_modules_and_variables_that_are_named_are_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for module in re.findall(r"-m ((?:flows|tasks|lednet|infra|tests)[\w.]*)", text):
        place = ROOT / module.replace(".", "/")
        assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), module
    for variable in re.findall(r"\bLEDNET_\w+", text):
        assert variable in CODE, variable


def commands(document: Path) -> list[list[str]]:
    """Every `lednet ...` of it, in a line of a block or between backticks, as words."""
    text = document.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = "\n".join(re.findall(r"```\w*\n(.*?)```", text, flags=re.DOTALL))
    lines = re.findall(r"^(?:\$ )?(?:\.venv/bin/)?lednet (.*)$", blocks, re.MULTILINE)
    lines += re.findall(r"`lednet ([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return [shlex.split(re.sub(r"\s#.*|\[|\]|\.\.\.", " ", line), posix=False) for line in lines]


@documents
def test_commands_and_their_options_are_known(document: Path) -> None:
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for verb, *words in commands(document):
        assert verb in known, verb
        command = known[verb]
        if words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words[0]]
        options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        given = {word.partition("=")[0] for word in words if re.match(r"--\w", word)}
        if verb in HAND_OVER or "--table" in given:
            continue
        assert given <= options, (verb, words)


def test_the_architecture_names_every_file_of_the_three_rooms_once() -> None:
    told = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").partition("## Where is what")[2]
    for room in ("flows", "tasks", "lednet"):
        inside = [p for p in (ROOT / room).iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()]
        named = re.findall(r"`(\w+)`", told.partition(f"### {room}/")[2].partition("###")[0])
        assert set(named) == {p.stem for p in inside} - {"__init__"}, f"bring docs/architecture.md, {room}, up to date"
        assert len(named) == len(set(named)), room
