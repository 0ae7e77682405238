"""Tuning of prompts: pairs, images, loss, training, validation, records."""
