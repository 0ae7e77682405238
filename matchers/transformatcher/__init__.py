"""TransforMatcher (CVPR 2022): a transformer whose tokens are the matches of a correlation of many levels."""
