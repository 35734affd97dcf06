"""The identity of weights changes with whatever changes them, and with nothing else."""

import torch

from encodec_lab.models.identity import tensors_identity

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(7), "empty": torch.zeros(0, 2)}


def test_golden() -> None:
    assert tensors_identity(TENSORS) == "70456c2742fd6ff2a2687c42e31bc554899c76f729e0a8ebc1b9193e93d16375"


def test_layout_and_order_make_no_difference() -> None:
    strided = torch.arange(6.0).view(2, 3).t().contiguous().t()
    assert not strided.is_contiguous()
    other = {"empty": torch.zeros(0, 2), "b": TENSORS["b"], "a": torch.nn.Parameter(strided)}
    assert tensors_identity(other) == tensors_identity(TENSORS)


def test_every_change_makes_a_difference() -> None:
    changed = [
        TENSORS | {"a": TENSORS["a"] + 1e-6},
        TENSORS | {"a": TENSORS["a"].view(3, 2)},
        TENSORS | {"a": TENSORS["a"].to(torch.int32)},
        TENSORS | {"empty": torch.zeros(2, 0)},
        TENSORS | {"c": torch.zeros(0)},
        {"a": TENSORS["a"], "b": TENSORS["b"]},
        {"aa" if name == "a" else name: tensor for name, tensor in TENSORS.items()},
    ]
    identities = {tensors_identity(tensors) for tensors in [TENSORS, *changed]}
    assert len(identities) == len(changed) + 1
