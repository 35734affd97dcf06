"""Whole models: the codec, its configuration, and the folders and files that it is loaded from."""
