"""From a picture's file to 8-bit RGB, by one rule for every format and depth.

The rule, which docs/guides/own-data.md states for users: pictures of 8 bits or fewer are converted as
Pillow does, without transparency. Grey of 16 bits is divided by 257 and rounded, grey floats from 0 to 1
are multiplied by 255 and rounded, and of colours of 16 bits the upper 8 bits are taken. Everything else is
refused by the name of its mode, and so is a picture of 16 bits whose brightest value leaves the upper two
bits unused: it holds 14, 12 or 8 bits, and how many cannot be known.
"""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import PIL.ExifTags
import PIL.Image
import PIL.TiffImagePlugin

from harness.errors import DataError
from harness.frames import Size
from harness.messages import first_line

_EIGHT_BITS = frozenset(
    ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "HSV", "LAB")
)
"""Modes with 8 bits or fewer for each channel, after Pillow has unpacked them."""

_TWO_UNUSED_BITS = 2**14
"""Values of 16 bits below this one leave the upper two bits unused."""

_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")

_PROGRAMS = ("EPS",)
"""Formats that Pillow has another program run: it may never end, and draws what it likes."""

_WHITE_IS_ZERO = 0
"""Of the tag in a TIFF file that says what its values mean."""

_TURNS_BACK: dict[int, PIL.Image.Transpose] = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_90,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_270,
}
"""Orientation tag -> what leads from the picture as it is to be seen to the stored one."""

_SIGNED = 2
"""Of the tag in a TIFF file that says what kind of numbers its values are."""


class DepthError(ValueError):
    """A picture that cannot be made 8-bit RGB by a rule; the message says why and what to do."""


def decode_rgb(path: Path) -> PIL.Image.Image:
    """Decodes the first frame of a picture to RGB, as it is stored: orientation tags are left alone.

    Raises:
        DataError: the file is missing, no picture, damaged, or of a depth that has no rule.
    """
    with _opened(path, "decoded") as file:
        orientation = _tiff_tag(file, PIL.ExifTags.Base.Orientation)
        image = to_rgb(file)
        # Pillow turns pictures of this one format when it decodes them, and removes the tag from them.
        if orientation and not _tiff_tag(file, PIL.ExifTags.Base.Orientation):
            back = _TURNS_BACK.get(orientation[0])
            image = image if back is None else image.transpose(back)
        return image


def decode_classes(path: Path) -> np.ndarray:
    """Decodes a picture whose pixels are numbers of classes, grey or in a palette: (height, width) uint8.

    Raises:
        DataError: the file is missing, no picture, damaged, or of colours.
    """
    with _opened(path, "decoded") as file:
        if file.mode not in ("L", "P"):
            raise DepthError(f"is of mode {file.mode}; a mask has one number of 8 bits for each pixel")
        return np.array(file)


def to_rgb(image: PIL.Image.Image) -> PIL.Image.Image:
    """Converts a picture of any mode to RGB. Raises `DepthError` where there is no rule."""
    is_signed = _SIGNED in _tiff_tag(image, PIL.TiffImagePlugin.SAMPLEFORMAT)
    if image.mode in _EIGHT_BITS and not is_signed:
        is_deep = _has_sixteen_bits(image)
        # Pillow cannot take premultiplied alpha away in one step.
        straight = image.convert(image.mode.upper()) if image.mode in ("La", "RGBa") else image
        rgb = straight.convert("RGB")
        if is_deep:
            _refuse_unused_bits(int(np.asarray(rgb).max()) * 256)
        return rgb
    if not is_signed and (image.mode.startswith("I;16") or _is_deep_portable_map(image)):
        return _grey(_scale_sixteen_bits(image))
    if image.mode == "F":
        return _grey(_scale_floats(np.asarray(image)))
    kind = "signed pixels" if is_signed else "pixels"
    raise DepthError(
        f"has {kind} of mode {image.mode}, whose range is not known; save it with 8 bits a channel"
    )


def size_in_pixels(path: Path) -> Size:
    """Reads width and height from the file's header alone. Raises `DataError`."""
    with _opened(path, "read") as file:
        # Of TIFF files Pillow gives the size after turning.
        width = _tiff_tag(file, PIL.TiffImagePlugin.IMAGEWIDTH)
        height = _tiff_tag(file, PIL.TiffImagePlugin.IMAGELENGTH)
        return Size(int(width[0]), int(height[0])) if width and height else Size(*file.size)


def has_orientation_tag(path: Path) -> bool:
    """Whether viewers turn or mirror the stored picture. A file that cannot be read has no tag."""
    try:
        with _opened(path, "read") as file:
            # The general method: that of PNG files would decode the picture for a tag at the end.
            tags = PIL.Image.Image.getexif(file)
            # 1: stored as it is to be seen.
            return bool(tags.get(PIL.ExifTags.Base.Orientation, 1) in range(2, 9))
    except DataError:
        return False


def require_file(path: Path) -> os.stat_result:
    """Checks that a path is a file, without opening it: a pipe or a device might never end.

    Raises:
        DataError: it is missing or something else.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"image {path}: {reason}; put the file there or fetch the dataset again") from error
    if stat.S_ISDIR(status.st_mode):
        raise DataError(f"image {path}: is a folder; name a picture")
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"image {path}: is not a file but a device, a pipe or the like; name a picture")
    return status


def _scale_sixteen_bits(image: PIL.Image.Image) -> np.ndarray:
    """(H, W) grey of 0 to 65,535 -> 0 to 255."""
    values = np.asarray(image.convert("I"))
    _refuse_unused_bits(int(values.max()))
    if _WHITE_IS_ZERO in _tiff_tag(image, PIL.TiffImagePlugin.PHOTOMETRIC_INTERPRETATION):
        # Pillow turns such pictures round where they have 8 bits, and only there.
        values = 65_535 - values
    # Half of the divisor added rounds to the nearest.
    scaled: np.ndarray = (values + 128) // 257
    return scaled


def _scale_floats(values: np.ndarray) -> np.ndarray:
    """(H, W) grey of 0 to 1 -> 0 to 255."""
    low, high = float(values.min()), float(values.max())
    # NaN fails the comparison, too.
    if not (low >= 0 and high <= 1):
        raise DepthError(
            f"has float pixels (mode F) from {low:g} to {high:g}, and only 0 to 1 is known; "
            "save it with 8 bits a channel"
        )
    scaled: np.ndarray = np.rint(values * 255)
    return scaled


def _grey(values: np.ndarray) -> PIL.Image.Image:
    return PIL.Image.fromarray(values.astype(np.uint8)).convert("RGB")


def _refuse_unused_bits(brightest: int) -> None:
    """Refuses values of 16 bits of which the upper two are not used: 14 bits or fewer, or a black picture."""
    if brightest < _TWO_UNUSED_BITS:
        raise DepthError(
            f"has 16-bit pixels of {brightest:,} at most, out of 65,535: fewer bits than it says, or far too "
            "dark; save it with 8 bits a channel"
        )


def _has_sixteen_bits(image: PIL.Image.Image) -> bool:
    """Whether a picture that was not loaded yet has 16 bits a channel in its file, of which 8 are read."""
    for tile in getattr(image, "tile", ()):
        arguments = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        # Names of layouts in files, such as RGB;16B.
        if any(isinstance(argument, str) and ";16" in argument for argument in arguments):
            return True
        # Of portable maps the largest value stands there. One below 65,535 says how many bits there are.
        if tile.codec_name.startswith("ppm") and arguments[-1] == 65_535:
            return True
    return False


def _is_deep_portable_map(image: PIL.Image.Image) -> bool:
    # Pillow scales their values to 0 to 65,535, whatever the largest value in the file is.
    return image.mode == "I" and image.format == "PPM"


def _tiff_tag(image: PIL.Image.Image, tag: int) -> tuple[Any, ...]:
    """Values of a tag of a TIFF file; none for a tag or a format that has none."""
    tags = getattr(image, "tag_v2", None)
    value = tags.get(tag) if tags is not None else None
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)


@contextmanager
def _opened(path: Path, verb: str) -> Iterator[PIL.Image.Image]:
    """Opens a picture. Whatever a decoder raises in the block becomes a `DataError` of this file."""
    require_file(path)
    try:
        with warnings.catch_warnings():
            # Of Pillow, on large pictures, odd palettes and the like: nothing that a user can act on.
            warnings.simplefilter("ignore")
            with PIL.Image.open(path) as file:
                if file.format in _PROGRAMS:
                    raise DepthError(f"is {file.format}, a program that draws; save it as PNG or JPEG")
                yield file
    # Decoders of damaged files raise nearly everything, RuntimeError, struct.error and MemoryError among it.
    except Exception as error:
        raise DataError(f"image {path}: {_describe(path, verb, error)}") from error


def _describe(path: Path, verb: str, error: Exception) -> str:
    """What is wrong with a file that cannot be decoded, and what to do."""
    smaller = "save a smaller copy, and scale its points"
    if isinstance(error, DepthError):
        return str(error)
    if isinstance(error, PIL.Image.DecompressionBombError):
        return f"has more than 179 megapixels, which are not read; {smaller}"
    if isinstance(error, MemoryError):
        return f"cannot be {verb}, memory does not suffice; {smaller}"
    reason = _recognise(path) or f"({first_line(error)}); replace the file"
    return f"cannot be {verb} {reason}"


def _recognise(path: Path) -> str:
    """What a file is that is often put in a picture's place, and what to do; empty for any other."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        return f"({error.strerror or error}); make it readable"
    if not head:
        return "because it is empty; put the original file back"
    if head.startswith(b"version https://git-lfs"):
        return "because it is a pointer of Git LFS, not the picture; 'git lfs pull' fetches it"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS:
        return "because it is HEIC; save it as JPEG or PNG"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "because it is a web page; download the picture again"
    return ""
