"""Turning integers into bytes and back, without knowledge of audio or neural networks."""
