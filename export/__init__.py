"""A checkpoint to a bundle, with the proof that both agree."""
