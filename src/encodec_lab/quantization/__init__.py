"""Residual vector quantisation: k-means start, codebooks learned by moving averages, the residual cascade."""
