"""The streaming transformer: what a step may see, steps one by one, positions."""

import pytest
import torch

from encodec_lab.modules.transformer import StreamingTransformer, hidden_keys, sine_positions

PAST_CONTEXT = 4


@pytest.fixture
def one_layer() -> StreamingTransformer:
    torch.manual_seed(0)
    return StreamingTransformer(
        dim=8, num_heads=2, num_layers=1, feedforward_dim=16, past_context=PAST_CONTEXT, max_period=100.0
    ).eval()


@torch.no_grad()
def test_a_step_sees_itself_and_the_past_context_only(one_layer: StreamingTransformer) -> None:
    latent = torch.randn(1, 12, 8)
    before = one_layer(latent).latent
    changed = latent.clone()
    changed[:, 5] = torch.randn(8)
    differs = (one_layer(changed).latent - before).abs().amax(dim=(0, 2)) > 0
    assert differs.nonzero().flatten().tolist() == list(range(5, 5 + PAST_CONTEXT + 1))


@torch.no_grad()
@pytest.mark.parametrize("sizes", [[1] * 15, [4, 1, 7, 3], [15]])
def test_in_pieces_as_in_one(sizes: list[int]) -> None:
    torch.manual_seed(1)
    model = StreamingTransformer(8, 2, 3, 16, PAST_CONTEXT, 100.0).eval()
    latent = torch.randn(2, 15, 8)
    states, offset, outputs = None, 20, []
    for piece in latent.split(sizes, dim=1):
        output, states, offset = model(piece, states, offset)
        outputs.append(output)
        assert all(state.shape[1] <= PAST_CONTEXT for state in states)
    assert offset == 35
    torch.testing.assert_close(torch.cat(outputs, dim=1), model(latent, None, 20).latent)


@torch.no_grad()
def test_the_offset_matters(one_layer: StreamingTransformer) -> None:
    latent = torch.randn(1, 3, 8)
    assert not torch.allclose(one_layer(latent, None, 0).latent, one_layer(latent, None, 7).latent)


def test_positions() -> None:
    positions = sine_positions(torch.tensor([0, 3]), dim=6, max_period=100.0)
    assert positions[0].tolist() == [1, 1, 1, 0, 0, 0]
    phases = 3 / torch.tensor([1.0, 10.0, 100.0])
    torch.testing.assert_close(positions[1], torch.cat([phases.cos(), phases.sin()]))


def test_hidden_keys() -> None:
    hidden = hidden_keys(num_steps=2, num_past=3, past_context=2, device=torch.device("cpu"))
    assert hidden.tolist() == [[True, False, False, False, True], [True, True, False, False, False]]
