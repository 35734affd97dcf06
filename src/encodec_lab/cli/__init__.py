"""The `encodec` command (also `encodec-lab` and `python -m encodec_lab`)."""
