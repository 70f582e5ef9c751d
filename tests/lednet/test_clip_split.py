"""Which clips a training holds out: decided by their names alone, and by no frame, order or folder."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lednet.clips import split_clips

names = st.text("abcdefghij0123456789_", min_size=1, max_size=12)


def as_paths(stems: set[str]) -> list[Path]:
    return [Path("clips") / f"{stem}.mp4" for stem in sorted(stems)]


@given(stems=st.sets(names, max_size=20), share=st.floats(0, 1))
def test_every_clip_is_on_exactly_one_side(stems: set[str], share: float) -> None:
    paths = as_paths(stems)
    training, held = split_clips(paths, share)
    assert sorted(training + held) == sorted(paths)
    assert not set(training) & set(held)
    assert held or len(paths) < 2


@given(stems=st.sets(names, min_size=2, max_size=20), added=st.sets(names, max_size=10))
def test_adding_clips_never_moves_a_training_clip_to_the_held_out_side(stems: set[str], added: set[str]) -> None:
    before, after = (split_clips(as_paths(s), 0.2) for s in (stems, stems | added))
    assert not set(before[0]) & set(after[1])


@given(stems=st.sets(names, max_size=20), added=st.sets(names, max_size=10))
def test_a_clip_held_out_by_its_name_stays_held_out_when_clips_are_added(stems: set[str], added: set[str]) -> None:
    by_name = {p for p in as_paths(stems) if zlib.crc32(p.stem.encode()) / 2**32 < 0.2}
    for clips in (stems, stems | added):
        assert by_name <= set(split_clips(as_paths(clips), 0.2)[1])


@given(stems=st.sets(names, max_size=20), seed=st.randoms(use_true_random=False))
def test_neither_order_nor_folder_nor_suffix_decides_a_clips_side(stems: set[str], seed) -> None:  # type: ignore[no-untyped-def]
    paths = as_paths(stems)
    moved = [Path("elsewhere") / p.with_suffix(".avi").name for p in paths]
    seed.shuffle(moved)
    assert {p.stem for p in split_clips(paths, 0.3)[1]} == {p.stem for p in split_clips(moved, 0.3)[1]}


@pytest.mark.parametrize("names", [("GX{1:02}{0:04}", "GX01{0:04}"), ("GP{1:02}{0:04}", "GOPR{0:04}")])
def test_chapters_of_a_clip_go_with_the_first(names: tuple[str, str]) -> None:
    later, first = names
    paths = as_paths({first.format(k) for k in range(40)} | {later.format(k, n) for k in range(40) for n in (2, 3)})
    training, held = ({p.stem[-4:] for p in side} for side in split_clips(paths, 0.2))
    assert len(held) > 1
    assert not training & held


def test_the_chapters_of_one_clip_alone_are_trained_on_together() -> None:
    assert split_clips(as_paths({"GX010001", "GX020001"}), 1e-9) == (as_paths({"GX010001", "GX020001"}), [])


def test_about_the_asked_share_of_many_clips_is_held_out() -> None:
    held = split_clips([Path(f"GX{i:06d}.mp4") for i in range(2_000)], 0.2)[1]
    assert 0.15 < len(held) / 2_000 < 0.25
