"""Embeddings to a catalogue, and a catalogue to neighbours."""
