"""The examples at the end of each command's help."""

from __future__ import annotations


def examples(*lines: str, note: str = "") -> str:
    """The end of a command's help: a note, then whole command lines, printed as they are.

    For `click.command(epilog=...)`; a test parses every line.
    """
    # A paragraph that begins with \b keeps its line breaks.
    block = "\n".join(["\b", "Examples:" if len(lines) > 1 else "Example:", *(f"  {line}" for line in lines)])
    return f"{note}\n\n{block}" if note else block
