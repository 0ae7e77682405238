"""Plugins' code beside ours in one process: what it sets for itself is put back. Imports nothing heavy."""
