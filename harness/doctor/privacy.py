"""Texts for strangers' eyes: without the user's name, home folder, passwords and tokens."""

from __future__ import annotations

import getpass
import re
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

HIDDEN = "set, not shown"
"""Stands for the value of a variable that is, or may be, a secret."""

# Switches, such as HF_HUB_DISABLE_IMPLICIT_TOKEN=1.
_SWITCHES = frozenset(("", "0", "1", "true", "false", "yes", "no", "on", "off"))

_SECRET_NAME = re.compile(
    r"TOKEN(?!IZER)|SECRET|PASS|KEY|CREDENTIAL|AUTH|PRIVATE|COOKIE|SIGNATURE|DSN", re.IGNORECASE
)

# Tokens of well-known services, and everything else that is as long and as mixed: paths and lists have
# separators in between.
_SECRET_VALUE = re.compile(
    r"(?:\b|_)(?:hf|sk|ghp|gho|ghu|ghs|ghr|github_pat|glpat|pypi|xox[abp])[-_][\w-]{8,}|\bA[KS]IA[A-Z0-9]{12,}"
    r"|\beyJ[\w-]{8,}|(?=[A-Za-z_-]*\d)(?=[\d_-]*[A-Za-z])[A-Za-z0-9_-]{32,}"
)

# `user:password@` and `token@` before a host; what follows a question mark.
_USERINFO = re.compile(r"(?<=://)[^/\s@]+@")
_QUERY = re.compile(r"(://[^\s?#]+)[?#]\S*")


def is_secret(name: str, value: str) -> bool:
    """Says whether a variable's value is, or may be, a secret, by its name or by what it is like."""
    if value.lower() in _SWITCHES:
        return False
    return bool(_SECRET_NAME.search(name) or _SECRET_VALUE.search(value))


def without_names(text: str) -> str:
    """The text with the home folder as `~`, and the user's name in other paths and in addresses hidden."""
    for home in _homes():
        text = re.sub(re.escape(home) + r"(?=$|[^\w.-])", "~", text)
    for name in _user_names():
        # A whole part of a path, such as /scratch/NAME/data.
        text = re.sub(rf"(?<=[/\\]){re.escape(name)}(?=[/\\]|$|[\s:;,'\"])", "<user>", text)
    text = _USERINFO.sub("", text)
    return _QUERY.sub(r"\1", text)


# Asked for every line; both come from the environment, and tests clear them.
@cache
def _homes() -> tuple[str, ...]:
    """The home folder as it is named and as it lies on the disk, the longest first."""
    try:
        home = Path.home()
    except RuntimeError:  # no home folder can be worked out
        return ()
    return _longest_first({str(home), str(home.resolve())} - {"/"})


@cache
def _user_names() -> tuple[str, ...]:
    names = {Path(home).name for home in _homes()}
    with suppress(OSError, KeyError, ImportError):  # a container's user without a name
        names.add(getpass.getuser())
    return _longest_first(names - {""})


def _longest_first(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(texts, key=lambda text: (-len(text), text)))
