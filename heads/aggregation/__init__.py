"""The aggregation network: a bottleneck for each level of features, mixed with learned weights."""
