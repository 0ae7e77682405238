"""Plugins found, loaded, blocked and listed; one registry per hook. Imports nothing heavy."""
