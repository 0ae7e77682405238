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

SFNET = """\
@inproceedings{lee2019sfnet,
  title = {{SFNet}: Learning Object-aware Semantic Correspondence},
  author = {Lee, Junghyup and Kim, Dohyung and Ponce, Jean and Ham, Bumsub},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  pages = {2278--2287},
  year = {2019}
}"""

PMD = """\
@inproceedings{li2021probabilistic,
  title = {Probabilistic Model Distillation for Semantic Correspondence},
  author = {Li, Xin and Fan, Deng-Ping and Yang, Fan and Luo, Ao and Cheng, Hong and Liu, Zicheng},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  pages = {7505--7514},
  year = {2021}
}"""
