"""Unlabelled photographs to a checkpoint, and the evaluation of a checkpoint."""
