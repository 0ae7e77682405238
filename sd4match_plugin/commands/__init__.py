"""`bench train`, `bench ablation` and `bench prompt`."""
