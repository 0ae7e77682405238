"""One self-contained page of a results folder."""
