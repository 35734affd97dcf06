"""How good a codec is: files through the real bitstream at every bandwidth, summaries, and a page that shows them."""
