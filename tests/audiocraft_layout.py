"""Compression checkpoints in the layout of audiocraft, made from codecs of ours."""

import dataclasses
from pathlib import Path

import torch
from small_codec import SMALL_24KHZ

from encodec_lab.models.encodec import EncodecModel

# As `OmegaConf.to_yaml` writes a run's options; names and structure as in audiocraft's config/model/encodec.
THEIR_OPTIONS = """
sample_rate: 24000
channels: 1
device: cuda
dora: {dir: '/checkpoint/${oc.env:USER}'}
compression_model: encodec
encodec:
  autoencoder: seanet
  quantizer: rvq
  sample_rate: ${sample_rate}
  channels: ${channels}
  causal: true
  renormalize: false
seanet:
  dimension: 8
  channels: ${channels}
  causal: ${encodec.causal}
  n_filters: 2
  n_residual_layers: 1
  ratios: [8, 5, 4, 2]
  activation: ELU
  activation_params: {alpha: 1.0}
  norm: weight_norm
  norm_params: {}
  kernel_size: 7
  residual_kernel_size: 3
  last_kernel_size: 7
  dilation_base: 2
  pad_mode: reflect
  true_skip: false
  compress: 2
  lstm: 2
  disable_norm_outer_blocks: 0
  decoder: {trim_right_ratio: 1.0, final_activation: null, final_activation_params: null}
  encoder: {}
rvq: {n_q: 4, q_dropout: true, bins: 64, decay: 0.99, kmeans_init: true}
"""
# What the options say, in ours.
OURS = dataclasses.replace(SMALL_24KHZ, name="theirs", bandwidths=(0.45, 0.9, 1.8))


def save_in_their_layout(
    path: Path, codec: EncodecModel, options: object = THEIR_OPTIONS, nested: bool = False
) -> Path:
    """As `export_encodec` writes it; `nested` as a solver does."""
    state: object = codec.state_dict()
    if nested:
        state = {"model": state}
    torch.save({"best_state": state, "xp.cfg": options, "version": "1.4.0a2", "exported": True}, path)
    return path
