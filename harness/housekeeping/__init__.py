"""Results folders as a whole: several merged into one, and what is superseded found and removed.

Works on what cells have left behind, without a model.
"""
