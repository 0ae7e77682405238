"""Citations of the baselines' papers and networks, as BibTeX."""

from __future__ import annotations

HOG = """\
@inproceedings{dalal2005histograms,
  title = {Histograms of Oriented Gradients for Human Detection},
  author = {Dalal, Navneet and Triggs, Bill},
  booktitle = {IEEE Computer Society Conference on Computer Vision and Pattern Recognition},
  pages = {886--893},
  year = {2005}
}"""

DENSE_VIT_FEATURES = """\
@article{amir2021deep,
  title = {Deep {ViT} Features as Dense Visual Descriptors},
  author = {Amir, Shir and Gandelsman, Yossi and Bagon, Shai and Dekel, Tali},
  journal = {arXiv preprint arXiv:2112.05814},
  year = {2021}
}"""

DINO = """\
@inproceedings{caron2021emerging,
  title = {Emerging Properties in Self-Supervised Vision Transformers},
  author = {Caron, Mathilde and Touvron, Hugo and Misra, Ishan and J{\\'e}gou, Herv{\\'e} and
    Mairal, Julien and Bojanowski, Piotr and Joulin, Armand},
  booktitle = {Proceedings of the IEEE/CVF International Conference on Computer Vision},
  pages = {9650--9660},
  year = {2021}
}"""

IBOT = """\
@inproceedings{zhou2022ibot,
  title = {{iBOT}: Image {BERT} Pre-Training with Online Tokenizer},
  author = {Zhou, Jinghao and Wei, Chen and Wang, Huiyu and Shen, Wei and Xie, Cihang and Yuille, Alan and
    Kong, Tao},
  booktitle = {International Conference on Learning Representations},
  year = {2022}
}"""

DINOV2 = """\
@article{oquab2024dinov2,
  title = {{DINOv2}: Learning Robust Visual Features without Supervision},
  author = {Oquab, Maxime and Darcet, Timoth{\\'e}e and Moutakanni, Th{\\'e}o and Vo, Huy and
    Szafraniec, Marc and Khalidov, Vasil and Fernandez, Pierre and Haziza, Daniel and Massa, Francisco and
    El-Nouby, Alaaeldin and others},
  journal = {Transactions on Machine Learning Research},
  year = {2024}
}"""

REGISTERS = """\
@inproceedings{darcet2024vision,
  title = {Vision Transformers Need Registers},
  author = {Darcet, Timoth{\\'e}e and Oquab, Maxime and Mairal, Julien and Bojanowski, Piotr},
  booktitle = {International Conference on Learning Representations},
  year = {2024}
}"""

DINOV3 = """\
@article{simeoni2025dinov3,
  title = {{DINOv3}},
  author = {Sim{\\'e}oni, Oriane and Vo, Huy V. and Seitzer, Maximilian and Baldassarre, Federico and
    Oquab, Maxime and others},
  journal = {arXiv preprint arXiv:2508.10104},
  year = {2025}
}"""

STABLE_DIFFUSION = """\
@inproceedings{rombach2022high,
  title = {High-Resolution Image Synthesis with Latent Diffusion Models},
  author = {Rombach, Robin and Blattmann, Andreas and Lorenz, Dominik and Esser, Patrick and
    Ommer, Bj{\\"o}rn},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  pages = {10684--10695},
  year = {2022}
}"""

CLIP = """\
@inproceedings{radford2021learning,
  title = {Learning Transferable Visual Models From Natural Language Supervision},
  author = {Radford, Alec and Kim, Jong Wook and Hallacy, Chris and Ramesh, Aditya and Goh, Gabriel and
    Agarwal, Sandhini and Sastry, Girish and Askell, Amanda and Mishkin, Pamela and Clark, Jack and others},
  booktitle = {International Conference on Machine Learning},
  pages = {8748--8763},
  year = {2021}
}"""

ODISE = """\
@inproceedings{xu2023open,
  title = {Open-Vocabulary Panoptic Segmentation with Text-to-Image Diffusion Models},
  author = {Xu, Jiarui and Liu, Sifei and Vahdat, Arash and Byeon, Wonmin and Wang, Xiaolong and
    De Mello, Shalini},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  pages = {2955--2966},
  year = {2023}
}"""

CLEANDIFT = """\
@inproceedings{stracke2025cleandift,
  title = {{CleanDIFT}: Diffusion Features without Noise},
  author = {Stracke, Nick and Baumann, Stefan Andreas and Bauer, Kolja and Fundel, Frank and
    Ommer, Bj{\\"o}rn},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2025}
}"""
