"""The LSTM with a skip connection."""

import torch

from encodec_lab.modules.lstm import SkipLSTM


def layer() -> SkipLSTM:
    torch.manual_seed(0)
    return SkipLSTM(6, 2)


def test_adds_its_input_to_the_lstm():
    skip_lstm = layer()
    x = torch.randn(3, 6, 10)
    for item, got in zip(x, skip_lstm(x), strict=True):
        expected, _ = skip_lstm.lstm(item.t().unsqueeze(1))
        torch.testing.assert_close(got, item + expected.squeeze(1).t())


def test_hears_nothing_of_the_future():
    skip_lstm = layer()
    x = torch.randn(1, 6, 10)
    changed = x.clone()
    changed[..., 5:] += 1
    assert torch.equal(skip_lstm(x)[..., :5], skip_lstm(changed)[..., :5])
    assert not torch.allclose(
        skip_lstm(x)[..., 5:] - x[..., 5:], skip_lstm(changed)[..., 5:] - changed[..., 5:]
    )


def test_equals_the_reference(reference_package):
    ours = layer()
    theirs = reference_package.modules.SLSTM(6, 2)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 6, 17)
    assert torch.equal(ours(x), theirs(x))
