"""Photographs to embeddings, given a bundle. Pillow, numpy, ONNX Runtime; never torch."""
