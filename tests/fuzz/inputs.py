"""How hypothesis makes inputs of a target's seeds: bytes changed, or out of the air."""

from __future__ import annotations

from hypothesis import strategies as st

NASTY = (b"-1", b"1e999", b"NaN", b"null", b"[" * 50, b"9" * 40, b"\xff" * 4)


@st.composite
def changed(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """A seed with bytes overwritten, stretches cut out, and others put in; or bytes out of the air."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=300))
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(("overwrite", "cut", "insert", "number")))
        if kind == "overwrite" and data:
            data[at] = draw(st.integers(0, 255))
        elif kind == "cut":
            del data[at : at + draw(st.integers(1, 40))]
        elif kind == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=8))
        else:
            data[at:at] = draw(st.sampled_from(NASTY))
    return bytes(data)
