"""Commands that the plugin brings."""
