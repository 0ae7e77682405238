"""Training of matchers, by the authors' own objectives: `bench train METHOD`."""
