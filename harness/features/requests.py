"""What an extractor is asked: images with their prompts, made as the prompt's scope says."""

from __future__ import annotations

from dataclasses import dataclass

from harness.specs import Prompt, Scope


@dataclass(frozen=True)
class PromptUse:
    """A prompt and what it depends on."""

    make: Prompt
    scope: Scope
