"""Methods that others published, and the floors beneath them."""
