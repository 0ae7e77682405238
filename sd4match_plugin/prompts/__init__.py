"""Tuned prompts: files read and written, the conditional prompting module, prompts made for a run."""
