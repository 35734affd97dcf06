"""Compressed streams: waveform to bytes (`compress.py`) and the layouts of the bytes (`v0.py`)."""
