"""The LSTM between convolutions, with a skip connection."""

from torch import Tensor, nn


class SkipLSTM(nn.Module):
    """A stack of LSTM layers over [B, D, L], its input added to its output."""

    def __init__(self, dimension: int, num_layers: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(dimension, dimension, num_layers)

    def forward(self, x: Tensor) -> Tensor:
        steps = x.permute(2, 0, 1)
        y, _ = self.lstm(steps)
        out: Tensor = y + steps
        return out.permute(1, 2, 0)
