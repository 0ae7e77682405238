"""Citations, as BibTeX: of this program, and of papers that both its protocols and its plugins follow.

An entry stands in one place alone, so that one key never has two texts.
"""

from __future__ import annotations

from harness.version import __version__

TITLE = "correspondence-bench"

AUTHORS = "The correspondence-bench authors"

HARNESS = f"""\
@misc{{correspondence-bench,
  title = {{{TITLE}: A benchmark harness for semantic correspondence}},
  author = {{{{{AUTHORS}}}}},
  note = {{Version {__version__}, Apache-2.0}}
}}"""
"""Of this program: `CITATION.cff` says the same."""

DIFT = """\
@inproceedings{tang2023emergent,
  title = {Emergent Correspondence from Image Diffusion},
  author = {Tang, Luming and Jia, Menglin and Wang, Qianqian and Phoo, Cheng Perng and Hariharan, Bharath},
  booktitle = {Thirty-seventh Conference on Neural Information Processing Systems},
  year = {2023}
}"""

SD4MATCH = """\
@inproceedings{li2024sd4match,
  title = {{SD4Match}: Learning to Prompt {Stable Diffusion} Model for Semantic Matching},
  author = {Li, Xinghui and Lu, Jingyi and Han, Kai and Prisacariu, Victor Adrian},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2024}
}"""

SD_DINO = """\
@inproceedings{zhang2023tale,
  title = {A Tale of Two Features: {Stable Diffusion} Complements {DINO} for Zero-Shot Semantic
    Correspondence},
  author = {Zhang, Junyi and Herrmann, Charles and Hur, Junhwa and Polania Cabrera, Luisa and
    Jampani, Varun and Sun, Deqing and Yang, Ming-Hsuan},
  booktitle = {Thirty-seventh Conference on Neural Information Processing Systems},
  year = {2023}
}"""

GEOAWARE = """\
@inproceedings{zhang2024telling,
  title = {Telling Left from Right: Identifying Geometry-Aware Semantic Correspondence},
  author = {Zhang, Junyi and Herrmann, Charles and Hur, Junhwa and Chen, Eric and Jampani, Varun and
    Sun, Deqing and Yang, Ming-Hsuan},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2024}
}"""

SPAIR_71K = """\
@article{min2019spair,
  title = {{SPair-71k}: A Large-scale Benchmark for Semantic Correspondence},
  author = {Min, Juhong and Lee, Jongmin and Ponce, Jean and Cho, Minsu},
  journal = {arXiv preprint arXiv:1908.10543},
  year = {2019}
}"""

PF_WILLOW = """\
@inproceedings{ham2016proposal,
  title = {Proposal Flow},
  author = {Ham, Bumsub and Cho, Minsu and Schmid, Cordelia and Ponce, Jean},
  booktitle = {Proceedings of the IEEE Conference on Computer Vision and Pattern Recognition},
  pages = {3475--3484},
  year = {2016}
}"""

PF_PASCAL = """\
@article{ham2018proposal,
  title = {Proposal Flow: Semantic Correspondences from Object Proposals},
  author = {Ham, Bumsub and Cho, Minsu and Schmid, Cordelia and Ponce, Jean},
  journal = {IEEE Transactions on Pattern Analysis and Machine Intelligence},
  volume = {40},
  number = {7},
  pages = {1711--1725},
  year = {2018}
}"""

SPAIR_U = """\
@inproceedings{mariotti2025jamais,
  title = {{Jamais Vu}: Exposing the Generalization Gap in Supervised Semantic Correspondence},
  author = {Mariotti, Octave and Du, Zhipeng and Bhalgat, Yash and Mac Aodha, Oisin and Bilen, Hakan},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2025}
}"""

SOCO = """\
@article{dunkel2026soco,
  title = {{SOCO}: Benchmarking Semantic Object Correspondence in Vision Foundation Models},
  author = {D{\\"u}nkel, Olaf and Sunagad, Basavaraj and Wang, Haoran and Hoffmann, David T. and
    Theobalt, Christian and Kortylewski, Adam},
  journal = {arXiv preprint arXiv:2605.31597},
  year = {2026}
}"""
"""Of the dataset and of OmniProbe, the program that evaluates on it."""

MARCO = """\
@inproceedings{cuttano2026marco,
  title = {{MARCO}: Navigating the Unseen Space of Semantic Correspondence},
  author = {Cuttano, Claudia and Trivigno, Gabriele and Masone, Carlo and Roth, Stefan},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2026}
}"""

AP_10K = """\
@inproceedings{yu2021ap10k,
  title = {{AP-10K}: A Benchmark for Animal Pose Estimation in the Wild},
  author = {Yu, Hang and Xu, Yufei and Zhang, Jing and Zhao, Wei and Guan, Ziyu and Tao, Dacheng},
  booktitle = {Thirty-fifth Conference on Neural Information Processing Systems: Datasets and Benchmarks},
  year = {2021}
}"""
