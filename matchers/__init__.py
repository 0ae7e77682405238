"""Methods that correlate two images and refine the correlation: NCNet, CATs, others of the paper's Table 2.

Each has a folder: its network, written from its paper and from what the authors' program does; the extractor
(what a picture needs alone), the matcher (what the pair needs), the recipe (`spec.py`, without torch) and the
objective by which `bench train` tunes it.
"""
