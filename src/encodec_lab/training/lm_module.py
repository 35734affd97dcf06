"""The training step of the language model that entropy codes a frozen codec's codes."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encodec_lab.data.code_crops import NO_CODE
from encodec_lab.models.config import CodecConfig
from encodec_lab.models.language_model import LMModel
from encodec_lab.modules.distributed import all_reduce_sum_, rank, world_size
from encodec_lab.training.draws import draw_lm_step
from encodec_lab.training.gradient_reduction import GradientReduction
from encodec_lab.training.lm_figures import BandwidthFigures, FigureSums, code_bits, named_figures
from encodec_lab.training.safety_net import SafetyNet
from encodec_lab.training.step_module import OptimizerFactory, Schedule, StepTraining
from encodec_lab.training.weight_average import averaging_copy, follow_


class LMTraining(StepTraining):
    """Trains a language model on a codec's codes (EnCodec, arXiv 2210.13438, sections 3.3 and 4.4).

    A batch is codes [B, K, S] at the codec's highest bandwidth; of lower ones, their codes are the first of these. The
    first frame of every sequence follows nothing, whatever came before it in the recording, as in a stream's records.

    Args:
        lm: with its first weights.
        codec: whose codes they are.
        train_counts: [K, V], how often the training recordings hold each code; for the table to compare with.
        optimizer: makes the optimizer from parameters.
        schedule: see `StepTraining`, as for `seed` and `run_config`. `run_config["lm"]` must build the language model.
        num_offsets: positions at which a sequence may start.
        max_gradient_norm: larger gradients are scaled down to it.
        dropout: share of the values dropped, after the input and every block; the paper has none.
        average_decay: of the moving average of the weights.
        max_skipped_steps: steps whose gradients are not finite are skipped; so many in a row end the run.

    Raises:
        ValueError: a value is out of range.
    """

    what = "language model"
    networks = ("lm", "frozen_codec")

    def __init__(
        self,
        *,
        lm: LMModel,
        codec: CodecConfig,
        train_counts: Tensor,
        optimizer: OptimizerFactory,
        schedule: Schedule,
        num_offsets: int,
        max_gradient_norm: float,
        dropout: float,
        average_decay: float,
        max_skipped_steps: int,
        seed: int,
        run_config: Mapping[str, Any],
    ) -> None:
        safety_net = SafetyNet(["language model"], max_skipped_steps, winning=None)
        super().__init__(schedule=schedule, seed=seed, run_config=run_config, safety_net=safety_net)
        if not max_gradient_norm > 0:
            raise ValueError(f"max_gradient_norm must be positive, got {max_gradient_norm}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {dropout}")
        self.average_lm = averaging_copy(lm, average_decay)
        self.lm = lm
        self.codec = codec
        self.sums = FigureSums(codec, train_counts)
        self.figures: list[BandwidthFigures] = []
        self.figures_step = -1
        self.optimizer = optimizer
        self.num_offsets = num_offsets
        self.max_gradient_norm = max_gradient_norm
        self.dropout = dropout
        self.average_decay = average_decay
        if dropout:
            add_dropout_(lm, dropout)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The one optimizer."""
        return self.optimizer(self.lm.parameters())

    def training_step(self, batch: Tensor, batch_idx: int) -> None:
        """One step on codes [B, K, S], of which those of the drawn bandwidth are used."""
        step = self.global_step
        draws = draw_lm_step(self.seed, step, self.codec.bandwidths, self.num_offsets)
        self._set_learning_rates(self.schedule(step))
        if self.dropout:
            torch.manual_seed((draws.dropout_seed + rank()) % 2**63)
        codes = batch[:, : self.codec.num_codebooks_for(draws.bandwidth_kbps)].long()
        bits = code_bits(self.lm, codes, draws.offset).sum()
        # The mean over the codes of all ranks, however much of them is filled up.
        num_codes = all_reduce_sum_((codes != NO_CODE).sum())
        loss = bits * world_size() / num_codes
        (optimizer,) = self._optimizers()
        optimizer.zero_grad()
        # Codebooks that this bandwidth has not are left alone.
        forward_order = self.lm.parameters_for(codes.shape[1])
        places = {id(parameter) for parameter in forward_order}
        used = [parameter for parameter in self.lm.parameters() if id(parameter) in places]
        with GradientReduction(used, forward_order=forward_order) as reduction:
            torch.autograd.backward(loss)
        norm = reduction.finish()
        torch.nn.utils.clip_grads_with_norm_(used, self.max_gradient_norm, norm)
        self.safety_net.step_or_skip("language model", optimizer, norm)
        follow_(self.average_lm, self.lm, self.average_decay, step)
        skipped = self.safety_net.skipped("language model")
        self._log_scalars("train", {"bits_per_code": loss, "gradient_norm": norm, "skipped_steps": skipped})
        rate = optimizer.param_groups[0]["lr"]
        self._log_scalars("train", {"learning_rate": rate, "bandwidth_kbps": draws.bandwidth_kbps})
        self.safety_net.check(step)

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        """Measure records [B, K, S] at every bandwidth, by the averaged weights."""
        self.sums.add(self.average_lm, batch.long())

    def on_validation_epoch_end(self) -> None:
        """Log the figures by bandwidth."""
        self.figures = self.sums.pop_figures(self.device)
        self.figures_step = self.global_step
        self.log_dict(dict(named_figures(self.figures)), sync_dist=True)


def add_dropout_(lm: LMModel, probability: float) -> None:
    """Drop values of the input and of what each block adds, in training mode; the model itself knows no dropout."""

    def drop(module: nn.Module, inputs: Any, output: Any) -> Any:
        if isinstance(output, tuple):  # attention gives its weights too
            return (F.dropout(output[0], probability, module.training), *output[1:])
        return F.dropout(output, probability, module.training)

    lm.transformer.norm_in.register_forward_hook(drop)
    for layer in lm.transformer.layers:
        layer.get_submodule("self_attn").register_forward_hook(drop)
        layer.get_submodule("linear2").register_forward_hook(drop)
