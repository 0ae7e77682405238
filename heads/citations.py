"""Citations of the papers of heads, as BibTeX."""

from __future__ import annotations

DIY_SC = """\
@inproceedings{dunkel2025yourself,
  title = {Do It Yourself: Learning Semantic Correspondence from Pseudo-Labels},
  author = {D{\\"u}nkel, Olaf and Wimmer, Thomas and Theobalt, Christian and Rupprecht, Christian and
    Kortylewski, Adam},
  booktitle = {Proceedings of the IEEE/CVF International Conference on Computer Vision},
  year = {2025}
}"""
