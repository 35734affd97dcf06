"""The faults of other implementations' quantisers that this one must not have, by number in the project's list.

Every check is run on our quantiser and on one with the fault put back, which must fail it: the tests prove themselves.
Fault 6, of several processes and of memory, is in test_known_fault_6.py.
"""

from contextlib import nullcontext
from unittest import mock

import pytest
import torch
from small_quantizer import learning
from torch import Tensor

from encodec_lab.losses.commitment import commitment_loss
from encodec_lab.quantization import residual_vq
from encodec_lab.quantization.codebook import EmaCodebook
from encodec_lab.quantization.residual_vq import QuantizedLatent, ResidualVectorQuantizer

# --- Faults 1, 2 and 5: one codebook ---


def started(codebook_class: type[EmaCodebook]) -> EmaCodebook:
    """Eight codes in one dimension at 0 ... 7, each chosen by ten vectors a step."""
    codebook = codebook_class(8, 1)
    codebook.configure_learning(0.9, 0.1)
    codebook.start(torch.arange(8.0).unsqueeze(1), torch.full((8,), 10.0), 80)
    return codebook


def step(codebook: EmaCodebook, counts: Tensor) -> Tensor:
    """One update in which code v is chosen counts[v] times, by vectors at v; which codes have moved onto candidates."""
    codebook.update(counts, torch.arange(8.0).unsqueeze(1) * counts.unsqueeze(1), torch.full((8, 1), 50.0))
    return (codebook.embed.squeeze(1) - 50).abs() < 1


class ReplacesOnlyTheEntry(EmaCodebook):
    """Fault 1: a dead code's entry is replaced, and the same step overwrites it from the running sums."""

    def update(self, counts: Tensor, sums: Tensor, candidates: Tensor) -> None:
        dead = self.cluster_size < self.dead_code_share * self.cluster_size.mean()
        self.embed.copy_(torch.where(dead.unsqueeze(1), candidates, self.embed))
        with mock.patch.object(self, "dead_code_share", 0.0):
            super().update(counts, sums, candidates)


def check_dead_codes_come_back(codebook_class: type[EmaCodebook]) -> None:
    codebook = started(codebook_class)
    codebook.cluster_size[3] = 0.1
    codebook.embed_avg[3] = 0.1 * 3
    counts = torch.full((8,), 10.0)
    counts[3] = 0
    for _ in range(3):  # the first step moves it, the next ones must leave it there
        moved = step(codebook, counts)
        assert moved.tolist() == [False] * 3 + [True] + [False] * 4, "the dead code has not moved"


def test_fault_1_dead_codes_come_back():
    check_dead_codes_come_back(EmaCodebook)
    with pytest.raises(AssertionError, match="the dead code has not moved"):
        check_dead_codes_come_back(ReplacesOnlyTheEntry)


class StartsFromBareCentroids(EmaCodebook):
    """Fault 2: the running sums start from the centroids instead of the centroids times their counts."""

    def start(self, centroids: Tensor, counts: Tensor, num_vectors_per_step: int) -> None:
        super().start(centroids, counts, num_vectors_per_step)
        self.embed_avg.copy_(centroids)


def check_start_outlives_a_step(codebook_class: type[EmaCodebook]) -> None:
    codebook = started(codebook_class)
    step(codebook, torch.full((8,), 10.0))
    assert torch.allclose(codebook.embed.squeeze(1), torch.arange(8.0), atol=1e-3), "k-means is lost"


def test_fault_2_start_outlives_a_step():
    check_start_outlives_a_step(EmaCodebook)
    with pytest.raises(AssertionError, match="k-means is lost"):
        check_start_outlives_a_step(StartsFromBareCentroids)


class FirstTwoFaults(ReplacesOnlyTheEntry, StartsFromBareCentroids):
    """Faults 1 and 2 together."""


def num_dead_codes(codebook_class: type[EmaCodebook]) -> int:
    """Of 256 codes, how many 20,000 vectors leave unused after 200 steps of training on others like them."""
    generator = torch.Generator().manual_seed(0)
    points = 3 * torch.randn(32, 8, generator=generator)

    def latent() -> Tensor:
        chosen = points[torch.randint(32, (16, 64), generator=generator)]
        return (chosen + torch.randn(16, 64, 8, generator=generator)).transpose(1, 2)

    with mock.patch.object(residual_vq, "EmaCodebook", codebook_class):
        quantizer = learning(ResidualVectorQuantizer(1, 256, 8), kmeans_iterations=10)
    for seed in range(200):
        quantizer.quantize_for_training(latent(), 1, seed)
    return 256 - torch.cat([quantizer.encode(latent(), 1) for _ in range(20)]).unique().numel()


def test_faults_1_and_2_no_code_is_dead_after_a_toy_run():
    assert num_dead_codes(EmaCodebook) == 0
    assert num_dead_codes(FirstTwoFaults) > 80


class ExpiresBeforeTheUpdate(EmaCodebook):
    """Fault 5: whether a code is dead is decided before this step's vectors are counted."""

    def dead_codes(self, before: Tensor) -> Tensor:
        return before < self.dead_code_share * before.mean()

    def update(self, counts: Tensor, sums: Tensor, candidates: Tensor) -> None:
        before = self.cluster_size.clone()
        with mock.patch.object(self, "dead_code_share", 0.0):
            super().update(counts, sums, candidates)
        dead = self.dead_codes(before)
        uniform_usage = self.cluster_size.mean()
        self.cluster_size[dead] = uniform_usage
        self.embed_avg[dead] = candidates[dead] * uniform_usage
        self.embed[dead] = candidates[dead]


class AbsoluteThreshold(ExpiresBeforeTheUpdate):
    """Fault 5: a code is dead under two vectors a step, however few vectors there are."""

    def dead_codes(self, before: Tensor) -> Tensor:
        return self.cluster_size < 2


def check_a_code_in_use_stays(codebook_class: type[EmaCodebook]) -> None:
    codebook = started(codebook_class)
    codebook.cluster_size[3] = 0.5
    codebook.embed_avg[3] = 0.5 * 3
    assert not step(codebook, torch.full((8,), 10.0)).any(), "a code in use has been replaced"


def check_small_batches_keep_their_codes(codebook_class: type[EmaCodebook]) -> None:
    codebook = codebook_class(8, 1)
    codebook.configure_learning(0.9, 0.1)
    codebook.start(torch.arange(8.0).unsqueeze(1), torch.full((8,), 10.0), 4)
    even = torch.tensor([1.0, 0] * 4)
    for index in range(20):  # four vectors a step, for even and odd codes in turn
        assert not step(codebook, even if index % 2 else 1 - even).any(), "a code in use has been replaced"


def test_fault_5_codes_in_use_stay():
    check_a_code_in_use_stays(EmaCodebook)
    with pytest.raises(AssertionError, match="a code in use has been replaced"):
        check_a_code_in_use_stays(ExpiresBeforeTheUpdate)


def test_fault_5_small_batches_keep_their_codes():
    check_small_batches_keep_their_codes(EmaCodebook)
    with pytest.raises(AssertionError, match="a code in use has been replaced"):
        check_small_batches_keep_their_codes(AbsoluteThreshold)


# --- Faults 3, 4 and 7: the cascade ---


def latent(step: int) -> Tensor:
    return torch.randn(4, 6, 50, generator=torch.Generator().manual_seed(step))


def trained(quantizer_class: type[ResidualVectorQuantizer]) -> ResidualVectorQuantizer:
    quantizer = learning(quantizer_class(3, 16, 6))
    for index in range(3):
        quantizer.quantize_for_training(latent(index), 3, index)
    assert quantizer.started
    return quantizer


class ResidualNotDetached(ResidualVectorQuantizer):
    """Fault 3: the straight-through sum is subtracted, which takes the gradient out of every later residual."""

    def quantize_for_training(self, latent: Tensor, num_codebooks: int, draw_seed: int) -> QuantizedLatent:
        result = super().quantize_for_training(latent, num_codebooks, draw_seed)
        residuals = result.residuals[:1]
        for entry in result.entries[:-1]:
            residuals.append(residuals[-1] - (residuals[-1] + (entry - residuals[-1]).detach()))
        return result._replace(residuals=residuals)


def check_commitment_reaches_every_codebook(quantizer_class: type[ResidualVectorQuantizer]) -> None:
    quantizer, x = trained(quantizer_class), latent(9).requires_grad_()
    result = quantizer.quantize_for_training(x, 3, 9)
    (gradient,) = torch.autograd.grad(commitment_loss(result.residuals, result.entries), x)
    errors = [residual - entry for residual, entry in zip(result.residuals, result.entries, strict=True)]
    expected = (2 * sum(errors) / (3 * errors[0].numel())).detach().view(4, 50, 6).transpose(1, 2)
    assert torch.allclose(gradient, expected, atol=1e-7), "the gradient is not the sum over the codebooks"


def test_fault_3_commitment_reaches_every_codebook():
    check_commitment_reaches_every_codebook(ResidualVectorQuantizer)
    with pytest.raises(AssertionError, match="the gradient is not the sum over the codebooks"):
        check_commitment_reaches_every_codebook(ResidualNotDetached)


class LearnsInEvaluation(ResidualVectorQuantizer):
    """Fault 4: the start (here: all of learning) does not ask for the mode."""

    def quantize_for_training(self, latent: Tensor, num_codebooks: int, draw_seed: int) -> QuantizedLatent:
        with mock.patch.object(self, "training", True):
            return super().quantize_for_training(latent, num_codebooks, draw_seed)


def check_evaluation_changes_nothing(quantizer: ResidualVectorQuantizer) -> None:
    quantizer.eval()
    before = {name: tensor.clone() for name, tensor in quantizer.state_dict().items()}
    result = quantizer.quantize_for_training(latent(9), 3, 9)
    quantizer.encode(latent(9), 3)
    state = quantizer.state_dict()
    assert all(torch.equal(state[name], before[name]) for name in before), "evaluation has changed codebooks"
    assert quantizer.gathered_vectors() == [], "evaluation has gathered vectors"
    if not quantizer.started:
        assert torch.equal(result.quantized, latent(9)) and result.codes.shape[1] == 0


def test_fault_4_evaluation_changes_nothing():
    check_evaluation_changes_nothing(learning(ResidualVectorQuantizer(3, 16, 6)))
    check_evaluation_changes_nothing(trained(ResidualVectorQuantizer))
    with pytest.raises(AssertionError, match="evaluation has changed codebooks"):
        check_evaluation_changes_nothing(learning(LearnsInEvaluation(3, 16, 6)))
    with pytest.raises(AssertionError, match="evaluation has changed codebooks"):
        check_evaluation_changes_nothing(trained(LearnsInEvaluation))
    with pytest.raises(AssertionError, match="evaluation has gathered vectors"):
        check_evaluation_changes_nothing(learning(LearnsInEvaluation(3, 64, 6)))


class StaysInAutocast(ResidualVectorQuantizer):
    """Fault 7: autocast is left on around the quantiser."""

    def quantize_for_training(self, latent: Tensor, num_codebooks: int, draw_seed: int) -> QuantizedLatent:
        with mock.patch("torch.autocast", return_value=nullcontext()):
            return super().quantize_for_training(latent, num_codebooks, draw_seed)

    def encode(self, latent: Tensor, num_codebooks: int) -> Tensor:
        with mock.patch("torch.autocast", return_value=nullcontext()):
            return super().encode(latent, num_codebooks)


def check_autocast_changes_nothing(
    quantizer_class: type[ResidualVectorQuantizer], dtype: torch.dtype
) -> None:
    plain, under_autocast = learning(quantizer_class(3, 16, 6)), learning(quantizer_class(3, 16, 6))
    for index in range(6):
        x = latent(index).to(dtype)
        expected = plain.quantize_for_training(x.float(), 3, index)
        with torch.autocast("cpu", dtype):
            result = under_autocast.quantize_for_training(x, 3, index)
            codes = under_autocast.encode(x, 3)
        assert result.quantized.dtype == torch.float32
        assert torch.equal(result.codes, expected.codes), "autocast has changed codes"
        assert torch.equal(result.quantized, expected.quantized)
        assert torch.equal(codes, plain.encode(x.float(), 3))
    state = under_autocast.state_dict()
    for name, tensor in plain.state_dict().items():
        assert state[name].dtype == torch.float32 and torch.equal(state[name], tensor)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_fault_7_autocast_changes_nothing(dtype):
    check_autocast_changes_nothing(ResidualVectorQuantizer, dtype)
    with pytest.raises(AssertionError, match="autocast has changed codes"):
        check_autocast_changes_nothing(StaysInAutocast, dtype)
