"""Feature maps of image pairs.

They are computed in canonical batches, in an order that computes few of them twice, and kept in bounded
memory.
"""
