"""Data-parallel training of plain replicas.

Two optimizers, gradients injected by a balancer and discriminator updates skipped at random do not go with
`DistributedDataParallel`: its hooks want every parameter at every backward. Here every rank holds a plain replica, all
start from the first rank's weights, and the training step itself says which backward pass's gradients are averaged
(`gradient_reduction.py`).
"""

import sys

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.pytorch.strategies import DDPStrategy

from encodec_lab.modules.distributed import broadcast_from_first_


class ReplicaStrategy(DDPStrategy):
    """Lightning's process handling for data-parallel training, minus the `DistributedDataParallel` wrapper."""

    def configure_ddp(self) -> None:
        """Leave the module unwrapped, and give every rank the first one's parameters and buffers."""
        assert self.model is not None
        with torch.no_grad():
            broadcast_from_first_([*self.model.parameters(), *self.model.buffers()])


def let_other_processes_join() -> None:
    """Prepare `sys.argv` for a sweep: Lightning starts the other processes with it, and with settings at its end.

    They go through the same sweep side by side with this one. So it must be of the same folder, and the flag must come
    first, since Hydra takes no settings behind one.
    """
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return
    flags = [argument for argument in sys.argv[1:] if argument in ("-m", "--multirun")]
    settings = [argument for argument in sys.argv[1:] if argument not in flags]
    folder = f'hydra.sweep.dir="{HydraConfig.get().sweep.dir}"'
    sys.argv[1:] = [*flags[:1], *(setting for setting in settings if setting != folder), folder]
