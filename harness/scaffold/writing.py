"""Writes a plugin's folder, whole or not at all."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import string
import tempfile
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from harness.errors import UserError
from harness.files import writing
from harness.plugins.host import Host
from harness.plugins.names import RESERVED
from harness.scaffold.catalogue import KINDS, Kind

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

LONGEST = 60
"""Characters of a name: files and folders are named after it."""

_TEMPLATES = files("harness.scaffold") / "templates"


_WORK = ".new-plugin."
"""Beginning of the name of the folder in which a plugin is put together."""


def check_plugin_name(host: Host, name: str) -> None:
    """Raises `UserError` for a name that cannot be a distribution's and a module's, or is taken."""
    if not _NAME.fullmatch(name) or len(name) > LONGEST:
        near = "-".join(re.findall(r"[a-z0-9]+", name.lower())).lstrip("0123456789-")[:LONGEST]
        hint = f"; '{near}' would do" if near else ""
        raise UserError(
            f"plugin name '{name:.80}': is not of small letters and digits, beginning with a letter, with "
            f"dashes between words and at most {LONGEST} characters{hint}"
        )
    if any(name in words for words in RESERVED.values()):
        raise UserError(f"plugin name '{name}': means something else to bench; choose another name")
    for registry in host.registries.values():
        if earlier := registry.same_name(name):
            origin = registry.origin(earlier).origin
            raise UserError(
                f"plugin name '{name}': is that of the {registry.kind} '{earlier}' of {origin}; "
                "choose another name"
            )
    for plugin in host.plugins:
        if plugin.name == name:
            raise UserError(f"plugin name '{name}': is that of {plugin.origin}; choose another name")
    if find_spec(module_of(name)) is not None:
        raise UserError(f"plugin name '{name}': a module {module_of(name)} is installed; choose another name")


def module_of(name: str) -> str:
    """Name of the module of a plugin: `bench_my_vit` of `my-vit`."""
    return f"bench_{name.replace('-', '_')}"


def next_steps(kind: str, name: str, folder: Path) -> list[str]:
    """Commands that install, check, test and run a plugin that was written into a folder."""
    place = shlex.quote(str(folder))
    spec = KINDS[kind]
    return [
        f"python -m pip install --editable {place} pytest",
        f"bench {spec.doctor.format(name=name, folder=place)}",
        f"python -m pytest {place}",
        f"bench {spec.run.format(name=name, folder=place)}",
    ]


def write_plugin(kind: str, name: str, folder: Path) -> None:
    """Writes a plugin of a kind into a new or empty folder.

    Raises:
        UserError: something is there already, or nothing can be written there.
        NotWritten: the disk is full or the like; nothing is left.
    """
    target = folder.resolve()
    _check_folder(folder, target)
    # Beside the folder, or in it where it is there already: a rename within one file system is whole.
    parent = target if target.is_dir() else target.parent
    with writing(folder):
        if parent == target:
            for leftover in target.iterdir():  # of a command that was killed, as `_check_folder` has seen
                shutil.rmtree(leftover)
        work = Path(tempfile.mkdtemp(dir=parent, prefix=_WORK))
        try:
            content = work / "plugin"
            _write(KINDS[kind], kind, name, folder, content)
            if parent == target:
                _move_into(content, target)
            else:
                content.rename(target)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _check_folder(folder: Path, target: Path) -> None:
    if target.is_dir():
        if any(not path.name.startswith(_WORK) for path in target.iterdir()):
            raise UserError(f"{folder}: is not empty; name another folder with --out")
        place = target
    elif target.exists():
        raise UserError(f"{folder}: is a file; name another folder with --out")
    else:
        place = target.parent
        if not place.is_dir():
            raise UserError(f"{folder}: {place} is not a folder; make it first")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UserError(f"{folder}: {place} cannot be written to; choose another folder")


def _write(spec: Kind, kind: str, name: str, folder: Path, content: Path) -> None:
    module = module_of(name)
    steps = next_steps(kind, name, Path())
    values = {
        "name": name,
        "entry": name,
        "distribution": f"bench-{name}",
        "module": module,
        "what": spec.what,
        "imports": "\nfrom pathlib import Path\n" if "Path(" in spec.test else "",
        "test": spec.test,
        **dict(zip(("install", "doctor", "pytest", "run"), steps, strict=True)),
    }
    (content / "tests").mkdir(parents=True)
    for template, path in {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{kind}.py": f"{module}.py",
        "test.py": f"tests/test_{name.replace('-', '_')}.py",
    }.items():
        text = (_TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")
        (content / path).write_text(string.Template(text).substitute(values), encoding="utf-8")
    if spec.data:
        spec.data(content, name)


def _move_into(content: Path, target: Path) -> None:
    """Moves all that lies in a folder into another; on an error what was moved is taken away again."""
    moved: list[Path] = []
    try:
        for path in sorted(content.iterdir()):
            path.rename(target / path.name)
            moved.append(target / path.name)
    except BaseException:  # an interruption, too, must not leave a part of a plugin
        for path in moved:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise
