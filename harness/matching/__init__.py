"""Keypoints of the user's own two images, found by any method (`bench match`, `harness.match`) and drawn.

Reads running, datasets and localizers; writes pictures only.
"""
