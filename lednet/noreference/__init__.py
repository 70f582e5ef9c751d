"""Figures for nights that have no truth: natural scene statistics and plain shares of a frame.

Where do I go to ...?
    compare with sharp daylight    lednet.noreference.niqe (its model is fitted by lednet.noreference.fit)
    score as people would          lednet.noreference.brisque
    dark, blown, colour, order     lednet.noreference.plain (dark and saturated shares, colourfulness, LOE, flicker)
    the statistics themselves      lednet.noreference.nss

Every figure says in its own words what it can't see. Those of every frame of every night are in `lednet.quality`.
"""
