"""Data-parallel training without gradient hooks.

Two optimizers, gradients injected by a balancer and discriminator updates skipped at random do not go with
`DistributedDataParallel`: its hooks want every parameter at every backward. Here every rank holds a plain replica, all
start from the first rank's weights, and the training step itself averages the gradients (`codec_module.py`).
"""

import torch
from lightning.pytorch.strategies import DDPStrategy

from encodec_lab.modules.distributed import broadcast_from_first_


class ReplicaStrategy(DDPStrategy):
    """Lightning's process handling for data-parallel training, minus the `DistributedDataParallel` wrapper."""

    def configure_ddp(self) -> None:
        """Leave the module unwrapped, and give every rank the first one's parameters and buffers."""
        assert self.model is not None
        with torch.no_grad():
            broadcast_from_first_([*self.model.parameters(), *self.model.buffers()])
