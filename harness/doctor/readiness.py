"""What would run on this machine, and what is missing for the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.datasets.presence import dataset_presence
from harness.doctor.entries import Entry
from harness.errors import BenchError
from harness.messages import listed, one_line, shell_word
from harness.plugins.host import Host
from harness.specs import NO_PROMPT, DatasetSpec, WeightSource
from harness.weights.choice import SETS, WeightChoice, Weights, resolve_weights
from harness.weights.content import select_files_in
from harness.weights.learned import find_learned_file, prompt_weight_names
from harness.weights.places import manual_remedy, missing_message, weights_folder
from harness.weights.presence import weight_presence
from harness.weights.used import network_weights


def weight_entries(host: Host, root: Path | None, needs: Mapping[str, Sequence[str]]) -> Iterator[Entry]:
    """A line for each weight source: where it is, or that it is absent, and for which methods.

    Args:
        needs: source -> methods that lack it.
    """
    for source in host.weight_sources.values():
        entry = _weight_entry(source, root)
        if methods := needs.get(source.name):
            entry = replace(entry, detail=f"{entry.detail}, needed by {listed(methods)}")
        yield entry


def _weight_entry(source: WeightSource, root: Path | None) -> Entry:
    presence = weight_presence(source, root)
    if presence.is_there:
        return Entry(source.name, f"{presence.state}, {presence.size_text}, {presence.path}", "ok")
    if source.locate:
        return Entry(source.name, presence.reason, "skipped")
    if presence.reason != missing_message(source, root):
        # A folder that is there and is refused, or cannot be read, with the reason.
        return Entry(source.name, presence.reason, "warned")
    size = "" if presence.download is None else f", {presence.size_text}"
    if presence.state == "partly":
        folder = weights_folder(source, root)
        lacking = listed(select_files_in(source, folder).missing)
        detail = f"partly there{size}: {folder} lacks {lacking}"
        return Entry(source.name, detail, "warned", fetch_command(source, root))
    return Entry(source.name, f"absent{size}", "skipped", fetch_command(source, root))


def fetch_command(source: WeightSource, root: Path | None) -> str:
    """The command that gets a source, or what to do where there is none."""
    if not (source.mirrors or source.downloads):
        return manual_remedy(source, root)
    option = f" --weights-root {shell_word(str(root))}" if root else ""
    advice = f" ({source.advice})" if source.advice else ""
    return f"'bench weights fetch {source.name}{option}'{advice}"


def dataset_entries(host: Host, data_root: Path) -> Iterator[Entry]:
    """A line for each dataset: whether it is there, or the command that gets it."""
    for spec in host.datasets.values():
        if spec.name != "folder":
            yield _dataset_entry(spec, data_root)


def _dataset_entry(spec: DatasetSpec, data_root: Path) -> Entry:
    try:
        presence = dataset_presence(spec, data_root / spec.home)
    except Exception as error:  # noqa: BLE001 - one dataset of a plugin must not hide the others
        return Entry(spec.name, one_line(error), "failed")
    if presence.state in ("present", "bundled"):
        return Entry(spec.name, f"runs: {presence.state}", "ok")
    option = "" if data_root == Path("data") else f" --data-root {shell_word(str(data_root))}"
    remedy = f"'bench data fetch {spec.name}{option}'" if spec.files else ""
    if presence.state == "absent":
        reason = "" if spec.files else f": {presence.missing[0]}"
        return Entry(spec.name, f"absent{reason}", "skipped", remedy)
    if presence.state == "not whole":
        # Every file is there: fetching would change nothing.
        remedy = f"'bench data verify {spec.name}{option}' tells more"
    return Entry(spec.name, f"{presence.state}: {presence.missing[0]}", "warned", remedy)


def method_entries(host: Host, choice: WeightChoice) -> tuple[list[Entry], dict[str, list[str]]]:
    """A line for each method with the weights that it runs with; and source -> methods that lack it."""
    entries: list[Entry] = []
    needs: dict[str, list[str]] = {}
    for name in host.methods:
        try:
            sources = _source_names(host, name)
        except BenchError as error:  # its extractor, prompt or localizer is another plugin's, which failed
            entries.append(Entry(name, one_line(error), "failed"))
            continue
        lacking: list[str] = []
        states = {}
        for which in SETS:
            weights = replace(choice, which=which)  # type: ignore[arg-type]
            missing = _missing(host, weights, sources)
            lacking += missing
            states[which] = f"needs {listed(missing)}" if missing else _prompt_problem(host, weights, name)
        for source in dict.fromkeys(lacking):
            needs.setdefault(source, []).append(name)
        entries.append(_method_entry(name, states))
    return entries, needs


def _method_entry(name: str, states: Mapping[str, str]) -> Entry:
    """A method's line, from the reason why it does not run with each set of weights, empty where it does."""
    texts = [f"--weights {which} {reason or 'runs'}" for which, reason in states.items()]
    if len(set(states.values())) == 1:
        # Methods without weights, or with a plugin's own.
        texts = [next(iter(states.values())) or "runs"]
    return Entry(name, "; ".join(texts), "ok" if not all(states.values()) else "skipped")


def _source_names(host: Host, method: str) -> list[str]:
    """Weight sources of a method's extractor and own prompt. Raises `UserError` for an unknown name."""
    recipe = host.methods[method]
    names = network_weights(host, recipe.extractor, recipe.matcher)
    host.localizers[recipe.localizer]
    if recipe.prompt != NO_PROMPT:
        names += prompt_weight_names(host.prompts[recipe.prompt], None)
    for name in names:
        host.weight_sources[name]
    return names


def _missing(host: Host, choice: WeightChoice, names: Sequence[str]) -> list[str]:
    """Those of some weight sources that are not to be had here."""
    missing = []
    for name in dict.fromkeys(names):
        try:
            resolve_weights(host, choice, [name])
        except Exception:  # noqa: BLE001 - a plugin's own way to look; its line among the weights has the reason
            missing.append(name)
    return missing


def _prompt_problem(host: Host, choice: WeightChoice, method: str) -> str:
    """The reason why a method's own prompt cannot be had from weights that are there; empty where it can."""
    recipe = host.methods[method]
    if recipe.prompt == NO_PROMPT:
        return ""
    prompt = host.prompts[recipe.prompt]
    weights: Mapping[str, Weights] = resolve_weights(host, choice, prompt_weight_names(prompt, None))
    try:
        find_learned_file(prompt, weights)
    except Exception as error:  # noqa: BLE001 - a plugin's own way to look
        return f"no prompt: {one_line(error)}"
    return ""
