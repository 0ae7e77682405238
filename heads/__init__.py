"""Networks that were trained on the features of a frozen backbone, as methods: each a folder."""
