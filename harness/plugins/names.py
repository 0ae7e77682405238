"""Names that a user types: which of them a command line can say, and which are taken."""

from __future__ import annotations

from collections.abc import Mapping

from harness.errors import UserError
from harness.specs import NO_PROMPT

_BREAKING = ",=[]/"
"""Characters with a meaning where names are typed: `a,b`, `NAME=PATH`, `dift[timestep=50]`, `DIR:a/b`."""

LONGEST = 100
"""Characters of a name: it is part of folders' names, whose length file systems limit."""

RESERVED: Mapping[str, frozenset[str]] = {
    "bench_prompts": frozenset({NO_PROMPT}),
    "bench_commands": frozenset(
        {
            *("run", "list", "plugins", "doctor", "match", "leaderboard", "compare", "rescore", "report"),
            *("data", "weights", "new-plugin", "merge", "clean", "cite", "show", "train"),
        }
    ),
}
"""Hook -> names that mean something else already."""


def check_name(hook: str, name: object) -> None:
    """Raises `UserError` for a spec's name that could not be typed, or that is taken."""
    if not isinstance(name, str):
        raise UserError(f"{hook} returned a name that is a {type(name).__name__}, expected a text")
    if len(name) > LONGEST:
        raise UserError(f"{hook} returned a name of {len(name):,} characters; give it at most {LONGEST}")
    if not name.strip():
        raise UserError(f"{hook} returned an empty name; give it one")
    breaking = sorted(set(name) & set(_BREAKING))
    if breaking or name != name.strip() or name.startswith("-") or not name.isprintable():
        problem = (
            f"'{breaking[0]}'" if breaking else "a space at its end, a dash at its start or a control code"
        )
        raise UserError(f"{hook} returned {name!r}: no command line can say a name with {problem}; rename it")
    if name.casefold() in RESERVED.get(hook, ()):
        raise UserError(f"{hook} returned '{name}', which bench itself uses; give it another name")
