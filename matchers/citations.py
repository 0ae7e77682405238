"""Citations of the matchers' papers, as BibTeX."""

from __future__ import annotations

DHPF = """\
@inproceedings{min2020learning,
  title = {Learning to Compose Hypercolumns for Visual Correspondence},
  author = {Min, Juhong and Lee, Jongmin and Ponce, Jean and Cho, Minsu},
  booktitle = {European Conference on Computer Vision},
  pages = {346--363},
  year = {2020}
}"""
