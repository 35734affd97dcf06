"""Building blocks without knowledge of codecs: convolutions, LSTM, SEANet, signal transforms, rank reductions."""
