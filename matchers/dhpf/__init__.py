"""DHPF (ECCV 2020): levels of a backbone, chosen anew for each pair, correlated and weighed by Hough votes.

Names of tensors, and what the paper leaves open, are those of the authors' program
(github.com/juhongm999/dhpf).
"""
