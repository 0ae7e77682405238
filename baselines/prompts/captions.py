"""Captions: a text for each picture, from a file of the user's own.

The file is a JSON object, name -> text, or a CSV file with the columns `picture` and `text`. A picture is
called by the dataset's name for it, by the hash of its content, or, where no other picture has it, by the
name of its file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from baselines.sources import STABLE_DIFFUSIONS
from harness.datasets.lists import read_csv
from harness.errors import DataError, NotApplicable, UserError
from harness.files import parse_json, read_whole
from harness.messages import counted, cut, listed
from harness.specs import ImageRequest, MakeContext, PictureNames

NAME = "captions"

_COLUMNS = ("picture", "text")

Pictures = Mapping[str, PictureNames]
"""Identity of a picture -> its names."""


class Captions:
    """The captions of a split's pictures (a `Prompt` of scope `image`).

    Args:
        texts: identity of a picture -> its text.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def __call__(self, category: str, images: tuple[ImageRequest, ...]) -> str:
        """The text of the image. Raises `DataError` where the picture was another when the run began."""
        text = self._texts.get(images[0].identity)
        if text is None:
            raise DataError("its picture has changed since the captions were read; run the command again")
        return text


def make_captions(context: MakeContext) -> Captions:
    """Makes the prompts.

    Raises:
        NotApplicable: there is no file.
        UserError: it is damaged, or a picture has no text in it.
    """
    if context.prompt_file is None:
        raise NotApplicable(f"it reads a file of yours, {NAME}=FILE")
    return Captions(texts_of(context.prompt_file, context.pictures))


def check_captions(context: MakeContext) -> list[str]:
    """Checks that each picture has a text, and returns a line on texts that will be cut.

    Raises:
        UserError: there is no file, it is damaged, or a picture has no text in it.
    """
    if context.prompt_file is None:
        raise UserError(f"prompt '{NAME}' reads a file of yours: name it, {NAME}=FILE")
    texts = texts_of(context.prompt_file, context.pictures)
    folders = [context.weights[name] for name in STABLE_DIFFUSIONS if name in context.weights]
    # A backbone of a plugin's own has a tokenizer that this module does not know.
    return list(_lines_on_length(context, texts, folders[0])) if folders else []


def _lines_on_length(context: MakeContext, texts: Mapping[str, str], folder: Path) -> Iterator[str]:
    """Yields a line where a text has more tokens than a text encoder reads.

    Args:
        texts: identity of a picture -> its text.
        folder: the pipeline, as diffusers saves it.
    """
    from baselines.token_ids import load_tokenizer

    tokenizer = load_tokenizer(folder / "tokenizer")
    limit = tokenizer.model_max_length
    # Its own warning of a long text says nothing of which.
    ids = tokenizer(list(texts.values()), verbose=False).input_ids
    lengths = {identity: len(row) for identity, row in zip(texts, ids, strict=True)}
    long = [identity for identity, length in lengths.items() if length > limit]
    if long:
        longest = max(long, key=lambda identity: lengths[identity])
        verb = "is" if len(long) == 1 else "are"
        yield (
            f"prompt '{NAME}': {counted(len(long), 'text')} of {len(texts):,} in {context.prompt_file} "
            f"{verb} cut: the text encoder reads {limit} tokens, both ends included, and that of "
            f"{context.pictures[longest].names[0]} has {lengths[longest]}"
        )


def texts_of(path: Path, pictures: Pictures) -> dict[str, str]:
    """Identity of each picture -> its text in a file.

    Raises:
        UserError: the file is damaged, a name in it is that of several pictures, a picture has two texts, or
            one has none.
    """
    captions = read_captions(path)
    texts: dict[str, str] = {}
    keys: dict[str, str] = {}
    find = _Finder(pictures)
    for key, text in captions.items():
        identities = find(key)
        if len(identities) > 1:
            names = [pictures[identity].names[0] for identity in identities[:3]]
            raise UserError(
                f"{path}: '{key}' is the name of {len(identities)} pictures, such as {listed(names)}; use "
                "the dataset's own names, which 'bench data pictures' lists"
            )
        for identity in identities:
            if texts.setdefault(identity, text) != text:
                raise UserError(
                    f"{path}: '{keys[identity]}' and '{key}' are one picture and have two texts; keep one"
                )
            keys.setdefault(identity, key)
    missing = [names.names[0] for identity, names in pictures.items() if identity not in texts]
    if missing:
        which = missing[0] if len(missing) == 1 else f"{missing[0]} and {len(missing) - 1:,} more"
        raise UserError(
            f"{path}: no text for {counted(len(missing), 'picture')} of {len(pictures):,}: {which}; every "
            "picture of the split needs one ('bench data pictures' lists their names)"
        )
    return texts


class _Finder:
    """Finds the pictures that a name in a file may mean: by hash, by the dataset's name, or by file."""

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures
        self._names = _inverted({identity: each.names for identity, each in pictures.items()})
        self._short = _inverted({identity: each.short for identity, each in pictures.items()})

    def __call__(self, key: str) -> tuple[str, ...]:
        """Identities; none for a picture of another split, or a misspelled one."""
        if key in self._pictures:
            return (key,)
        return tuple(self._names.get(key) or self._short.get(key) or ())


def _inverted(names: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Name -> the identities that have it."""
    identities: defaultdict[str, list[str]] = defaultdict(list)
    for identity, each in names.items():
        for name in each:
            identities[name].append(identity)
    return dict(identities)


def read_captions(path: Path) -> dict[str, str]:
    """Name of a picture -> its text, of a JSON or CSV file; entries without a text are left out.

    Raises:
        UserError: it is no such file, has no texts, has one name twice, or a text is none.
    """
    entries = _read_csv(path) if path.suffix.lower() == ".csv" else _read_json(path)
    captions = {}
    for key, text in entries:
        if not isinstance(text, str):
            raise UserError(f"{path}: the text of '{cut(key)}' is {text!r:.40}; write a text in quotes")
        if key in captions:
            raise UserError(f"{path}: '{cut(key)}' is there twice; keep one text")
        if not _is_encodable(text):
            raise UserError(f"{path}: the text of '{cut(key)}' has half a character; write it anew")
        captions[key] = text
    # An unfilled row of a list is a picture without a text.
    captions = {key: text for key, text in captions.items() if text.strip()}
    if not captions:
        raise UserError(f"{path}: has no texts; {_EXPECTED}")
    return captions


_EXPECTED = (
    'expected a JSON object {"PICTURE": "TEXT", ...}, or a .csv file with the columns picture and text'
)


def _is_encodable(text: str) -> bool:
    """False for half of a surrogate pair, which JSON can name and no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_text(path: Path) -> str:
    try:
        return read_whole(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not text in UTF-8; save it as that") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"prompt '{NAME}': {path}: {reason}; name a file of texts, {NAME}=FILE") from error
    except ValueError as error:  # a name that no file can have
        raise UserError(f"prompt '{NAME}': {str(path)!a}: {error}; name a file of texts") from error


def _read_json(path: Path) -> list[tuple[str, object]]:
    try:
        content = parse_json(_read_text(path), unique_keys=True)
    except ValueError as error:
        raise UserError(f"{path}: {error}; {_EXPECTED}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds no object but {content!r:.40}; {_EXPECTED}")
    return list(content.items())


def _read_csv(path: Path) -> list[tuple[str, object]]:
    # For the message on what is no text.
    _read_text(path)
    return [(row["picture"], row["text"]) for row in read_csv(path, needed=_COLUMNS)]
