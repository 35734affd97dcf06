"""Whole sets of recordings encoded by many processes, on one machine or many, each recording once."""
