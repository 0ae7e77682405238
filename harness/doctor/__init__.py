"""The contract of a method, localizer, prompt or dataset, checked; and the installation, looked over.

Nothing is imported here: the installation can be looked over where packages that the checks need are missing.
"""
