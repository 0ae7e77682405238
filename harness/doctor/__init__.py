"""The contract of whatever a plugin brings, checked; and the installation, looked over.

Nothing is imported here: the installation can be looked over where packages that the checks need are missing.
"""
