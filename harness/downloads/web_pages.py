"""Web pages of logins and proxies, which come in the place of a file and with the status of success."""

from __future__ import annotations

import re
from pathlib import Path

_PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)?<(?:!doctype\s+html|html|head|body)\b", re.I | re.S
)


def is_web_page(path: Path) -> bool:
    """True where a file begins as a web page does."""
    with path.open("rb") as file:
        return _PAGE.match(file.read(1024)) is not None
