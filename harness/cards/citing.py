"""What a table's numbers stand on, with the citation of each, and the citations of all, each once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.citations import HARNESS
from harness.errors import UserError, unknown_name
from harness.plugins.host import Host
from harness.records.schema import Record
from harness.specs import NO_MATCHER, NO_PROMPT
from harness.specs.bibtex import parse_entries
from harness.weights.used import network_weights


@dataclass(frozen=True)
class Subject:
    """Something that may be cited.

    Attributes:
        name: its kind and name: `method dift`.
        citation: BibTeX; empty where there is none.
        needs_one: whether its lack is told: numbers stand on a method, its weights and a dataset, while few
            localizers and prompts have papers of their own.
        reason: why it has no citation.
    """

    name: str
    citation: str
    needs_one: bool
    reason: str = "its plugin gives none"


@dataclass(frozen=True)
class Bibliography:
    """Citations of several subjects.

    Attributes:
        entries: BibTeX entry -> names of what it is for, in order.
        lacking: a line for each subject that should have a citation and has none.
        clashes: a line for each key that stands for two texts.
    """

    entries: Mapping[str, Sequence[str]]
    lacking: Sequence[str]
    clashes: Sequence[str]

    def render(self) -> str:
        """A .bib file: each entry behind a comment that says what it is for."""
        return "\n".join(f"% {', '.join(names)}\n{entry}\n" for entry, names in self.entries.items())


def subjects_of(host: Host, records: Sequence[Record]) -> list[Subject]:
    """What the numbers of records stand on, each once: methods first, then networks, data and measures."""
    names: dict[tuple[str, str], None] = {}
    for record in records:
        names[("methods", record.cell.method)] = None
        if record.cell.prompt != NO_PROMPT:
            names[("prompts", record.cell.prompt)] = None
        if record.cell.matcher != NO_MATCHER:
            names[("matchers", record.cell.matcher)] = None
        names[("datasets", record.cell.dataset.partition(":")[0])] = None
        for source in record.provenance.weights if record.provenance else ():
            if source in host.weight_sources:
                names[("weight_sources", source)] = None
        for score in record.scores:
            names[("localizers", score.localizer)] = None
            names[("protocols", score.protocol.partition("[")[0])] = None
    return [
        subject for kind in _KINDS for subject in (_subject(host, *key) for key in names if key[0] == kind)
    ]


def subjects_named(host: Host, name: str) -> list[Subject]:
    """What a name stands for: a method with its weights and prompt, a dataset, a protocol and so on.

    Raises:
        UserError: nothing has this name.
    """
    if name in host.methods:
        method = host.methods[name]
        subjects = [_subject(host, "methods", name), *_prompt_subjects(host, method.prompt)]
        if method.matcher != NO_MATCHER:
            subjects.append(_subject(host, "matchers", method.matcher))
        sources = network_weights(host, method.extractor, method.matcher)
        return [*subjects, *(_subject(host, "weight_sources", source) for source in sources)]
    for kind in _KINDS:
        if name in getattr(host, kind):
            return [_subject(host, kind, name)]
    known = {known for kind in _KINDS for known in getattr(host, kind)}
    raise unknown_name("results folder, method, dataset or other name", name, known)


def _prompt_subjects(host: Host, prompt: str) -> list[Subject]:
    if prompt == NO_PROMPT:
        return []
    sources = host.prompts[prompt].weights
    return [
        _subject(host, "prompts", prompt),
        *(_subject(host, "weight_sources", source) for source in sources),
    ]


_KINDS = {
    "methods": "method",
    "prompts": "prompt",
    "matchers": "matcher",
    "weight_sources": "weights",
    "datasets": "dataset",
    "localizers": "localizer",
    "protocols": "protocol",
}
"""Registry of the host -> its word, in the order of a bibliography."""

_NEEDED = ("methods", "weight_sources", "datasets")


def _subject(host: Host, kind: str, name: str) -> Subject:
    word = f"{_KINDS[kind]} {name}"
    try:
        spec: Any = getattr(host, kind)[name]
    except UserError:
        return Subject(word, "", kind in _NEEDED, "no plugin here brings it")
    if kind == "datasets" and name == "folder":
        return Subject(word, "", True, "your own pictures: cite where they are from")
    # A method without a citation may be a variant of an extractor that has one.
    citation = spec.citation or (host.extractors[spec.extractor].citation if kind == "methods" else "")
    return Subject(word, citation, kind in _NEEDED)


def bibliography(subjects: Iterable[Subject]) -> Bibliography:
    """The citations of subjects, the program's own first, each once."""
    entries: dict[str, list[str]] = {HARNESS: ["correspondence-bench"]}
    by_key = parse_entries(HARNESS)
    lacking: dict[str, None] = {}
    clashes: dict[str, None] = {}
    for subject in subjects:
        if not subject.citation and subject.needs_one:
            lacking[f"no citation of {subject.name}: {subject.reason}"] = None
        for key, text in parse_entries(subject.citation).items():
            if by_key.setdefault(key, text) != text:
                clashes[f"{subject.name}: its citation has the key {key} of another entry; rename one"] = None
            names = entries.setdefault(text, [])
            if subject.name not in names:
                names.append(subject.name)
    return Bibliography(entries, list(lacking), list(clashes))
