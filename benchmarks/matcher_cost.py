"""What matchers cost at their published shapes: seconds and memory of a picture and of a pair.

    python benchmarks/matcher_cost.py [--methods cats,ncnet] [--threads 1] [--write FILE]

Weights are random numbers in the authors' layouts, in float32; each method runs in a process of its own. A
second table counts how often a run over all pairs of a dataset encodes its pictures, with the small weights.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import PIL.Image
import torch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "conformance")]

from classic_rules import weights_by_rule  # noqa: E402 - found by the line before

from harness.plugins.loading import load_plugins  # noqa: E402
from harness.running.parameters import parameters_of  # noqa: E402
from harness.specs import ImageRequest, MakeContext  # noqa: E402

VECTORS = ROOT / "tests" / "conformance" / "vectors" / "classic"

# Method -> file of shapes. Those of one network have the same shapes, under names with a prefix.
SHAPES = {
    "cats": "cats",
    "semimatch": "cats",
    "scorrsan": "scorrsan",
    "ncnet": "ncnet",
    "pwarpc-ncnet": "ncnet",
    "sfnet": "sfnet",
    "pmd": "pmd",
    "dhpf": "dhpf",
    "chm": "chm",
    "transformatcher": "transformatcher",
}

GROUPS = {"adap_layer_feat3": "state_dict1", "adap_layer_feat4": "state_dict2", "chn4": "chn4_dict"}

POINTS = 20
REPEATS = 3
PICTURE = (500, 375)


def shapes_in(name: str) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors of a published checkpoint, by name."""
    with np.load(VECTORS / f"true_shape_{name}.npz") as file:
        return {
            key.partition("shape/")[2]: tuple(int(side) for side in file[key])
            for key in file.files
            if "shape/" in key and not key.startswith("pfpascal/")
        }


def backbone() -> dict[str, torch.Tensor]:
    """A ResNet-101 of random numbers, in torchvision's names."""
    prefix = "feature_extraction.backbone."
    shapes = {
        key.removeprefix(prefix): shape for key, shape in shapes_in("cats").items() if key.startswith(prefix)
    }
    return weights_by_rule(shapes, 1)


def write_files(method: str, folder: Path) -> dict[str, Path]:
    """Files of random numbers in the layout of a method's authors, by weight source."""
    shapes = shapes_in(SHAPES[method])
    tensors: Mapping[str, object] = weights_by_rule(shapes, 0)
    if method == "pwarpc-ncnet":
        tensors = {f"matching_model.{name}": tensor for name, tensor in tensors.items()}
        tensors = {**tensors, "bin_model.bin_score": torch.tensor(1.0)}
    content: object = {"state_dict": tensors}
    if method in ("sfnet", "pmd"):
        groups: dict[str, dict[str, object]] = {}
        for name, tensor in tensors.items():
            module, _, rest = name.partition(".")
            groups.setdefault(GROUPS[module], {})[rest] = tensor
        content = groups
    paths = {method: folder / f"{method}.pth"}
    torch.save(tensors if method in ("dhpf", "chm", "transformatcher") else content, paths[method])
    if method in ("sfnet", "pmd", "dhpf"):
        paths["resnet101"] = folder / "resnet101.pth"
        torch.save(backbone(), paths["resnet101"])
    return paths


def seconds(action) -> float:
    """Median of a few calls, after one that is not counted."""
    action()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return sorted(times)[REPEATS // 2]


def forget_peak() -> None:
    """Lets `peak` begin anew: loading has taken more than any pair does."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak() -> int:
    """The most memory that this process has held since `forget_peak`, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def measure(method: str, threads: int, results) -> None:
    """Measures one method, in a process of its own."""
    torch.set_num_threads(threads)
    host = load_plugins()
    recipe = host.methods[method]
    with tempfile.TemporaryDirectory() as folder:
        params = {**parameters_of(host, recipe).params, **recipe.params}
        context = MakeContext(params=params, weights=write_files(method, Path(folder)))
        extractor = host.extractors[recipe.extractor].make(context)
        matcher = host.matchers[recipe.matcher].make(context)
    spec = host.localizers[recipe.localizer]
    localizer = spec.make(**{**spec.options, **recipe.localizer_options.get(recipe.localizer, {})})
    random = np.random.default_rng(0)
    requests = [
        ImageRequest(
            PIL.Image.fromarray(random.integers(0, 256, (*PICTURE[::-1], 3), dtype=np.uint8)), str(n), "cat"
        )
        for n in range(2)
    ]
    source, target = (extractor.extract([request])[0] for request in requests)
    points = torch.from_numpy(random.uniform(5, 370, (POINTS, 2)))
    with torch.inference_mode():
        encoding = seconds(lambda: extractor.extract(requests[:1]))
        forget_peak()
        before = peak()
        matches = matcher.match([(source, target)])[0]
        matching = seconds(lambda: matcher.match([(source, target)]))
        reading = seconds(lambda: localizer.read(matches, points))
    tensor = matches.volume if matches.flow is None else matches.flow
    results.put(
        {
            "picture": encoding,
            "pair": matching,
            "reading": reading,
            "map": source.nbytes,
            "matches": tensor.nbytes,
            "shape": tuple(tensor.shape),
            "peak": peak() - before,
        }
    )


def measure_apart(method: str, threads: int) -> dict:
    """Measures a method in a new process."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=measure, args=(method, threads, results))
    process.start()
    measured = results.get()
    process.join()
    return measured


def cost_table(methods: list[str], threads: int) -> list[str]:
    """Seconds and bytes of each method, as Markdown."""
    lines = [
        "| method | s per picture | s per pair | pair : picture | s to read 20 points | map kept | matches "
        "| their shape | more memory at work |",
        "|---|---:|---:|---:|---:|---:|---:|---|---:|",
    ]
    for method in methods:
        cost = measure_apart(method, threads)
        cells = (
            f"`{method}`",
            f"{cost['picture']:.2f}",
            f"{cost['pair']:.2f}",
            f"{cost['pair'] / cost['picture']:.1f}",
            f"{cost['reading']:.3f}",
            *(f"{cost[name] / 1e6:.1f} MB" for name in ("map", "matches")),
            " × ".join(map(str, cost["shape"])),
            f"{cost['peak'] / 1e6:.0f} MB",
        )
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], file=sys.stderr)
    return lines


def count_table(methods: list[str], dataset: str, data_root: Path) -> list[str]:
    """How often pictures are encoded in a run over all test pairs of a dataset, as Markdown."""
    import harness

    lines = ["| method | pictures | pairs | pictures encoded | pairs matched |", "|---|---:|---:|---:|---:|"]
    for method in methods:
        counts = {"pictures": 0, "pairs": 0}
        host = load_plugins()
        recipe = host.methods[method]
        extractor, matcher = _class_of(host, recipe, "extract"), _class_of(host, recipe, "match")
        with (
            _counting(extractor, "extract", counts, "pictures"),
            _counting(matcher, "match", counts, "pairs"),
            tempfile.TemporaryDirectory() as folder,
        ):
            harness.run(method, dataset, out=folder, data_root=data_root, progress=False)
        spec = host.datasets[dataset]
        split = spec.open(data_root / spec.home, "test")
        pictures = {each.identity() for n in range(len(split)) for each in (split[n].source, split[n].target)}
        lines.append(
            f"| `{method}` | {len(pictures)} | {len(split):,} | {counts['pictures']} | {counts['pairs']:,} |"
        )
    return lines


def _class_of(host, recipe, name):
    sources = {
        source: host.weight_sources[f"tiny-{source.removesuffix('101')}"] for source in _sources(host, recipe)
    }
    params = {**parameters_of(host, recipe).params, **recipe.params}
    context = MakeContext(params=params, weights={key: source.locate() for key, source in sources.items()})
    spec = host.extractors[recipe.extractor] if name == "extract" else host.matchers[recipe.matcher]
    return type(spec.make(context))


def _sources(host, recipe):
    return {*host.extractors[recipe.extractor].weights, *host.matchers[recipe.matcher].weights}


class _counting:
    def __init__(self, kind, name, counts, key):
        self.kind, self.name, self.counts, self.key = kind, name, counts, key

    def __enter__(self):
        self.original = original = getattr(self.kind, self.name)

        def counted(made, items):
            self.counts[self.key] += len(items)
            return original(made, items)

        setattr(self.kind, self.name, counted)

    def __exit__(self, *_):
        setattr(self.kind, self.name, self.original)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", default=",".join(SHAPES))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dataset", default="shapes", help="dataset of the second table")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--write", type=Path, help="a Markdown file for the tables")
    arguments = parser.parse_args()
    methods = arguments.methods.split(",")
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    lines = cost_table(methods, arguments.threads)
    lines += ["", *count_table(methods, arguments.dataset, arguments.data_root)]
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.write:
        arguments.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
