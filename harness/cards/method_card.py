"""The page on a method: its recipe, what can be changed of it, its weights, notes, numbers and citation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from harness.cards.card import Card, Section
from harness.cards.citing import bibliography, subjects_named
from harness.errors import BenchError, UserError
from harness.messages import listed
from harness.plugins.host import Host
from harness.running.parameters import Parameters, parameters_of
from harness.specs import (
    NO_MATCHER,
    NO_PROMPT,
    Averaging,
    ExtractorSpec,
    MethodSpec,
    PromptSpec,
    Scope,
    WeightSource,
)
from harness.sweep import format_value
from harness.tables.paper_files import read_methods
from harness.tables.papers import ReportedMethod, citation
from harness.tables.text import averaging_text
from harness.weights.presence import weight_presence
from harness.weights.used import network_weights

_SUPERVISION = {"Z": "zero-shot", "I": "image-level labels or pairs", "K": "keypoints"}


def method_card(host: Host, name: str, weights_root: Path | None = None) -> Card:
    """The page on a method.

    Raises:
        UserError: no plugin brings it, or its extractor, matcher or prompt.
    """
    method = host.methods[name]
    extractor = host.extractors[method.extractor]
    prompt = None if method.prompt == NO_PROMPT else host.prompts[method.prompt]
    sources = _sources(host, method, prompt)
    parameters = _parameters(method, parameters_of(host, method))
    weights = [_weights_fields(host, source, weights_root) for source in sources]
    reported, unreadable = _read_known(host)
    numbers = _reported_fields(reported, method)
    sizes = _image_sizes(host, extractor, weights_root)
    bibtex = "\n\n".join(bibliography(subjects_named(host, method.name)).entries)
    command = _command(method, sources)
    plugin = host.registries["bench_methods"].origin(name)
    recipe = [*_recipe(host, method, extractor, sizes), ("brought by", plugin.origin)]
    fields: dict[str, object] = {
        "type": "method",
        "name": method.name,
        "description": method.description,
        "plugin": plugin.name,
        "extractor": extractor.name,
        "prompt": method.prompt,
        "matcher": method.matcher,
        "localizer": method.localizer,
        "localizer_options": {key: dict(values) for key, values in method.localizer_options.items()},
        "scope": extractor.scope,
        "prompt_kinds": sorted(extractor.prompt_kinds),
        "image_size": sizes,
        "supervision": method.supervision,
        "trained_on": method.trained_on,
        "tuned_on": list(method.tuned_on),
        "parameters": parameters,
        "weights": weights,
        "notes": method.notes,
        "reported": numbers,
        "citation": bibtex,
        "command": command,
    }
    sections = (
        Section("recipe", recipe),
        Section("parameters (--set NAME=VALUE)", [_parameter_row(each) for each in parameters]),
        Section("weights", [_weights_row(each) for each in weights]),
        Section("notes", text=method.notes),
        *_reported_sections(numbers),
        Section("reported numbers that cannot be read", [(line,) for line in unreadable]),
        Section("citation, with this program's own first", text=bibtex, is_verbatim=True),
        Section("to run it", text=command, is_verbatim=True),
    )
    return Card(f"method {method.name}: {method.description}", sections, fields)


def _recipe(
    host: Host, method: MethodSpec, extractor: ExtractorSpec, sizes: dict[str, str]
) -> list[tuple[str, str]]:
    localizer = host.localizers[method.localizer]
    options = {**localizer.options, **method.localizer_options.get(localizer.name, {})}
    rows = [("extractor", f"{extractor.name}: {extractor.description}")]
    prompt = None if method.prompt == NO_PROMPT else host.prompts[method.prompt]
    if prompt is None:
        rows.append(("prompt", "none; the extractor takes none"))
    else:
        rows.append(("prompt", f"{method.prompt}: {prompt.description}"))
        rows.append(("takes prompts of", f"kind {listed(sorted(extractor.prompt_kinds))}"))
    if method.matcher != NO_MATCHER:
        matcher = host.matchers[method.matcher]
        rows.append(("matcher", f"{matcher.name}: {matcher.description}; gives a {matcher.gives}"))
    rows.append(("localizer", f"{localizer.name}: {localizer.description}"))
    if options:
        texts = [f"{key}={format_value(value)}" for key, value in options.items()]
        rows.append(("its options", ", ".join(texts)))
    rows.append(("a feature map", _SCOPES[extractor.scope]))
    if prompt:
        rows.append(("the prompt", _SCOPES[prompt.scope]))
    rows.append(("image fed", "; ".join(f"{size} {which}".rstrip() for which, size in sizes.items())))
    rows.append(("supervision", _SUPERVISION[method.supervision]))
    learned = "what its prompt's file says (--trained-on, --prompt-file)" if prompt and prompt.learned else ""
    rows.append(("trained on", method.trained_on or learned or "–"))
    rows.append(("tuned on", listed(method.tuned_on) or "nothing: it has no free choice"))
    return rows


_SCOPES: Mapping[Scope, str] = {
    "dataset": "is the same for all images",
    "category": "depends on the category",
    "image": "depends on the image alone",
    "pair": "depends on both images of a pair",
}


def _parameters(method: MethodSpec, known: Parameters) -> list[dict[str, object]]:
    parameters: list[dict[str, object]] = []
    for name, default in {**known.params, **method.params}.items():
        choices = known.param_choices.get(name, ())
        parameters.append(
            {
                "name": name,
                "default": format_value(default),
                "choices": [format_value(choice) for choice in choices],
                "description": known.param_help.get(name, ""),
            }
        )
    return parameters


def _parameter_row(parameter: dict[str, object]) -> tuple[str, str, str]:
    description = str(parameter["description"])
    choices = parameter["choices"]
    if isinstance(choices, list) and choices and not all(choice in description for choice in choices):
        description = f"{description} [{' | '.join(choices)}]".strip()
    return str(parameter["name"]), str(parameter["default"]), description


def _sources(host: Host, method: MethodSpec, prompt: PromptSpec | None) -> list[WeightSource]:
    """Weight sources of a method, that of its learned prompt too, each once."""
    names = dict.fromkeys(network_weights(host, method.extractor, method.matcher))
    if prompt:
        names |= dict.fromkeys(prompt.weights)
        if prompt.learned:
            names[prompt.learned.source] = None
    return [host.weight_sources[name] for name in names]


def _weights_fields(host: Host, source: WeightSource, root: Path | None) -> dict[str, object]:
    presence = weight_presence(source, root)
    return {
        "name": source.name,
        "state": presence.state,
        "size": presence.size,
        "download_bytes": presence.download,
        "size_text": presence.size_text,
        "stand_in": source.stand_in,
        "description": source.description,
    }


def _weights_row(weights: dict[str, object]) -> tuple[str, ...]:
    stand_in = f"with tiny: {weights['stand_in']}" if weights["stand_in"] else ""
    details = "; ".join(text for text in (stand_in, str(weights["description"])) if text)
    return str(weights["name"]), str(weights["state"]), str(weights["size_text"]), details


def _image_sizes(host: Host, extractor: ExtractorSpec, root: Path | None) -> dict[str, str]:
    """With which weights -> size of the image that the extractor is fed, of weights that are there."""
    if not callable(extractor.image_size) and extractor.fed_size is None:
        return {"": "{} x {}".format(*extractor.fed({}))}
    sizes: dict[str, str] = {}
    for which in ("paper", "tiny"):
        paths: dict[str, Path] = {}
        for name in extractor.weights:
            source = host.weight_sources[name]
            if which == "tiny" and source.stand_in:
                source = host.weight_sources[source.stand_in]
            presence = weight_presence(source, root)
            if presence.is_there and presence.path:
                paths[name] = presence.path
        if paths.keys() != set(extractor.weights):
            continue
        try:
            sizes[f"with --weights {which}"] = "{} x {}".format(*extractor.fed(paths))
        except BenchError:
            # Damaged weights: 'bench weights verify' says so.
            continue
    return sizes or {"": "follows from the weights, which are not there"}


def _read_known(host: Host) -> tuple[list[ReportedMethod], list[str]]:
    """The printed numbers that the package and plugins bring, and a line for each set that cannot be read."""
    methods: list[ReportedMethod] = []
    unreadable = []
    for name in host.reported:
        try:
            methods += read_methods(host.reported[name], host)
        except UserError as error:
            # A plugin's damaged file takes nothing from the page but its own numbers.
            unreadable.append(f"{name}: {error}")
    return methods, unreadable


def _reported_fields(reported: Sequence[ReportedMethod], method: MethodSpec) -> list[dict[str, object]]:
    """Numbers that papers printed for the method, of all pairs of a split."""
    fields = []
    for entry in reported:
        if entry.method != method.name:
            continue
        for column, value in sorted(entry.values.items()):
            if column.slice == "all":
                fields.append(
                    {
                        "dataset": column.dataset,
                        "split": column.split,
                        "alpha": column.alpha,
                        "pck": value,
                        "prompt": entry.prompt,
                        "trained_on": entry.trained_on or None,
                        "protocol": entry.protocol,
                        "averaging": entry.averaging,
                        "source": citation([(entry, column)]),
                    }
                )
    return fields


def _reported_sections(numbers: Sequence[dict[str, object]]) -> list[Section]:
    """A part for each protocol and average, since papers measure in different ones."""
    rows: dict[str, list[tuple[str, ...]]] = {}
    for number in numbers:
        averaging = averaging_text(cast("Averaging", number["averaging"]))
        measure = f"protocol {number['protocol']}, mean {averaging}"
        rows.setdefault(measure, []).append(_reported_row(number))
    return [Section(f"reported numbers ({measure})", lines) for measure, lines in rows.items()]


def _reported_row(number: dict[str, object]) -> tuple[str, ...]:
    where = f"{number['dataset']} {number['split']} @{number['alpha']:.2f}"
    trained = f", trained on {number['trained_on']}" if number["trained_on"] else ""
    return where, f"{number['pck']:.1f}", f"prompt {number['prompt']}{trained}", str(number["source"])


def _command(method: MethodSpec, sources: list[WeightSource]) -> str:
    """Commands that try the method on the bundled pictures, fetch what it needs and run it as published."""
    fetched = [source.name for source in sources if source.mirrors or source.downloads]
    trial = f"bench run --methods {method.name}"
    if not fetched:
        return f"{trial}\nbench run --methods {method.name} --datasets pf-willow --data-root data"
    return "\n".join(
        (
            trial,
            f"bench weights fetch {' '.join(fetched)}",
            f"bench run --methods {method.name} --weights paper --datasets pf-willow --data-root data",
        )
    )
