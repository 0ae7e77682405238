"""Citation of Diffusion Hyperfeatures, as BibTeX."""

from __future__ import annotations

HYPERFEATURES = """\
@inproceedings{luo2023dhf,
  title = {Diffusion Hyperfeatures: Searching Through Time and Space for Semantic Correspondence},
  author = {Luo, Grace and Dunlap, Lisa and Park, Dong Huk and Holynski, Aleksander and Darrell, Trevor},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2023}
}"""
