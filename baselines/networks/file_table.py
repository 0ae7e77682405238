"""Stems of the files that transformers and diffusers save a network's tensors in.

Sources of weights are checked and fetched by them (`baselines.weights`), and networks are read by them
(`baselines.networks.loading`).
"""

from __future__ import annotations

TRANSFORMERS = ("model", "pytorch_model")
"""Stem of safetensors, and of files of PyTorch."""

DIFFUSERS = ("diffusion_pytorch_model", "diffusion_pytorch_model")
