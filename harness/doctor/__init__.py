"""The contract of a method, checked on the bundled pictures; and the installation, looked over.

Nothing is imported here: the installation can be looked over where packages that the checks need are missing.
"""
