"""Arrays of numbers in MATLAB files, read so that no damage can do more than raise.

The format is MATLAB's level 5 (versions 5 to 7; "MAT-File Format", MathWorks), of which annotations need real
numeric arrays alone. Every length is checked against the bytes that are there before it is used.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from harness.errors import DataError

ByteOrder = Literal["<", ">"]

_HEADER = 128
"""Bytes before the first element: text, version and byte order."""

_VERSION = 0x0100

_LARGEST = 1 << 26
"""Bytes of a variable once it is unpacked; an annotation has some hundreds."""

_MATRIX, _COMPRESSED = 14, 15
"""Types of elements."""

_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Type of an element -> its numbers, as numpy names them."""

_NAMES = (1, 2, 16)
"""Types of an element that is a name: bytes, or UTF-8."""

_FIRST_CLASS, _LAST_CLASS = 6, 15
"""Classes of numeric arrays: double, single and whole numbers of 8 to 64 bits."""

_COMPLEX, _LOGICAL = 0x0800, 0x0200
"""Flags of an array."""


class MatError(ValueError):
    """A file that is damaged, or holds something else than arrays of numbers; the message says what."""


class _Element(NamedTuple):
    """A part of a file: its type, its bytes, and where the next one begins."""

    kind: int
    data: bytes
    end: int


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Reads arrays of real numbers from a MATLAB file.

    Args:
        names: the variables that are wanted; others are passed over, whatever they are.

    Returns:
        Name -> float64 array in the shape that the file says, of those that are there.

    Raises:
        DataError: the file is missing, or not whole.
    """
    advice = "fetch the dataset again"
    try:
        if path.exists() and not path.is_file():
            raise MatError("is not a file but a folder, a device or a pipe")
        return parse_arrays(path.read_bytes(), names)
    except FileNotFoundError as error:
        raise DataError(f"{path}: is missing; put the file there or {advice}") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; put the file there or {advice}") from error
    except ValueError as error:  # `MatError`, or a name that no file can have
        raise DataError(f"{path}: not a MATLAB file with points ({error}); {advice}") from error


def parse_arrays(content: bytes, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Parses a MATLAB file, as `read_arrays` does. Raises `MatError`."""
    order = _byte_order(content)
    arrays: dict[str, np.ndarray] = {}
    for part in _elements(content[_HEADER:], order):
        element = _unpack(part.data, order) if part.kind == _COMPRESSED else part
        if element.kind != _MATRIX:
            raise MatError(f"an unknown part of type {element.kind}")
        # An empty one stands for nothing.
        variable = _variable(element.data, order, names) if element.data else None
        if variable is None:
            continue
        name, array = variable
        if name in arrays:
            raise MatError(f"variable {name} is there twice")
        arrays[name] = array
    return arrays


def _byte_order(content: bytes) -> ByteOrder:
    """Checks the file's header."""
    if len(content) < _HEADER:
        raise MatError(f"it has {len(content)} bytes, fewer than a header")
    if content.startswith(b"\x89HDF") or b"MATLAB 7.3" in content[:_HEADER]:
        raise MatError("it is of version 7.3; save it as version 7 or older")
    marks: dict[bytes, ByteOrder] = {b"IM": "<", b"MI": ">"}
    order = marks.get(content[126:128])
    if order is None:
        raise MatError("its header is that of version 4 or of another format")
    version = int(np.frombuffer(content[124:126], f"{order}u2")[0])
    if version != _VERSION:
        raise MatError(f"its version is {version:#06x}, not {_VERSION:#06x}, that of MATLAB 5 to 7")
    return order


def _elements(content: bytes, order: ByteOrder) -> Iterator[_Element]:
    """Yields the parts of a sequence; all but compressed ones begin and end at multiples of eight bytes."""
    start = 0
    while start < len(content):
        element = _element(content, start, order)
        start = element.end
        if element.kind != _COMPRESSED:
            start = -(-start // 8) * 8
        yield element


def _element(content: bytes, start: int, order: ByteOrder) -> _Element:
    tag = content[start : start + 8]
    if len(tag) < 8:
        raise MatError("it ends inside a part")
    first, second = map(int, np.frombuffer(tag, f"{order}u4"))
    # Up to four bytes stand in the tag itself, with their number before the type.
    if first >> 16:
        count = first >> 16
        if count > 4:
            raise MatError("a short part is too long")
        return _Element(first & 0xFFFF, tag[4 : 4 + count], start + 8)
    data = content[start + 8 : start + 8 + second]
    if len(data) < second:
        raise MatError("it ends inside a part")
    return _Element(first, data, start + 8 + second)


def _unpack(data: bytes, order: ByteOrder) -> _Element:
    """The variable in a compressed part."""
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(data, _LARGEST)
    except zlib.error as error:
        raise MatError(f"a compressed part is damaged: {error}") from error
    # At its end the checksum has been compared.
    if not unpacker.eof or unpacker.unused_data:
        raise MatError("a compressed part is not whole")
    elements = list(_elements(content, order))
    if len(elements) != 1:
        raise MatError(f"a compressed part holds {len(elements)} variables")
    return elements[0]


def _variable(data: bytes, order: ByteOrder, names: Sequence[str]) -> tuple[str, np.ndarray] | None:
    """Name and values of a variable; None for one that is not wanted."""
    parts = _elements(data, order)
    flags = _whole_numbers(next(parts, None), order, kinds=(6,))
    shape = _whole_numbers(next(parts, None), order, kinds=(5, 6))
    label = next(parts, None)
    if len(flags) != 2 or len(shape) < 2 or label is None or label.kind not in _NAMES:
        raise MatError("a variable has no flags, shape or name")
    name = label.data.decode("latin-1")
    if name not in names:
        return None
    array_class = flags[0] & 0xFF
    if not _FIRST_CLASS <= array_class <= _LAST_CLASS or flags[0] & (_COMPLEX | _LOGICAL):
        raise MatError(f"variable {name} is not an array of real numbers")
    values = next(parts, None)
    if values is None or values.kind not in _NUMBERS or next(parts, None) is not None:
        raise MatError(f"variable {name} has other parts than numbers")
    return name, _array(name, values, shape, order)


def _array(name: str, values: _Element, shape: Sequence[int], order: ByteOrder) -> np.ndarray:
    """(rows, columns) float64 numbers, which MATLAB stores column by column."""
    kind = np.dtype(f"{order}{_NUMBERS[values.kind]}")
    # Python's own whole numbers, which a damaged shape cannot overflow.
    if len(shape) != 2 or min(shape) < 0 or math.prod(shape) * kind.itemsize != len(values.data):
        raise MatError(f"variable {name} has {len(values.data)} bytes for the shape {tuple(shape)}")
    numbers = np.frombuffer(values.data, kind).astype(np.float64)
    return numbers.reshape(shape, order="F")


def _whole_numbers(element: _Element | None, order: ByteOrder, kinds: Sequence[int]) -> list[int]:
    if element is None or element.kind not in kinds:
        raise MatError("a variable has no flags, shape or name")
    kind = np.dtype(f"{order}{_NUMBERS[element.kind]}")
    if len(element.data) % kind.itemsize:
        raise MatError("a variable's flags or shape are cut")
    return [int(number) for number in np.frombuffer(element.data, kind)]
