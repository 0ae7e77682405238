"""Texts that users may type for the options of `bench run`: sound ones, damaged."""

from __future__ import annotations

import os

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from support.damage import ODD_TEXTS

OPTION_TEXTS = {
    "--methods": ("position,hog", "dift"),
    "--datasets": ("shapes,pf-willow=data/willow", 'folder="a, b"', "folder=photos"),
    "--prompts": ("none,empty",),
    "--localizers": ("argmax,bilinear",),
    "--protocols": ("sd4match,box@0.1",),
    "--alphas": ("0.05,0.1,0.15",),
    "--timesteps": ("50,261", "0..500:100", "0..500"),
    "--ensembles": ("1,8",),
    "--seeds": ("0,1,2",),
    "--set": ("layer=9,11", "stride=0.5,1", "layer=1..9:2"),
    "--weights": ("tiny", "paper", "dinov2-base=weights/dino"),
    "--prompt-file": ("sd4match-single=best.safetensors",),
    "--limit": ("60",),
    "--cache-gb": ("4", "0.5"),
    "--batch-size": ("8",),
    "--workers": ("2",),
    "--split": ("test",),
    "--device": ("cpu",),
    "--precision": ("fp32",),
    "--data-root": ("data",),
    "--weights-root": ("weights",),
    "--out": ("results",),
}
"""Option -> texts that it takes."""

_PARTS = (
    *("=", "==", ",", ",,", '"', "'", "..", ":", "-", "+", "@", "/", "\\", "~", "~root/", "1e300", "1e-300"),
    *("inf", "9" * 5000, "0..99999999999999999999", "5..1", "1..9:0", "a" * 300, "0x10", "1.5", "-1", " "),
)


def option_words(option: str) -> SearchStrategy[list[str]]:
    """An option with a text that is cut, or has something put into it."""
    text = st.sampled_from(OPTION_TEXTS[option])
    # What no command line can hold is left out.
    part = st.sampled_from([part for part in (*_PARTS, *ODD_TEXTS) if _fits_a_command_line(part)])
    edits = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 6), part), max_size=3)

    def change(text: str, chosen: list[tuple[int, int, str]]) -> list[str]:
        for number, removed, inserted in chosen:
            place = number % (len(text) + 1)
            text = text[:place] + inserted + text[place + removed :]
        return [option, text]

    return st.one_of(st.builds(change, text, edits), part.map(lambda text: [option, text]))


def _fits_a_command_line(text: str) -> bool:
    """Says whether a system can hand a text over: it hands over bytes, none of them zero."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False
