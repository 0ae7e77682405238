"""Points from feature maps: a source feature and a target map go in, a position comes out.

Pure functions; nothing here reads files.
"""
