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

NCNET = """\
@inproceedings{rocco2018neighbourhood,
  title = {Neighbourhood Consensus Networks},
  author = {Rocco, Ignacio and Cimpoi, Mircea and Arandjelovi{\\'c}, Relja and Torii, Akihiko and
    Pajdla, Tomas and Sivic, Josef},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {31},
  year = {2018}
}"""

PWARPC = """\
@inproceedings{truong2022probabilistic,
  title = {Probabilistic Warp Consistency for Weakly-Supervised Semantic Correspondences},
  author = {Truong, Prune and Danelljan, Martin and Yu, Fisher and Van Gool, Luc},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  pages = {8708--8718},
  year = {2022}
}"""

CHM = """\
@inproceedings{min2021convolutional,
  title = {Convolutional {Hough} Matching Networks},
  author = {Min, Juhong and Cho, Minsu},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  pages = {2940--2950},
  year = {2021}
}"""

TRANSFORMATCHER = """\
@inproceedings{kim2022transformatcher,
  title = {{TransforMatcher}: Match-to-Match Attention for Semantic Correspondence},
  author = {Kim, Seungwook and Min, Juhong and Cho, Minsu},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  pages = {8697--8707},
  year = {2022}
}"""

CATS = """\
@inproceedings{cho2021cats,
  title = {{CATs}: Cost Aggregation Transformers for Visual Correspondence},
  author = {Cho, Seokju and Hong, Sunghwan and Jeon, Sangryul and Lee, Yunsung and Sohn, Kwanghoon and
    Kim, Seungryong},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2021}
}"""

SEMIMATCH = """\
@inproceedings{kim2022semi,
  title = {Semi-Supervised Learning of Semantic Correspondence with Pseudo-Labels},
  author = {Kim, Jiwon and Ryoo, Kwangrok and Seo, Junyoung and Lee, Gyuseong and Kim, Daehwan and
    Cho, Hansang and Kim, Seungryong},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2022}
}"""

SCORRSAN = """\
@inproceedings{huang2022learning,
  title = {Learning Semantic Correspondence with Sparse Annotations},
  author = {Huang, Shuaiyi and Yang, Luyu and He, Bo and Zhang, Songyang and He, Xuming and
    Shrivastava, Abhinav},
  booktitle = {European Conference on Computer Vision},
  year = {2022}
}"""

RESNET = """\
@inproceedings{he2016deep,
  title = {Deep Residual Learning for Image Recognition},
  author = {He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian},
  booktitle = {Proceedings of the IEEE Conference on Computer Vision and Pattern Recognition},
  pages = {770--778},
  year = {2016}
}"""

SIMSC = """\
@article{li2023simsc,
  title = {{SimSC}: A Simple Framework for Semantic Correspondence with Temperature Learning},
  author = {Li, Xinghui and Han, Kai and Wan, Xingchen and Prisacariu, Victor Adrian},
  journal = {arXiv preprint arXiv:2305.02385},
  year = {2023}
}"""
