"""Pictures of every depth and format become 8-bit RGB by one rule, or are refused by name."""

from __future__ import annotations

import io
import os
import struct
import zlib

import numpy as np
import PIL.Image
import pytest
from support.photos import read_list, write_list

from harness.datasets.decoding import decode_rgb, has_orientation_tag, size_in_pixels, to_rgb
from harness.datasets.images import ImageFile
from harness.errors import DataError
from harness.features.pictures import open_checked
from harness.frames import Size

GREY = np.add.outer(np.arange(16), np.arange(24)).astype("uint16") * 1700
"""(16, 24) up to 64,600."""

COLOUR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=2)


def png(values: np.ndarray) -> bytes:
    """A PNG of 16 bits, grey or RGB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2 if values.ndim == 3 else 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def tiff(values: np.ndarray, *, order: str = "<", photometric: int | None = None, sample: int = 1) -> bytes:
    """An uncompressed TIFF of the values as they lie in memory."""
    height, width = values.shape[:2]
    channels = 1 if values.ndim == 2 else 3
    if photometric is None:
        photometric = 2 if channels == 3 else 1
    bits = 8 * values.itemsize
    data = values.tobytes()
    # Tags: width, height, bits, compression, photometric, offset, channels, rows, bytes, kind of number.
    tags = [(256, [width]), (257, [height]), (258, [bits] * channels), (259, [1]), (262, [photometric])]
    tags += [(273, [0]), (277, [channels]), (278, [height]), (279, [len(data)]), (339, [sample] * channels)]
    start = 8 + 2 + 12 * len(tags) + 4
    extra_bytes = sum(2 * len(entries) for _, entries in tags if len(entries) > 2)
    body, extra = b"", b""
    tags[5] = (273, [start + extra_bytes])
    for tag, entries in tags:
        packed = struct.pack(f"{order}{len(entries)}H", *entries)
        if len(packed) > 4:
            body += struct.pack(f"{order}HHII", tag, 3, len(entries), start + len(extra))
            extra += packed
        else:
            body += struct.pack(f"{order}HHI", tag, 3, len(entries)) + packed.ljust(4, b"\0")
    mark = b"II" if order == "<" else b"MM"
    count = struct.pack(f"{order}HIH", 42, 8, len(tags))
    return mark + count + body + struct.pack(f"{order}I", 0) + extra + data


def pgm(values: np.ndarray, largest: int) -> bytes:
    kind = "P6" if values.ndim == 3 else "P5"
    height, width = values.shape[:2]
    return f"{kind} {width} {height} {largest}\n".encode() + values.astype(">u2").tobytes()


def saved(image: PIL.Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decode(tmp_path, content: bytes, name: str = "picture") -> np.ndarray:
    path = tmp_path / name
    path.write_bytes(content)
    image = decode_rgb(path)
    assert image.mode == "RGB"
    assert size_in_pixels(path) == Size(*image.size)
    return np.asarray(image)


@pytest.mark.parametrize(
    "content",
    [
        png(GREY),
        tiff(GREY.astype("<u2")),
        tiff(GREY.astype(">u2"), order=">"),
        tiff(65_535 - GREY.astype("<u2"), photometric=0),
        pgm(GREY, 65_535),
        saved(PIL.Image.fromarray(GREY), "TIFF", compression="tiff_lzw"),
        saved(PIL.Image.fromarray(GREY), "PNG"),
    ],
    ids=["png", "tiff", "tiff big-endian", "tiff white is zero", "pgm", "tiff lzw", "png by Pillow"],
)
def test_grey_of_16_bits_is_divided_by_257(tmp_path, content):
    expected = np.floor(GREY / 257 + 0.5)
    pixels = decode(tmp_path, content)
    assert len(np.unique(pixels)) == len(np.unique(GREY))
    for channel in range(3):
        assert (pixels[..., channel] == expected).all()


def test_every_8_bit_picture_stored_in_16_bits_comes_back(tmp_path):
    values = np.arange(256, dtype="uint16").reshape(16, 16)
    assert (decode(tmp_path, png(values * 257))[..., 0] == values).all()


def test_a_portable_map_that_says_how_many_bits_it_has(tmp_path):
    pixels = decode(tmp_path, pgm(GREY >> 4, 4095))
    assert np.abs(pixels[..., 0] - np.round((GREY >> 4) / 4095 * 255)).max() <= 1
    assert pixels.max() > 240


@pytest.mark.parametrize(
    "content",
    [png(COLOUR), tiff(COLOUR.astype("<u2")), tiff(COLOUR.astype(">u2"), order=">"), pgm(COLOUR, 65_535)],
    ids=["png", "tiff", "tiff big-endian", "ppm"],
)
def test_colours_of_16_bits_keep_their_upper_8(tmp_path, content):
    pixels = decode(tmp_path, content).astype(int)
    assert np.abs(pixels - (COLOUR >> 8)).max() <= 1


def test_floats_from_0_to_1(tmp_path):
    values = (GREY / 65_535).astype("float32")
    pixels = decode(tmp_path, tiff(values, sample=3))
    assert (pixels[..., 1] == np.rint(values * 255)).all()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (tiff((GREY / 257).astype("float32"), sample=3), "float pixels (mode F) from 0 to 251"),
        (tiff((GREY / 65_535 - 0.5).astype("float32"), sample=3), "float pixels (mode F) from -0.5"),
        (tiff(np.full((4, 4), np.nan, "float32"), sample=3), "float pixels (mode F) from nan"),
        (tiff(GREY.astype("<i4"), sample=2), "signed pixels of mode I"),
        (tiff(GREY.astype("<u4") * 65_537), "pixels of mode I"),
        (tiff((GREY >> 1).astype("<i2"), sample=2), "signed pixels of mode I"),
        (tiff((GREY >> 9).astype("i1"), sample=2), "signed pixels of mode L"),
        (png(GREY >> 4), "16-bit pixels of 4,037 at most"),
        (png(GREY >> 2), "16-bit pixels of 16,150 at most"),
        (png(COLOUR >> 4), "16-bit pixels of 3,840 at most"),
        (png(COLOUR >> 8), "16-bit pixels of 0 at most"),
        (tiff((COLOUR >> 4).astype("<u2")), "16-bit pixels of"),
        (pgm(COLOUR >> 4, 65_535), "16-bit pixels of"),
        (pgm(GREY >> 4, 65_535), "16-bit pixels of 4,037 at most"),
        (tiff(GREY.astype("float64"), sample=3), "cannot be decoded"),
    ],
)
def test_depths_without_a_rule_are_refused(tmp_path, content, reason):
    path = tmp_path / "picture"
    path.write_bytes(content)
    with pytest.raises(DataError) as refusal:
        decode_rgb(path)
    assert reason in str(refusal.value)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_dark_picture_of_8_bits_is_as_it_was(tmp_path):
    dark = PIL.Image.fromarray(np.full((4, 4, 3), 3, "uint8"))
    assert (decode(tmp_path, saved(dark, "PNG")) == 3).all()


def photo() -> PIL.Image.Image:
    return PIL.Image.fromarray((COLOUR >> 8).astype("uint8"))


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("1", "PNG"),
        ("L", "PNG"),
        ("LA", "PNG"),
        ("P", "GIF"),
        ("RGBA", "PNG"),
        ("CMYK", "TIFF"),
        ("YCbCr", "JPEG"),
        ("LAB", "TIFF"),
    ],
)
def test_the_usual_modes_are_as_pillow_has_them(tmp_path, mode, kind):
    source = photo()
    if mode == "LAB":
        lab = PIL.Image.fromarray(np.asarray(source.convert("YCbCr")))
        image = PIL.Image.frombytes("LAB", lab.size, lab.tobytes())
    else:
        image = source.convert(mode)
    content = saved(image, kind)
    with PIL.Image.open(io.BytesIO(content)) as file:
        expected = np.asarray(file.convert("RGB"))
    assert (decode(tmp_path, content) == expected).all()


def test_transparency_is_dropped_and_premultiplied_colours_are_straightened(tmp_path):
    palette = photo().quantize(8)
    opaque = palette.convert("RGB")
    palette.info["transparency"] = bytes([0, 128, 255, 0, 0, 0, 0, 0])
    assert (decode(tmp_path, saved(palette, "PNG")) == np.asarray(opaque)).all()
    premultiplied = PIL.Image.new("RGBA", (2, 2), (200, 100, 50, 128)).convert("RGBa")
    assert np.abs(np.array(to_rgb(premultiplied).getpixel((0, 0))) - (200, 100, 50)).max() <= 1


def test_the_first_of_several_frames_is_taken(tmp_path):
    frames = [photo(), PIL.Image.new("RGB", photo().size)]
    content = saved(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    assert (decode(tmp_path, content) == np.asarray(frames[0])).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("WEBP", {"lossless": True})],
)
def test_pictures_are_taken_as_stored_whatever_their_orientation_tag(tmp_path, kind, options, orientation):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    stored = photo()
    # All corners differ, and so do width and height.
    pixels = decode(tmp_path, saved(stored, kind, exif=exif, **options))
    assert (pixels == np.asarray(stored)).all()
    assert has_orientation_tag(tmp_path / "picture") == (orientation != 1)


class OtherMode:
    """A picture of a plugin's dataset that is not RGB."""

    name = "theirs"

    def __init__(self, image: PIL.Image.Image) -> None:
        self._image = image

    def identity(self) -> str:
        return "theirs"

    def open(self) -> PIL.Image.Image:
        return self._image


def test_pictures_of_other_datasets_are_converted_by_the_same_rule():
    image = open_checked(OtherMode(PIL.Image.fromarray(GREY)), Size(24, 16))
    assert (np.asarray(image)[..., 0] == np.floor(GREY / 257 + 0.5)).all()
    with pytest.raises(DataError, match="image theirs: has pixels of mode I, whose range is not known"):
        open_checked(OtherMode(PIL.Image.fromarray(GREY.astype("int32"))), Size(24, 16))


@pytest.mark.parametrize("read", [ImageFile.identity, ImageFile.open], ids=["identity", "open"])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [("folder", "is a folder"), ("pipe", "not a file but a device"), ("device", "not a file but a device")],
)
def test_what_is_no_file_is_refused_and_not_read(tmp_path, read, kind, reason):
    path = tmp_path / "picture"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(DataError, match=reason):
        read(ImageFile("picture", path))
    with pytest.raises(DataError, match=reason):
        size_in_pixels(path)
    assert not has_orientation_tag(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n", "pointer of Git LFS"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "it is HEIC; save it as JPEG or PNG"),
        (saved(PIL.Image.new("RGB", (4, 4)), "EPS"), "is EPS, a program that draws; save it as PNG or JPEG"),
        (b"<!DOCTYPE html><html>404</html>", "it is a web page"),
        (b"", "it is empty"),
        (b"not a picture", "replace the file"),
    ],
)
def test_what_is_often_put_in_a_pictures_place_is_named(tmp_path, content, reason):
    path = tmp_path / "picture.jpg"
    path.write_bytes(content)
    for read in (size_in_pixels, decode_rgb):
        with pytest.raises(DataError) as refusal:
            read(path)
        assert reason in str(refusal.value)


@pytest.mark.parametrize(
    "error", [RuntimeError, struct.error, SyntaxError, MemoryError, IndexError, EOFError]
)
def test_whatever_a_decoder_raises_is_a_fault_of_its_picture(tmp_path, monkeypatch, error):
    path = tmp_path / "picture.png"
    photo().save(path)

    def fail(*_, **__):
        raise error("inside a decoder")

    monkeypatch.setattr(PIL.Image, "open", fail)
    for read in (size_in_pixels, decode_rgb):
        with pytest.raises(DataError, match=r"picture\.png: cannot be"):
            read(path)


def test_a_picture_that_is_too_large_says_what_to_do(tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    photo().save(path)
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataError, match="more than 179 megapixels, which are not read; save a smaller copy"):
        decode_rgb(path)


def test_a_picture_without_a_rule_fails_its_own_pairs_in_a_run(bench, photos, tmp_path):
    PIL.Image.fromarray(np.zeros((48, 60), "int32")).save(photos / "photo1.tif")
    content = read_list(photos)
    for pair in content["pairs"]:
        for side in ("source", "target"):
            pair[side] = pair[side].replace("photo1.png", "photo1.tif")
    write_list(photos, content)
    run = ("run", "--methods", "position", "--datasets", f"folder={photos}", "--out", tmp_path / "r")
    done = bench(*run)
    assert done.status == 1
    assert "6 pairs failed: image" in done.complaint
    assert "signed pixels of mode I, whose range is not known; save it with 8 bits" in done.complaint
    done = bench("data", "verify", f"folder={photos}")
    assert done.status == 1
    assert "photo1.tif: has signed pixels of mode I" in done.out
