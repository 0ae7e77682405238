"""Prompts that others published."""
