"""What the training steps of codec and language model share: optimizers driven by hand, checkpoints."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import lightning
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from encodec_lab.training.safety_net import SafetyNet

OptimizerFactory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
Schedule = Callable[[int], float]


def ends_validation_interval(trainer: lightning.Trainer) -> bool:
    """Whether a validation follows the step that has just been taken, or would if there were data for it."""
    interval = trainer.val_check_batch
    return interval is not None and interval > 0 and trainer.global_step % interval == 0


class StepTraining(lightning.LightningModule):
    """A training whose every draw and learning rate is a function of the seed and `global_step`.

    Args:
        schedule: factor on the learning rates by step.
        seed: of the run's draws.
        run_config: plain values that rebuild the run; kept in every checkpoint.
        safety_net: takes the optimizers' steps.

    Attributes:
        what: what is trained, for messages.
        networks: the parts of `run_config` in which a run and the checkpoint that it continues must agree.
    """

    what: ClassVar[str]
    networks: ClassVar[tuple[str, ...]]

    def __init__(
        self, *, schedule: Schedule, seed: int, run_config: Mapping[str, Any], safety_net: SafetyNet
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.schedule = schedule
        self.seed = seed
        self.run_config = dict(run_config)
        self.safety_net = safety_net

    def on_train_start(self) -> None:
        """Take the optimizers' settings from the configuration: a checkpoint has just brought those of its run."""
        for optimizer in self._optimizers():
            for group in optimizer.param_groups:
                group.update(optimizer.optimizer.defaults)
            if optimizer.optimizer.defaults.get("fused"):  # its counts of steps lie with the weights
                for parameter, state in optimizer.optimizer.state.items():
                    if "step" in state:
                        state["step"] = state["step"].to(parameter.device)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the run's configuration, and what the safety net has counted."""
        checkpoint["run_config"] = self.run_config
        checkpoint["safety_net"] = self.safety_net.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take back what the safety net had counted; raise what `check_continues` does."""
        self.check_continues(checkpoint)
        if "safety_net" in checkpoint:
            self.safety_net.restore(checkpoint["safety_net"])

    def check_continues(self, checkpoint: object) -> None:
        """Check that a checkpoint holds these networks.

        Raises:
            ValueError: it is of other networks, or of another program.
        """
        theirs_all = checkpoint.get("run_config") if isinstance(checkpoint, Mapping) else None
        if not isinstance(theirs_all, Mapping) or not all(
            isinstance(theirs_all.get(part), Mapping) for part in self.networks
        ):
            raise ValueError(f"the checkpoint was not written by encodec-lab's {self.what} training")
        for part in self.networks:
            theirs, mine = theirs_all[part], self.run_config[part]
            if differing := sorted(
                key for key in theirs.keys() | mine.keys() if theirs.get(key) != mine.get(key)
            ):
                raise ValueError(
                    f"the checkpoint is of another {part}; it differs in "
                    + ", ".join(f"{key} ({theirs.get(key)} there, {mine.get(key)} here)" for key in differing)
                )

    def _optimizers(self) -> list[LightningOptimizer]:
        optimizers = self.optimizers()
        return optimizers if isinstance(optimizers, list) else [optimizers]

    def _set_learning_rates(self, factor: float) -> None:
        for optimizer in self._optimizers():
            for group in optimizer.param_groups:
                group["lr"] = factor * optimizer.optimizer.defaults["lr"]

    def _log_scalars(self, prefix: str, values: Mapping[str, Tensor | float]) -> None:
        self.log_dict({f"{prefix}/{name}": torch.as_tensor(value).detach() for name, value in values.items()})
