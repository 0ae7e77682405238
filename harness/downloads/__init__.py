"""Files from the network, for datasets and weights alike: downloads that resume, archives that unpack only
inside their folder.
"""
