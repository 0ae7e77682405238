"""Writes the generated pages of the reference."""

from __future__ import annotations

from harness.files import replacing
from tools.reference import FOLDER, PAGES


def main() -> None:
    """Writes each page, whole."""
    for name, make in PAGES.items():
        text = make()
        with replacing(FOLDER / name) as file:
            file.write(text.encode())


if __name__ == "__main__":
    main()
