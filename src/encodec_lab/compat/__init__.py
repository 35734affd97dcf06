"""Foreign formats: codecs of other programs read, and ours written for them."""
