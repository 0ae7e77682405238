"""Captions: each picture's own text from a file, and what is said where the file is not what it should be."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import PIL.Image
import pytest
import torch
from support.extractors import small_map
from support.results import predictions, the_record

from baselines.prompts.captions import read_captions, texts_of
from harness.errors import UserError
from harness.specs import FeatureMap, PictureNames

NAMES = [f"blob-photo{number}.png" for number in range(4)]
TEXTS = {name: f"photo number {number}" for number, name in enumerate(NAMES)}


@pytest.fixture
def seen(with_extractor):
    """The prompts that an extractor of texts got, by picture; its maps depend on them."""
    prompts: dict[str, str] = {}

    def extract(requests):
        maps = []
        for request in requests:
            assert prompts.setdefault(request.identity, request.prompt) == request.prompt
            plain = small_map(request)
            length = torch.full_like(plain.data[:1], len(request.prompt))
            maps.append(FeatureMap(torch.cat([plain.data, length]), plain.frame))
        return maps

    with_extractor(extract, prompt_kinds=frozenset({"text"}))
    return prompts


@pytest.fixture
def run(bench, photos, tmp_path):
    def run_with(content, *more, name="captions.json", out="r"):
        file = tmp_path / name
        if content is not None:
            file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        words = ["run", "--methods", "mine", "--datasets", f"folder={photos}", "--out", tmp_path / out]
        return bench(*words, "--prompts", f"captions={file}", *more)

    return run_with


def as_csv(texts) -> str:
    file = io.StringIO()
    csv.writer(file).writerows([("picture", "text"), *texts.items()])
    return file.getvalue()


def test_each_picture_has_its_own_text_whatever_it_is_called(run, seen, bench, photos, tmp_path):
    listed = bench("data", "pictures", f"folder={photos}")
    rows = list(csv.DictReader(io.StringIO(listed.out)))
    assert [row["picture"] for row in rows] == NAMES
    hashes = {row["hash"]: f"photo number {number}" for number, row in enumerate(rows)}
    assert run(TEXTS).status == 0
    assert seen == hashes
    whole = predictions(tmp_path / "r")
    record = the_record(tmp_path / "r")
    assert list(record["provenance"]["weights"]["prompt file"]) == ["captions.json"]
    assert record["cell"]["label"].endswith("captions.json]")
    for number, names in enumerate((hashes, {f"photo{i}": TEXTS[NAMES[i]] for i in range(4)})):
        seen.clear()
        assert run(names, out=f"r{number}").status == 0
        assert seen == hashes
    seen.clear()
    assert run(as_csv(TEXTS), name="captions.csv", out="csv").status == 0
    assert seen == hashes
    # In two shards, and after a first part: the same bytes, as it is the same file.
    for more in (("--shard", "1/2"), ()):
        assert run(TEXTS, *more, out="parts").status == 0
    assert predictions(tmp_path / "parts") == whole
    # Another text is another cell.
    run({**TEXTS, NAMES[2]: "something else"})
    assert len(predictions(tmp_path / "r")) == 2


def test_a_list_to_fill_in_has_no_texts_yet(run, seen, bench, photos):
    listed = bench("data", "pictures", f"folder={photos}").out
    assert "has no texts" in run(listed, name="c.csv").complaint
    filled = listed.replace(f"{NAMES[0]},,", f'{NAMES[0]},"a sofa, red",')
    assert "no text for 3 pictures of 4: blob-photo1.png and 2 more" in run(filled, name="c.csv").complaint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {name: TEXTS[name] for name in NAMES[:3]},
            "no text for 1 picture of 4: blob-photo3.png; every",
        ),
        ({**TEXTS, NAMES[1]: " "}, "no text for 1 picture of 4: blob-photo1.png"),
        ({**TEXTS, "photo1.png": "other"}, "'blob-photo1.png' and 'photo1.png' are one picture"),
        ({**TEXTS, NAMES[1]: 3}, "the text of 'blob-photo1.png' is 3; write a text"),
        ({**TEXTS, NAMES[1]: "\ud800"}, "the text of 'blob-photo1.png' has half a character"),
        ('{"a": "b", "a": "c"}', "'a'"),
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("{}", "has no texts; expected a JSON object"),
        ("[]", "holds no object but []"),
        (None, "No such file or directory; name a file of texts, captions=FILE"),
    ],
)
def test_a_mistake_in_a_json_file_is_one_line(run, seen, content, message):
    outcome = run(content)
    assert outcome.status == 2
    assert message in outcome.complaint
    assert "captions.json" in outcome.complaint
    assert not seen


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "column picture, text is missing"),
        ("picture,text\n", "has no texts"),
        ("picture,text\na,b\na,b\n", "'a' is there twice; keep one text"),
        ("picture,text\na\n", "row 2 has 1 fields, the header 2"),
        ("name,text\na,b\n", "column picture is missing"),
        (None, "No such file"),
    ],
)
def test_a_mistake_in_a_csv_file_is_one_line(run, seen, content, message):
    outcome = run(content, name="captions.csv")
    assert outcome.status == 2
    assert message in outcome.complaint


def test_what_is_no_text_is_told(tmp_path):
    for name in ("a.json", "a.csv"):
        (tmp_path / name).write_bytes(b"\xff\xfe\x00picture")
        with pytest.raises(UserError, match="not text in UTF-8"):
            read_captions(tmp_path / name)
    with pytest.raises(UserError, match="Is a directory; name a file"):
        read_captions(tmp_path)


def test_a_name_that_several_pictures_have_is_told(tmp_path):
    pictures = {
        "1": PictureNames(("cat-a-0",), ("a",)),
        "1-mirrored": PictureNames(("cat-a-1",), ("a",)),
    }
    path = tmp_path / "c.json"
    path.write_text('{"a": "a cat"}')
    with pytest.raises(UserError, match="'a' is the name of 2 pictures, such as cat-a-0 and cat-a-1"):
        texts_of(path, pictures)
    # A hash goes before a name, and the dataset's name before that of a file.
    others = {
        "1": PictureNames(("2",), ("b",)),
        "2": PictureNames(("b",), ("1",)),
        "3": PictureNames(("c",), ()),
    }
    path.write_text('{"1": "one", "2": "two", "c": "three"}')
    assert texts_of(path, others) == {"1": "one", "2": "two", "3": "three"}
    path.write_text('{"b": "two", "1": "one", "3": "three"}')
    assert texts_of(path, others) == {"1": "one", "2": "two", "3": "three"}
    path.write_text('{"cat-a-0": "a cat", "1-mirrored": "a cat in a mirror", "elsewhere": "unread"}')
    assert texts_of(path, pictures) == {"1": "a cat", "1-mirrored": "a cat in a mirror"}


def test_a_file_where_none_is_read_and_none_where_one_is(seen, bench, photos, tmp_path):
    words = ["run", "--methods", "mine", "--datasets", f"folder={photos}", "--out", tmp_path / "r"]
    without = bench(*words, "--prompts", "captions").complaint
    assert "prompt 'captions' reads a file of yours: name it, captions=FILE" in without
    needless = bench(*words, "--prompts", "empty=x.json").complaint
    assert "prompt 'empty' reads no file; give --prompts empty" in needless


def test_a_long_text_is_cut_and_that_is_said(bench, tmp_path):
    """By the tokenizer of the bundled network, before the run: nothing is computed here."""
    for number, name in enumerate(("a.png", "b.png")):
        noise = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        PIL.Image.fromarray(noise).save(tmp_path / name)
    pair = {"source": "a.png", "target": "b.png", "source_points": [[1, 1]], "target_points": [[2, 2]]}
    (tmp_path / "pairs.json").write_text(json.dumps({"pairs": [pair]}))
    file = tmp_path / "captions.json"
    words = ["run", "--methods", "dift", "--datasets", f"folder={tmp_path}", "--dry-run"]
    file.write_text(json.dumps({"a": "cat " * 75, "b": "a cat"}))
    short = bench(*words, "--prompts", f"captions={file}")
    assert "is cut" not in short.out + short.err
    file.write_text(json.dumps({"a": "cat " * 76, "b": "a cat"}))
    outcome = bench(*words, "--prompts", f"captions={file}", "--seeds", "0,1")
    said = [line for line in (outcome.out + outcome.err).splitlines() if "is cut" in line]
    assert len(said) == 1
    assert "1 text of 2" in said[0]
    assert "reads 77 tokens, both ends included, and that of object-a.png has 78" in said[0]


def test_match_takes_captions_too(bench, seen, photos, tmp_path):
    file = tmp_path / "captions.json"
    file.write_text(json.dumps({"photo0.png": "left", "photo1": "right"}))
    a, b = (photos / f"photo{number}.png" for number in range(2))
    words = ["match", a, b, "--points", "10,10", "--method", "mine", "--json", "--prompt"]
    assert bench(*words, f"captions={file}").status == 0
    assert sorted(seen.values()) == ["left", "right"]
    assert "reads a file of yours" in bench(*words, "captions").complaint
