"""Training of heads, by `bench train`: the loop is that of the matchers."""
