"""Quantisers that learn."""

from typing import Any, TypeVar

from encodec_lab.quantization.residual_vq import CodebookLearning, ResidualVectorQuantizer

Quantizer = TypeVar("Quantizer", bound=ResidualVectorQuantizer)
SETTINGS: dict[str, Any] = {
    "decay": 0.99,
    "dead_code_share": 0.1,
    "kmeans_iterations": 50,
    "kmeans_vectors_per_code": 10,
}


def learning(quantizer: Quantizer, **changes: Any) -> Quantizer:
    """The quantiser in training mode, with the settings of the paper's preset but for those given."""
    quantizer.configure_learning(CodebookLearning(**(SETTINGS | changes)))
    quantizer.train()
    return quantizer
