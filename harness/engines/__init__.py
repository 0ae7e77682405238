"""Engines that hand the pairs of cells to other processes; only this process writes results."""
