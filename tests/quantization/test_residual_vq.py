"""The residual vector quantiser: cascade, gathering, start, learning. Faults of other implementations: see beside."""

import pytest
import torch
from small_quantizer import learning
from torch import Tensor

from encodec_lab.quantization.kmeans import kmeans
from encodec_lab.quantization.residual_vq import ResidualVectorQuantizer

NUM_CODEBOOKS, SIZE, DIMENSION = 3, 16, 6
BATCH, FRAMES = 4, 15  # 60 vectors a step, so that 160 are there after the third


def new_quantizer() -> ResidualVectorQuantizer:
    return learning(ResidualVectorQuantizer(NUM_CODEBOOKS, SIZE, DIMENSION))


def latent(step: int) -> Tensor:
    """[B, D, L] around 20 points."""
    points = 3 * torch.randn(20, DIMENSION, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(100 + step)
    chosen = points[torch.randint(20, (BATCH, FRAMES), generator=generator)]
    return (chosen + 0.3 * torch.randn(BATCH, FRAMES, DIMENSION, generator=generator)).transpose(1, 2)


def train(quantizer: ResidualVectorQuantizer, steps: range, num_codebooks: int = NUM_CODEBOOKS) -> None:
    quantizer.train()
    for step in steps:
        quantizer.quantize_for_training(latent(step), num_codebooks, draw_seed=step)


def started_quantizer() -> ResidualVectorQuantizer:
    quantizer = new_quantizer()
    train(quantizer, range(5))
    return quantizer


def snapshot(quantizer: ResidualVectorQuantizer) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in quantizer.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_encode_codes_what_the_codebooks_before_have_left():
    quantizer, x = started_quantizer(), latent(50)
    codes = quantizer.encode(x, NUM_CODEBOOKS)
    assert codes.shape == (BATCH, NUM_CODEBOOKS, FRAMES) and codes.dtype == torch.int64
    for item in range(BATCH):
        for frame in range(FRAMES):
            residual = x[item, :, frame].double()
            for k, codebook in enumerate(quantizer.codebooks):
                nearest = (codebook.embed.double() - residual).square().sum(1).argmin()
                assert codes[item, k, frame] == nearest
                residual = residual - codebook.embed[nearest].double()


def test_fewer_codebooks_give_the_first_codes():
    quantizer, x = started_quantizer(), latent(50)
    codes = quantizer.encode(x, NUM_CODEBOOKS)
    for num_codebooks in range(1, NUM_CODEBOOKS + 1):
        assert torch.equal(quantizer.encode(x, num_codebooks), codes[:, :num_codebooks])


def test_decode_is_the_sum_of_the_entries():
    quantizer = started_quantizer()
    codes = torch.randint(SIZE, (2, NUM_CODEBOOKS, 7), generator=torch.Generator().manual_seed(0))
    decoded = quantizer.decode(codes)
    assert decoded.shape == (2, DIMENSION, 7)
    expected = sum(quantizer.codebooks[k].embed[codes[1, k, 4]] for k in range(NUM_CODEBOOKS))
    torch.testing.assert_close(decoded[1, :, 4], expected)


@pytest.mark.parametrize("num_codebooks", [0, NUM_CODEBOOKS + 1])
def test_decode_refuses_codebooks_that_are_not_there(num_codebooks):
    with pytest.raises(
        ValueError, match=rf"\[2, {num_codebooks}, 7\] must be \[batch, 1 to 3 codebooks, frames\]"
    ):
        new_quantizer().decode(torch.zeros(2, num_codebooks, 7, dtype=torch.long))


def test_the_latent_passes_until_ten_vectors_for_each_code_are_there():
    quantizer = new_quantizer().train()
    for step in range(2):
        x = latent(step).requires_grad_()
        result = quantizer.quantize_for_training(x, 2, draw_seed=step)
        assert torch.equal(result.quantized, x)
        assert result.codes.shape == (BATCH, 0, FRAMES) and result.residuals == result.entries == []
        assert not quantizer.started
        result.quantized.sum().backward()
        assert x.grad is not None and x.grad.eq(1).all()
    assert [vectors.shape for vectors in quantizer.gathered_vectors()] == [(60, DIMENSION)] * 2
    result = quantizer.quantize_for_training(latent(2), 2, draw_seed=2)
    assert quantizer.started and quantizer.gathered_vectors() == []
    assert result.codes.shape == (BATCH, 2, FRAMES) and len(result.residuals) == len(result.entries) == 2


def test_start_is_by_kmeans_on_all_that_was_gathered(monkeypatch):
    """Every codebook is started, those too that the batch does not use; each on the residuals of those before."""
    quantizer = new_quantizer()
    monkeypatch.setattr(quantizer, "_learn", lambda *args: None)
    train(quantizer, range(3), num_codebooks=1)
    generator = torch.Generator().manual_seed(2)
    residual = torch.cat([latent(step).transpose(1, 2).reshape(-1, DIMENSION) for step in range(3)])
    for codebook in quantizer.codebooks:
        centroids, counts = kmeans(residual, SIZE, 50, generator)
        assert torch.equal(codebook.embed, centroids)
        torch.testing.assert_close(codebook.cluster_size, counts / 3)  # a step's worth of three
        residual = residual - codebook.decode(codebook.encode(residual))


@pytest.mark.parametrize("interrupted_after", [1, 2, 3, 5])
def test_resuming_is_as_if_uninterrupted(interrupted_after):
    """In the middle of gathering (after 1 or 2 steps), at the start, and while learning."""
    uninterrupted = new_quantizer()
    train(uninterrupted, range(8))
    first = new_quantizer()
    train(first, range(interrupted_after))
    resumed = new_quantizer()
    assert not resumed.started
    resumed.load_state_dict(first.state_dict())
    resumed.restore_gathered_vectors(first.gathered_vectors())
    assert resumed.started == (interrupted_after >= 3)
    train(resumed, range(interrupted_after, 8))
    assert same(snapshot(resumed), snapshot(uninterrupted))
    forgetful = new_quantizer()
    forgetful.load_state_dict(first.state_dict())
    train(forgetful, range(interrupted_after, 8))
    assert same(snapshot(forgetful), snapshot(uninterrupted)) == (interrupted_after >= 3)


def test_loading_codebooks_without_a_start_begins_anew():
    quantizer = started_quantizer()
    assert quantizer.started
    quantizer.load_state_dict(new_quantizer().state_dict())
    assert not quantizer.started
    assert quantizer.quantize_for_training(latent(0), 2, draw_seed=0).codes.shape[1] == 0


def test_training_pass_equals_encode_and_decode():
    quantizer, x = started_quantizer(), latent(60)
    codes = quantizer.encode(x, 2)
    result = quantizer.eval().quantize_for_training(x, 2, draw_seed=0)
    assert torch.equal(result.codes, codes)
    torch.testing.assert_close(result.quantized, quantizer.decode(codes))
    vectors = x.transpose(1, 2).reshape(-1, DIMENSION)
    torch.testing.assert_close(result.residuals[0], vectors)
    torch.testing.assert_close(result.residuals[1], vectors - result.entries[0])
    torch.testing.assert_close(result.entries[1], quantizer.codebooks[1].embed[codes[:, 1].reshape(-1)])


def test_gradient_passes_straight_through():
    quantizer, x = started_quantizer(), latent(60).requires_grad_()
    weights = torch.randn(x.shape)
    result = quantizer.quantize_for_training(x, NUM_CODEBOOKS, draw_seed=0)
    (result.quantized * weights).sum().backward()
    torch.testing.assert_close(x.grad, weights)
    assert not any(entry.requires_grad for entry in result.entries)


def test_a_step_uses_the_codebooks_as_they_were_before_it():
    quantizer, x = started_quantizer(), latent(60)
    expected = quantizer.decode(quantizer.encode(x, 2))
    torch.testing.assert_close(quantizer.train().quantize_for_training(x, 2, draw_seed=0).quantized, expected)
    assert not torch.equal(quantizer.decode(quantizer.encode(x, 2)), expected)


def test_codebooks_not_in_use_are_left_alone():
    quantizer = started_quantizer()
    before = snapshot(quantizer)
    train(quantizer, range(5, 15), num_codebooks=2)
    for name, tensor in quantizer.state_dict().items():
        unused = name.startswith("vq.layers.2.") or name.endswith("inited")
        assert torch.equal(tensor, before[name]) == unused, name


def test_every_codebook_lessens_the_error():
    quantizer = started_quantizer()
    train(quantizer, range(5, 60))
    x = torch.cat([latent(step) for step in range(100, 110)])
    errors = [
        (quantizer.decode(quantizer.encode(x, k)) - x).square().mean() for k in range(1, NUM_CODEBOOKS + 1)
    ]
    assert errors[0] < 0.3 * x.square().mean()
    assert errors[1] < 0.8 * errors[0] and errors[2] < 0.8 * errors[1]


def test_the_seed_alone_decides_the_draws():
    first = started_quantizer()
    torch.manual_seed(1234)
    before = torch.get_rng_state()
    second = started_quantizer()
    assert torch.equal(torch.get_rng_state(), before)
    assert same(snapshot(first), snapshot(second))


@pytest.mark.parametrize(
    ("setting", "value"),
    [("decay", 1.0), ("dead_code_share", -0.1), ("kmeans_iterations", -1), ("kmeans_vectors_per_code", 0)],
)
def test_settings_out_of_range(setting, value):
    with pytest.raises(ValueError, match=rf"{setting}.* got {value}"):
        learning(ResidualVectorQuantizer(1, 2, 3), **{setting: value})


@pytest.mark.parametrize("fault", [torch.nan, torch.inf, 1e30])
def test_nothing_is_learned_of_vectors_that_are_not_finite(fault):
    """Not even at the start: one of them in a running mean would stay there for ever."""

    def damaged(step: int) -> Tensor:
        x = latent(step)
        x[step % BATCH, 0, 3] = fault
        return x

    quantizer = new_quantizer()
    for step in range(3):
        quantizer.quantize_for_training(damaged(step), NUM_CODEBOOKS, draw_seed=step)
    assert [vectors.shape[0] for vectors in quantizer.gathered_vectors()] == [59] * 3 or quantizer.started
    for step in range(3, 40):  # long enough for codes to die, and to take the place of vectors
        result = quantizer.quantize_for_training(damaged(step), NUM_CODEBOOKS, draw_seed=step)
        assert result.counts.sum(1).tolist()[0] == BATCH * FRAMES - 1
    for name, tensor in quantizer.state_dict().items():
        assert tensor.abs().max() < 1e4, name
    errors = [
        (quantizer.decode(quantizer.encode(latent(100), k)) - latent(100)).square().mean() for k in (1, 3)
    ]
    assert errors[0] < 0.3 * latent(100).square().mean()
    assert errors[1] < errors[0]


def test_a_dead_code_does_not_take_the_place_of_a_vector_that_is_not_finite():
    codebook = started_quantizer().codebooks[0]
    codebook.cluster_size[2] = 0.0
    entries = codebook.embed.clone()
    counts = torch.full((SIZE,), 4.0)
    counts[2] = 0
    candidates = torch.full((SIZE, DIMENSION), 9.0)
    candidates[2, 1] = torch.nan
    codebook.update(counts, entries * counts.unsqueeze(1), candidates)
    assert codebook.embed.isfinite().all()
    assert codebook.cluster_size[2] == 0
    codebook.update(counts, entries * counts.unsqueeze(1), torch.full((SIZE, DIMENSION), 9.0))
    assert torch.equal(codebook.embed[2], torch.full((DIMENSION,), 9.0))
