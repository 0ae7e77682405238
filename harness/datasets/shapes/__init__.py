"""`shapes`: drawn objects with named parts, made from a seed; nothing to download, small enough for a laptop.

Ten categories of objects are drawn from jointed parts, varied in shape, colour, texture, pose, view and size.
They stand before cluttered backgrounds that hold objects of other categories, behind things that hide some of
their parts, and partly out of the picture.
"""
