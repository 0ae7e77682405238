"""NCNet: correlations that agree with their neighbours (Rocco et al., NeurIPS 2018)."""
