"""Every kind of file that somebody else may have written: sound ones, ways to damage them, and their readers.

A reader does with the file what commands do. It returns something, or raises a `BenchError` of one line (or
of several that each stand alone) that names the file.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from support.animals import animal_files, make_animals
from support.damage import changed_fields, changed_json, changed_values, damaged_bytes
from support.layouts import make_pascal, make_spair, make_willow
from support.made_up_records import a_record, with_provenance
from support.photos import draw, make_photos

from harness.datasets.ap10k.annotations import FILES
from harness.errors import BenchError, SeveralErrors
from harness.messages import one_line, printable


@dataclass(frozen=True)
class ForeignFile:
    """A kind of file.

    Attributes:
        make: writes a sound one, and all that goes with it, into a folder; returns its path.
        read: reads it as commands do.
        damage: its bytes -> strategy of damaged ones.
        more: further damage that is particular to the kind.
        names_file: whether an error must have the file's name in it; else it names what the file belongs to.
    """

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], object]
    more: tuple[Callable[[bytes], SearchStrategy[bytes]], ...] = ()
    names_file: bool = True

    def damaged(self, content: bytes) -> SearchStrategy[bytes]:
        """The content as it may arrive."""
        return st.one_of(damaged_bytes(content), *(change(content) for change in self.more))


def check_outcome(kind: ForeignFile, path: Path) -> bool:
    """Reads a file and checks what comes of it; returns whether it was refused."""
    try:
        kind.read(path)
    except SeveralErrors as error:
        lines = error.lines
    except BenchError as error:
        lines = (str(error),)
    else:
        return False
    for line in lines:
        check_line(line)
        assert not kind.names_file or path.name in line, line
    return True


def check_line(line: str) -> None:
    """Checks that a message is one line that every terminal and every file can show."""
    assert printable(line).strip()
    printable(line).encode()


def _json_values(content: bytes) -> SearchStrategy[bytes]:
    return changed_json(json.loads(content))


def _fields(content: bytes) -> SearchStrategy[bytes]:
    return changed_fields(content.decode())


# Datasets


def _split_reader(name: str) -> Callable[[Path], object]:
    """Reads a dataset's split as a run does; the file lies anywhere below the folder `data`."""

    def read(path: Path) -> object:
        from harness.builtin import bench_datasets
        from harness.datasets.splits import read_split

        (spec,) = [spec for spec in bench_datasets() if spec.name == name]
        folder = next(parent for parent in path.parents if parent.name == "data")
        index = read_split(spec, folder, "test")
        for reason in index.broken.values():
            check_line(reason)
        return index.manifest, index.valid, index.categories, index.lacking("box"), index.lacking("points")

    return read


def _make_folder_json(folder: Path) -> Path:
    return make_photos(folder / "data", images=2) / "pairs.json"


def _make_folder_csv(folder: Path) -> Path:
    make_photos(folder / "data", images=2)
    (folder / "data" / "pairs.json").unlink()
    path = folder / "data" / "pairs.csv"
    path.write_text(
        "source,target,category,keypoint,source_x,source_y,target_x,target_y,"
        "target_x1,target_y1,target_x2,target_y2\n"
        "photo0.png,photo1.png,cat,eye,10,12,14,16,1,2,50,40\n"
        "photo0.png,photo1.png,cat,ear,20,22,24,26,1,2,50,40\n"
        "photo1.png,photo0.png,dog,eye,5,6,7,8,,,,\n"
    )
    return path


def _make_spair_annotation(folder: Path) -> Path:
    return sorted(make_spair(folder / "data").rglob("*.json"))[0]


def _make_spair_list(folder: Path) -> Path:
    return make_spair(folder / "data") / "Layout" / "large" / "test.txt"


def _make_pascal_list(folder: Path) -> Path:
    return make_pascal(folder / "data") / "test_pairs.csv"


def _make_mat(number: int) -> Callable[[Path], Path]:
    # Odd ones are compressed.
    return lambda folder: next(make_pascal(folder / "data").rglob(f"{number}.mat"))


def _make_willow_list(folder: Path) -> Path:
    return make_willow(folder / "data") / "test_pairs.csv"


def _make_coco(folder: Path) -> Path:
    make_animals(folder / "data", {"cat": 4})
    # One file with all entries, whose pictures are beside it.
    content = animal_files({"cat": 4})
    parts = list(content.values())
    merged = {key: [entry for part in parts for entry in part[key]] for key in ("images", "annotations")}
    path = folder / "data" / "data" / "coco.json"
    path.write_text(json.dumps({**merged, "categories": parts[0]["categories"]}))
    return path


def _read_coco(path: Path) -> object:
    from harness.datasets.coco.pair_rule import PairRule
    from harness.datasets.coco.pairs_file import write_pairs

    return write_pairs(path, PairRule(1), out=path.with_name("list.json"))


def _make_animal_annotations(folder: Path) -> Path:
    return make_animals(folder / "data", {"cat": 8}) / FILES[0]


def _read_animal_annotations(path: Path) -> object:
    from harness.datasets.ap10k.pair_list import prepare

    return prepare(path.parent.parent)


def _make_animal_pairs(folder: Path) -> Path:
    from harness.datasets.ap10k.pair_list import NAME, prepare

    prepare(make_animals(folder / "data", {"cat": 4}))
    return folder / "data" / NAME


# Pictures

PICTURE_KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "PNG": ("RGB", {}),
    "JPEG": ("RGB", {}),
    "GIF": ("P", {}),
    "BMP": ("RGB", {}),
    "TIFF": ("RGB", {}),
    "TIFF lzw": ("RGB", {"compression": "tiff_lzw"}),
    "WEBP": ("RGB", {}),
    "AVIF": ("RGB", {}),
    "BLP": ("P", {}),
    "JPEG2000": ("RGB", {}),
    "PPM": ("RGB", {}),
    "TGA": ("RGB", {}),
    "ICO": ("RGB", {}),
    "PCX": ("RGB", {}),
    "DDS": ("RGB", {}),
    "SGI": ("RGB", {}),
    "QOI": ("RGB", {}),
    "XBM": ("1", {}),
    "MPO": ("RGB", {}),
    "SPIDER": ("F", {}),
    "ICNS": ("RGB", {}),
}


def _make_picture(kind: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        draw(folder / "sound.png", 0, (32, 24) if kind != "ICNS" else (32, 32))
        mode, options = PICTURE_KINDS[kind]
        path = folder / f"picture.{kind.partition(' ')[0].lower()}"
        with PIL.Image.open(folder / "sound.png") as image:
            content = image.convert(mode)
            if mode == "F":
                content = PIL.Image.fromarray(np.asarray(image.convert("F")) / 255)
            content.save(path, kind.partition(" ")[0], **options)
        return path

    return make


def _read_picture(path: Path) -> object:
    from harness.datasets.checks import picture_size
    from harness.datasets.decoding import has_orientation_tag
    from harness.datasets.images import ImageFile
    from harness.features.pictures import open_checked

    image = ImageFile("picture", path)
    has_orientation_tag(path)
    image.identity()
    return np.asarray(open_checked(image, picture_size(path)))


# Results

_CELL = "photos-test-mine.0123456789ab"

ROWS = {
    "pair_id": ["a", "a", "b"],
    "keypoint_id": ["0", "1", "0"],
    "localizer": ["argmax"] * 3,
    "x": [1.0, 2.5, 3.0],
    "y": [4.0, 5.0, 6.0],
    "score": [0.5, 0.25, 1.0],
}


def _make_record(folder: Path) -> Path:
    from harness.records.folders import write_record

    record = with_provenance(a_record(dataset="photos"))
    home = folder / "results" / record.cell.id
    home.mkdir(parents=True)
    write_record(home, record)
    return home / "record.json"


def _unsealed_values(content: bytes) -> SearchStrategy[bytes]:
    """Records as earlier versions wrote them, in which no hash shows a change."""
    parsed = json.loads(content)
    parsed.pop("sealed")
    return changed_json(parsed)


def _read_record(path: Path) -> object:
    from harness.records.folders import read_record
    from harness.records.schema import seconds_per_pair, status_text

    record = read_record(path)
    coverage = [record.coverage(name, "sd4match") for name in record.localizers]
    return status_text(record), seconds_per_pair(record), coverage


def _read_results(path: Path) -> object:
    """The tables of a folder that has the record, as `bench leaderboard` prints them."""
    from support.views import view_of

    from harness.records.results import read_results
    from harness.tables.leaderboard import leaderboard

    records, damaged = read_results(path.parent.parent)
    for line in damaged:
        check_line(line)
    table = leaderboard(records, view_of(records))
    return [table.render(kind) for kind in ("md", "csv", "tex", "html", "json")]


def _make_predictions(folder: Path) -> Path:
    return _write_predictions(folder / "results" / _CELL / "predictions.parquet")


def _make_shard(folder: Path) -> Path:
    return _write_predictions(folder / "results" / _CELL / "shards" / "000000.parquet", planned=2)


def _write_predictions(path: Path, planned: int | None = None) -> Path:
    import pyarrow as pa

    from harness.records.predictions import prediction_table, write_table
    from harness.records.truth_columns import with_truth

    table = prediction_table(ROWS, {"argmax": "1"})
    columns = {name: pa.array([text] * 3) for name, text in _TRUTH_TEXTS.items()}
    columns |= {name: pa.array([8.0] * 3) for name in ("true_x", "true_y", "box_x1", "box_y1")}
    columns |= {name: pa.array([20.0] * 3) for name in ("box_x2", "box_y2")}
    columns |= {name: pa.array([48] * 3) for name in ("target_width", "target_height")}
    if planned is None:
        table = with_truth(table, columns, json.dumps(_FACTS))
    path.parent.mkdir(parents=True)
    write_table(path, table, planned)
    return path


_TRUTH_TEXTS = {"source_image": "1a", "target_image": "2b", "category": "cat", "labels": '{"mirror": 1}'}

_FACTS = {"dataset": "photos", "split": "test", "threshold": "box", "lacks": []}


def _changed_tables(content: bytes) -> SearchStrategy[bytes]:
    """Files of other columns, types, values or metadata than predictions have, sound as parquet."""
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(content))
    metadata = {key.decode(): text.decode() for key, text in table.schema.metadata.items()}
    # Without a seal, as earlier versions wrote them: content is all that shows damage.
    unsealed = {key: text for key, text in metadata.items() if key != "sha256"}
    return st.tuples(changed_values(table.to_pydict()), changed_values(unsealed)).map(_table_bytes)


def _table_bytes(parts: tuple[Any, Any]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns, metadata = parts
    arrays: dict[str, pa.Array] = {}
    for name, content in columns.items() if isinstance(columns, dict) else ():
        values = content if isinstance(content, list) else [content] * 3
        try:
            arrays[printable(name)] = pa.array(values)
        except (pa.ArrowException, OverflowError, UnicodeError, TypeError):
            # Mixed kinds: the column is one of texts.
            arrays[printable(name)] = pa.array([printable(repr(value)) for value in values])
    shortest = min(map(len, arrays.values()), default=0)
    table = pa.table({name: array[:shortest] for name, array in arrays.items()})
    texts = metadata.items() if isinstance(metadata, dict) else ()
    table = table.replace_schema_metadata(
        {str(key).encode("utf-8", "replace"): _text(text) for key, text in texts}
    )
    buffer = io.BytesIO()
    try:
        pq.write_table(table, buffer)
    except pa.ArrowException:  # what parquet cannot hold, nobody can send
        return b""
    return buffer.getvalue()


def _text(value: object) -> bytes:
    return (value if isinstance(value, str) else json.dumps(value)).encode("utf-8", "surrogatepass")


def _read_predictions(path: Path) -> object:
    from harness.records.predictions import predicted_tasks, read_predictions
    from harness.scoring.points import count_predictions
    from harness.scoring.truth_columns import truth_in

    table = read_predictions(path)
    return predicted_tasks(table), count_predictions(table), truth_in(table, path)


def _read_shard(path: Path) -> object:
    from harness.records.predictions import merge_tables, planned_pairs, read_to_resume, without_pairs

    rows = read_to_resume(path, {"argmax": "1"})
    return planned_pairs(path), merge_tables([without_pairs(rows.table, rows.unsound)])


def _read_unfinished(path: Path) -> object:
    from harness.records.unfinished import unfinished_cells

    return [cell.describe() for cell in unfinished_cells(path.parent.parent.parent, [])]


# Weights, prompts and trainings


def _make_prompt(kind: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        import torch

        from sd4match_plugin.prompts.cpm import ConditionalPrompting, CpmConfig
        from sd4match_plugin.prompts.files import write
        from sd4match_plugin.prompts.prompt_file import PromptFile

        path = folder / "best.safetensors"
        metadata = {"dataset": "spair-71k", "timestep": "261", "settings": '{"validation_split": "val"}'}
        if kind == "cpm":
            config = CpmConfig(image_width=4, patches=3, text_width=4)
            module = ConditionalPrompting(config, torch.Generator().manual_seed(0))
            write(path, PromptFile("cpm", config=config, state=module.state_dict(), metadata=metadata))
        else:
            write(path, PromptFile("single", prompts={"dataset": torch.ones(77, 4)}, metadata=metadata))
        return path

    return make


def _make_release_prompt(folder: Path) -> Path:
    import torch

    path = folder / "Class_pfpascal_sd2-1_TokenEmbeds75" / "caption.pt"
    path.parent.mkdir()
    torch.save({"cat": torch.ones(1, 77, 4), "dog": torch.ones(1, 77, 4)}, path)
    return path


def _odd_tensor_files(content: bytes) -> SearchStrategy[bytes]:
    """Files of PyTorch that hold something else than a network's tensors."""
    import torch

    def saved(number: int, name: str, is_nested: bool) -> bytes:
        tensors = odd_tensors()
        value: Any = tensors[number % len(tensors)]
        buffer = io.BytesIO()
        torch.save({"model": {name: value}} if is_nested else {name: value}, buffer)
        return buffer.getvalue()

    names = st.sampled_from(["cat", "dataset", "positional_embedding", "global_embeds", "", "a.b"])
    return st.builds(saved, st.integers(0, len(odd_tensors()) - 1), names, st.booleans())


def odd_tensors() -> list[Any]:
    """Tensors and other values that no network is filled with, and a few that one may be."""
    import torch

    ones = torch.ones(1, 77, 4)
    return [
        *(
            ones.to(dtype)
            for dtype in (torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool)
        ),
        *(ones.to(dtype) for dtype in (torch.complex64, torch.float8_e4m3fn, torch.float8_e5m2)),
        *(
            ones.to_sparse(),
            torch.empty(1, 77, 4, device="meta"),
            torch.ones(()),
            torch.ones(0),
            torch.ones(3),
        ),
        *(torch.full((1, 77, 4), float("nan")), torch.full((1, 77, 4), 1e38)),
        *(ones.expand(2, 77, 4), torch.nn.Parameter(ones), None, 5, "text", [ones], {}, b"bytes"),
        *(torch.ones(1, 1, 1, 4), torch.ones(1, 2**16, 4), torch.tensor([float("inf")])),
    ]


def _headers(content: bytes) -> SearchStrategy[bytes]:
    """Safetensors whose header has other values; its length fits."""
    (length,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + length])

    def join(text: bytes) -> bytes:
        return struct.pack("<Q", len(text)) + text + content[8 + length :]

    return changed_json(header).map(join)


def _configurations(content: bytes) -> SearchStrategy[bytes]:
    """Prompts of ours whose header is sound and says something else of the module."""
    (length,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + length])

    def join(text: str) -> bytes:
        changed = {**header, "__metadata__": {**header["__metadata__"], "cpm": text}}
        packed = json.dumps(changed).encode()
        return struct.pack("<Q", len(packed)) + packed + content[8 + length :]

    config = json.loads(header["__metadata__"].get("cpm", "{}"))
    return changed_json(config).map(lambda text: join(text.decode()))


def _read_prompt(path: Path) -> object:
    from sd4match_plugin.prompts.files import read
    from sd4match_plugin.prompts.find import inspect_prompt

    prompt = read(path)
    kind = "single" if set(prompt.prompts) == {"dataset"} else "class"
    return prompt.text_width, inspect_prompt("cpm" if prompt.kind == "cpm" else kind, path)


def _make_tensors(folder: Path) -> Path:
    import torch
    from safetensors.torch import save_file

    path = folder / "model.safetensors"
    save_file({"weight": torch.ones(3, 2), "bias": torch.ones(3)}, path, {"format": "pt"})
    return path


def _make_pickle(folder: Path) -> Path:
    import torch

    path = folder / "model.pth"
    torch.save({"state_dict": {"weight": torch.ones(3, 2), "bias": torch.ones(3)}}, path)
    return path


def _make_old_pickle(folder: Path) -> Path:
    import torch

    path = folder / "model.pth"
    content = {"weight": torch.ones(3, 2), "bias": torch.ones(3)}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    return path


def _make_tensor_index(folder: Path) -> Path:
    _make_tensors(folder)
    path = folder / "model.safetensors.index.json"
    weight_map = {"weight": "model.safetensors", "bias": "model.safetensors"}
    path.write_text(json.dumps({"metadata": {"total_size": 36}, "weight_map": weight_map}))
    return path


def _read_network(path: Path) -> object:
    import torch

    from harness.networks.filling import fill_network

    network = torch.nn.Linear(2, 3)
    fill_network(network, path)
    return network


def _make_checkpoint(folder: Path) -> Path:
    import torch

    from harness.training.checkpoint import History, State, save

    module = torch.nn.Linear(2, 3)
    optimizer = torch.optim.Adam(module.parameters())
    state = State(2, module.state_dict(), optimizer.state_dict(), {}, None, History(losses=[(2, 0.5)]))
    save(folder, _settings(), state)
    return folder / "checkpoint.pt"


def _make_old_checkpoint(folder: Path) -> Path:
    """One of an earlier version, without a hash."""
    import torch

    path = _make_checkpoint(folder)
    content = torch.load(path, weights_only=True)
    del content["sealed"]
    torch.save(content, path)
    return path


def _settings() -> Any:
    from sd4match_plugin.tuning.settings import Settings

    return Settings(
        method="sd4match-single",
        dataset="photos",
        split="test",
        validation_split="test",
        manifest="a",
        validation_manifest="a",
        weights="none",
        steps=4,
        batch=3,
        validate_every=2,
    )


def _read_checkpoint(path: Path) -> object:
    from harness.training.checkpoint import load

    return load(path.parent, _settings(), "cpu")


def _make_log(folder: Path) -> Path:
    path = folder / "log.jsonl"
    path.write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.25}\n{"step": 3, "pck": 5.0}\n')
    return path


def _read_log(path: Path) -> object:
    from harness.training.log import Log

    content = path.read_bytes()
    try:
        return Log(path.parent, 2, tensorboard=False)
    finally:
        path.write_bytes(content)


def _make_weight_record(folder: Path) -> Path:
    from harness.weights.record import FileRecord, WeightRecord, write_record

    files = {"model.safetensors": FileRecord("0" * 64, 12)}
    write_record(folder, WeightRecord.now("dinov2", files, repository="a/b", commit="c" * 40))
    return folder / "bench-weights.json"


def _read_weight_record(path: Path) -> object:
    from harness.weights.record import read_record

    record = read_record(path.parent)
    return record and record.origin


def _make_transformer(folder: Path) -> Path:
    from transformers import Dinov2Config

    config = Dinov2Config(
        hidden_size=24, num_hidden_layers=1, num_attention_heads=2, image_size=56, patch_size=14
    )
    config.architectures = ["Dinov2Model"]
    config.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(_PROCESSOR))
    return folder / "config.json"


_PROCESSOR = {
    "do_resize": True,
    "size": {"shortest_edge": 64},
    "do_center_crop": True,
    "crop_size": {"height": 56, "width": 56},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "resample": 3,
}


def _make_processor(folder: Path) -> Path:
    _make_transformer(folder)
    return folder / "preprocessor_config.json"


def _read_transformer(path: Path) -> object:
    from baselines.published import comparison_of_transformer
    from baselines.vit.card import VitCard
    from sd4match_plugin.prompts.image_patches import Preprocessing, token_shape

    card = VitCard.of(path.parent)
    Preprocessing.of(path.parent).key.encode()
    return card, token_shape(path.parent), comparison_of_transformer("dinov2-base")(path.parent)


def _make_pipeline(part: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        from baselines.weights import BUNDLED

        for path in (BUNDLED / "stable-diffusion").rglob("*"):
            if path.suffix in (".json", ".txt"):
                copy = folder / "pipeline" / path.relative_to(BUNDLED / "stable-diffusion")
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(path.read_bytes())
        return folder / "pipeline" / part

    return make


def _read_pipeline(path: Path) -> object:
    from baselines.published import STABLE_DIFFUSION_2_1, comparison
    from baselines.stable_diffusion.card import Card

    folder = path.parent.parent
    return Card.of(folder), comparison(STABLE_DIFFUSION_2_1)(folder)


# Printed numbers and options

_PRINTED = (
    "method,supervision,trained_on,protocol,paper,spair-71k@0.10,pf-pascal@0.05\n"
    "Our Net,K,spair-71k,sd4match,Doe (CVPR 2025),77.7,60\nHOG,,,sd4match,Doe (CVPR 2025),19.5,\n"
)


def _make_printed(folder: Path) -> Path:
    path = folder / "mine.csv"
    path.write_text(_PRINTED)
    return path


def _make_printed_settings(ending: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = _make_printed(folder).with_suffix(ending)
        said = {"paper": "Doe (CVPR 2025)", "protocol": "sd4match", "averaging": "image", "split": "test"}
        methods = {"Our Net": {"method": "dift", "prompt": "none", "weights": ["stable-diffusion-2-1"]}}
        if ending == ".json":
            path.write_text(json.dumps({**said, "methods": methods, "title": "A title"}))
        else:
            lines = [f'{key} = "{text}"' for key, text in said.items()]
            path.write_text("\n".join(lines) + '\n[methods."Our Net"]\nmethod = "dift"\n')
        return path

    return make


def _read_printed(path: Path) -> object:
    from harness.tables.paper_files import read_reported

    return read_reported(path.with_suffix(".csv"), _host()).methods


def _host() -> Any:
    global _HOST  # noqa: PLW0603 - loaded once
    if _HOST is None:
        from harness.plugins.loading import load_plugins

        _HOST = load_plugins(points=[])
    return _HOST


_HOST: Any = None


def _make_options(folder: Path) -> Path:
    path = folder / "sweep.toml"
    path.write_text(
        'methods = ["position", "hog"]\ndatasets = "shapes"\nseeds = [0, 1]\nlimit = 3\n'
        "alphas = [0.05, 0.1]\n"
        'cache-gb = 1.5\ntimesteps = "50..250:100"\ndata-root = "data"\nfresh = false\n'
        '[set]\nlayer = [9, 11]\nstride = "0.5,1"\n'
    )
    return path


def _toml_values(content: bytes) -> SearchStrategy[bytes]:
    """Options of odd values."""
    keys = [line.partition(b" ")[0] for line in content.splitlines() if b"=" in line]
    texts = st.sampled_from(
        [
            *(b"[]", b"{}", b"''", b'"\\u0000"', b'"a\\nb"', b"[[[]]]", b"1e999", b"nan", b"-inf", b"1e300"),
            *(b"9" * 5000, b"[" * 100_000, b"true", b"1979-05-27", b"07:32:00", b"[1, 'a', true]", b"'..'"),
            *(b"'" + b"a" * 300 + b"'", b"'/dev/zero'", b"{a = 1}", b"'=,=,,'", b"'1..10000000000'", b"0x10"),
        ]
    )
    edits = st.lists(st.tuples(st.sampled_from(keys), texts), min_size=1, max_size=2)

    def change(chosen: list[tuple[bytes, bytes]]) -> bytes:
        lines = content.splitlines()
        for key, text in chosen:
            lines = [key + b" = " + text if line.partition(b" ")[0] == key else line for line in lines]
        return b"\n".join(lines)

    return edits.map(change)


def _read_options(path: Path) -> object:
    return read_command_line(["--config", str(path)])


def read_command_line(words: list[str]) -> object:
    """The cells that `bench run` would plan; a mistake of usage is raised as a `UserError`."""
    import click

    from harness.cli.run import run
    from harness.errors import UserError
    from harness.running.plan import plan

    try:
        with run.make_context("run", ["--methods", "position,dinov2,dift", *words], obj=_host()) as context:
            arguments = _arguments_of(context)
            arguments.run_options(_host())
            return plan(arguments.sweep(), _host())
    except click.ClickException as error:
        text = " ".join(error.format_message().split())
        if "--config" in words:
            text = f"{Path(words[-1]).name}: {text}"
        raise UserError(text) from error


def check_command_line(words: list[str]) -> bool:
    """Plans the cells of a command line; returns whether it was refused."""
    try:
        read_command_line(words)
    except BenchError as error:
        check_line(one_line(error))
        return True
    return False


def _arguments_of(context: Any) -> Any:
    from harness.api.run_arguments import RunArguments

    return RunArguments(**context.params)


# The cache of arrays


def _make_cached(folder: Path) -> Path:
    store = _store(folder)
    store.once("picture", lambda: np.ones((2, 3), np.float32))
    (path,) = store.folder.rglob("*.npy")
    return path


def _store(folder: Path) -> Any:
    from harness.caching.array_store import Store

    return Store(folder / "cache", "posterior", {"a": 1}, (2, 3))


def _read_cached(path: Path) -> object:
    """What is damaged counts as missing, and is never another array."""
    folder = next(parent.parent for parent in path.parents if parent.name == "cache")
    array = _store(folder).get("picture")
    assert array is None or (array == np.ones((2, 3), np.float32)).all()
    return array


FOREIGN_FILES: tuple[ForeignFile, ...] = (
    ForeignFile("folder JSON", _make_folder_json, _split_reader("folder"), (_json_values,) * 2),
    ForeignFile("COCO file", _make_coco, _read_coco, (_json_values,) * 2),
    # A box or a size that is missing is told of the folder.
    ForeignFile(
        "AP-10K annotations",
        _make_animal_annotations,
        _read_animal_annotations,
        (_json_values,),
        names_file=False,
    ),
    ForeignFile("AP-10K pairs", _make_animal_pairs, _split_reader("ap-10k"), (_json_values,) * 2),
    ForeignFile("folder CSV", _make_folder_csv, _split_reader("folder"), (_fields,)),
    ForeignFile("SPair annotation", _make_spair_annotation, _split_reader("spair-71k"), (_json_values,) * 2),
    ForeignFile("SPair list", _make_spair_list, _split_reader("spair-71k"), names_file=False),
    ForeignFile("PF-PASCAL list", _make_pascal_list, _split_reader("pf-pascal"), (_fields,), False),
    ForeignFile("PF-PASCAL .mat", _make_mat(0), _split_reader("pf-pascal")),
    ForeignFile("PF-PASCAL .mat compressed", _make_mat(1), _split_reader("pf-pascal")),
    ForeignFile("PF-WILLOW list", _make_willow_list, _split_reader("pf-willow"), (_fields,), False),
    *(ForeignFile(f"picture {kind}", _make_picture(kind), _read_picture) for kind in PICTURE_KINDS),
    ForeignFile("record", _make_record, _read_record, (_json_values, _unsealed_values)),
    ForeignFile("record in tables", _make_record, _read_results, (_unsealed_values,), False),
    ForeignFile("predictions", _make_predictions, _read_predictions, (_changed_tables,)),
    ForeignFile("shard", _make_shard, _read_shard, (_changed_tables,)),
    ForeignFile("shard of an unfinished cell", _make_shard, _read_unfinished, (_changed_tables,)),
    ForeignFile("prompt", _make_prompt("single"), _read_prompt, (_headers,)),
    ForeignFile("prompt module", _make_prompt("cpm"), _read_prompt, (_headers, _configurations)),
    ForeignFile("prompt of the release", _make_release_prompt, _read_prompt, (_odd_tensor_files,)),
    ForeignFile("tensors", _make_tensors, _read_network, (_headers,)),
    ForeignFile("tensors in a pickle", _make_pickle, _read_network, (_odd_tensor_files,)),
    ForeignFile("tensors in an old pickle", _make_old_pickle, _read_network),
    ForeignFile("index of tensors", _make_tensor_index, _read_network, (_json_values,), names_file=False),
    ForeignFile("checkpoint", _make_checkpoint, _read_checkpoint),
    ForeignFile("checkpoint without a seal", _make_old_checkpoint, _read_checkpoint),
    ForeignFile("log of a training", _make_log, _read_log),
    ForeignFile("record of weights", _make_weight_record, _read_weight_record, (_json_values,)),
    ForeignFile("config of a transformer", _make_transformer, _read_transformer, (_json_values,), False),
    ForeignFile("config of a processor", _make_processor, _read_transformer, (_json_values,)),
    *(
        ForeignFile(f"pipeline {part}", _make_pipeline(part), _read_pipeline, (_json_values,), False)
        for part in (
            "unet/config.json",
            "vae/config.json",
            "scheduler/scheduler_config.json",
            "text_encoder/config.json",
            "tokenizer/tokenizer_config.json",
            "tokenizer/tokenizer.json",
        )
    ),
    ForeignFile("printed numbers", _make_printed, _read_printed, (_fields,)),
    ForeignFile("printed numbers' TOML", _make_printed_settings(".toml"), _read_printed, names_file=False),
    ForeignFile(
        "printed numbers' JSON", _make_printed_settings(".json"), _read_printed, (_json_values,), False
    ),
    ForeignFile("options in TOML", _make_options, _read_options, (_toml_values,), names_file=False),
    ForeignFile("cached array", _make_cached, _read_cached),
)
