"""Trainings of prompts and networks, as far as they are alike: pairs, order, checkpoints, logs, folders."""
