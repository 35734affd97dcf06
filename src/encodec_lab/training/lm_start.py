"""What a language model of a codec's codes starts from."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from encodec_lab.models.language_model import LMModel


@torch.no_grad()
def start_from_codebooks_(lm: LMModel, codebooks: Sequence[Tensor], counts: Tensor) -> None:
    """Start embeddings and heads from the codec's codebooks and from how often each code occurs.

    Ours, not the paper's: codes whose entries are alike are then alike to the model from the start, and it predicts no
    worse than a fixed table. In the first minutes that saves more than anything else (recipes/LOG.md).

    With P an orthogonal map of the codec's latent space to the model's (or of its principal axes, where the model has
    fewer dimensions), the embedding of a code is its entry under P, so that the embedded frame is the quantised latent;
    the head of a code likewise, and its bias the logarithm of its share. With `within_frame` the codes before one in
    its frame count for nothing at first: to subtract their entries, as the residual quantiser does, learned worse.

    Args:
        lm: its weights are overwritten.
        codebooks: of each codebook, the entries [V, D].
        counts: [K, V], how often the training recordings hold each code.
    """
    entries = [codebook.detach().cpu().float() for codebook in codebooks]
    spreads = [codebook - codebook.mean(0) for codebook in entries]
    axes = torch.linalg.eigh(sum((spread.T @ spread for spread in spreads), start=torch.zeros(())))[1].flip(1)
    dim = lm.config.dim
    num_axes = min(dim, axes.shape[1])
    mixing = torch.linalg.qr(torch.randn(dim, dim))[0]  # all dimensions are of one scale then
    mapping = axes[:, :num_axes] @ mixing[:num_axes]  # [D, dim]
    # Of one dimension of an embedded frame; without any spread there is nothing to scale.
    scale = (
        torch.stack([codebook.var(0).sum() for codebook in entries]).sum().div(dim).sqrt().clamp(min=1e-12)
    )
    shares = (counts.double() + 1) / (counts + 1).sum(1, keepdim=True)
    for k, codebook in enumerate(entries):
        embedding, head = _weights(lm.emb[k]), _weights(lm.linears[k])
        embedding[1:] = codebook @ mapping / scale
        embedding[0] *= 0.1
        head.copy_(spreads[k] @ mapping / scale / dim**0.5)
        bias = lm.linears[k].bias
        assert isinstance(bias, Tensor)
        bias.copy_(shares[k].log())
        if lm.config.within_frame and k < lm.config.num_codebooks - 1:
            _weights(lm.frame_emb[k]).zero_()


def _weights(module: nn.Module) -> Tensor:
    assert isinstance(module, nn.Embedding | nn.Linear)
    return module.weight
