"""Codecs as ONNX graphs, for programs without PyTorch; checked with onnxruntime against the codec that they came from.

    encoder.onnx   wav [B, C, T] float32            -> codes [B, K, L] int64 (and scale [B, 1] float32)
    decoder.onnx   codes [B, K', L] int64 (, scale) -> wav [B, C, L * hop_length] float32
    README.md      this, with the codec's figures

Any B, any T, any K' of 1 to K: the first K' rows of the codes are the codes at a lower bandwidth. L is T / hop_length,
rounded up. `scale` is there only if the codec normalises. A codec with segments is exported for one segment: the caller
cuts the recording into `segment_length` samples every `segment_stride`, and joins by triangular overlap-add
(`models/segments.py`). The graphs' metadata hold `encodec_lab` with the figures that a caller needs, as JSON.

The graphs come from torch's older exporter (`dynamo=False`): the newer one fixes the length at the LSTM (torch 2.11).
"""

import importlib
import json
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from encodec_lab.compat.onnx_graphs import DecoderGraph, EncoderGraph, traceable, whole_codec
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.quantization.codebook import EmaCodebook

ENCODER_FILE = "encoder.onnx"
DECODER_FILE = "decoder.onnx"
METADATA_KEY = "encodec_lab"
_OPSET = 17
_LARGEST_WAV_ERROR = 1e-4
_NEAREST_TIE = 1e-4


def write_onnx(folder: str | Path, model: EncodecModel, bandwidth: float | None = None) -> None:
    """Write encoder and decoder into an existing folder.

    Args:
        folder: where to.
        model: the codec; moved nowhere and changed in nothing.
        bandwidth: in kbps, the highest that the encoder is to give codes for; None for the codec's highest.

    Raises:
        ValueError: a package is missing (named with the extra that brings it), or the codec lacks the bandwidth.
    """
    onnx = _package("onnx")
    folder = Path(folder)
    codec = traceable(model)
    codec.set_target_bandwidth(codec.target_bandwidths[-1] if bandwidth is None else bandwidth)
    scale = {"scale": {0: "batch"}} if codec.normalize else {}
    wav = torch.zeros(1, codec.channels, 3 * codec.hop_length + 1)
    wav[..., ::7] = 0.1
    with torch.no_grad():
        frame = codec.encode(wav)[0]
    latents = {0: "batch", 1: "codebooks", 2: "frames"}
    samples = {0: "batch", 2: "samples"}
    inputs = (frame.codes,) if frame.scale is None else (frame.codes, frame.scale)
    _trace(folder / ENCODER_FILE, EncoderGraph(codec), (wav,), {"wav": samples}, {"codes": latents} | scale)
    _trace(folder / DECODER_FILE, DecoderGraph(codec), inputs, {"codes": latents} | scale, {"wav": samples})
    for file_name in (ENCODER_FILE, DECODER_FILE):
        graph = onnx.load(folder / file_name)
        onnx.helper.set_model_props(graph, {METADATA_KEY: json.dumps(onnx_metadata(codec, model))})
        onnx.checker.check_model(graph)
        onnx.save(graph, folder / file_name)
    (folder / "README.md").write_text(_model_card(onnx_metadata(codec, model)), encoding="utf-8")


def onnx_metadata(codec: EncodecModel, segmented: EncodecModel) -> dict[str, Any]:
    """What a caller of the graphs needs to know; `codec` has the bandwidth in use, `segmented` the segments."""
    offered = [kbps for kbps in codec.target_bandwidths if kbps <= codec.bandwidth]
    return {
        "name": codec.name,
        "sample_rate_hz": codec.sample_rate,
        "channels": codec.channels,
        "hop_length": codec.hop_length,
        "bandwidth_kbps": codec.bandwidth,
        "codebooks_by_bandwidth_kbps": {f"{kbps:g}": codec.num_codebooks_for(kbps) for kbps in offered},
        "codebook_size": codec.config.codebook_size,
        "normalize": codec.normalize,
        "segment_length": segmented.segment_length,
        "segment_stride": segmented.segment_stride,
    }


@torch.no_grad()
def check_onnx(folder: str | Path, model: EncodecModel) -> None:
    """Run what `write_onnx` wrote on noise of several lengths, and compare with the codec.

    Codes must be equal, but where the two nearest entries are equally far within 1e-4 of their distance; waveforms from
    equal codes within 1e-4 of their peak (or of 1, if that is less), at several numbers of codebooks.

    Raises:
        ValueError: they differ, or onnxruntime is missing.
    """
    encoder, decoder = open_onnx(folder)
    codec = whole_codec(model)
    codec.set_target_bandwidth(_metadata(encoder)["bandwidth_kbps"])
    longest = codec.sample_rate if model.segment_length is None else model.segment_length
    hop = codec.hop_length
    generator = torch.Generator().manual_seed(0)
    for batch, length in (
        (1, 2),
        (1, hop - 1),
        (2, 5 * hop),
        (1, 9 * hop + 1),
        (1, max(2, longest - hop // 2)),
    ):
        wav = 0.1 * torch.randn(batch, codec.channels, length, generator=generator)
        codes, scale = codec.encode(wav)[0]
        theirs, *their_scale = encoder.run(None, {"wav": wav.numpy()})
        scale_error = 0.0 if scale is None else _distance(scale, their_scale[0])
        normalized = wav if scale is None else wav / scale.unsqueeze(2)
        if not _same_codes(codec, normalized, codes, torch.from_numpy(theirs)) or scale_error > 1e-6:
            raise ValueError(f"the encoder of {model.name} differs as ONNX at {length} samples")
        for num_codebooks in {1, codes.shape[1] // 2 + 1, codes.shape[1]}:
            part = codes[:, :num_codebooks].contiguous()
            inputs = {"codes": part.numpy()} | ({} if scale is None else {"scale": scale.numpy()})
            decoded = codec.decode([(part, scale)])
            largest_error = _LARGEST_WAV_ERROR * float(decoded.abs().max().clamp(max=1.0))
            if _distance(decoded, decoder.run(None, inputs)[0]) > largest_error:
                raise ValueError(f"the decoder of {model.name} differs as ONNX at {codes.shape[2]} frames")


def open_onnx(folder: str | Path) -> tuple[Any, Any]:
    """The `onnxruntime.InferenceSession`s of encoder and decoder, on the CPU, without telemetry.

    Raises:
        ValueError: onnxruntime is missing; the message names the extra that brings it.
    """
    runtime = _package("onnxruntime")
    runtime.disable_telemetry_events()
    encoder, decoder = (
        runtime.InferenceSession(str(Path(folder) / name), providers=["CPUExecutionProvider"])
        for name in (ENCODER_FILE, DECODER_FILE)
    )
    return encoder, decoder


def _trace(
    path: Path,
    module: nn.Module,
    example: tuple[Tensor, ...],
    inputs: dict[str, dict[int, str]],
    outputs: dict[str, dict[int, str]],
) -> None:
    """Write the graph of `module`; `inputs` and `outputs` name the axes of any length."""
    with warnings.catch_warnings():
        # That this exporter is the older one; that Python values were traced (which the check at other lengths covers);
        # that LSTMs of one batch size may not run with another (torch's do: their initial state is in the graph).
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            example,
            path,
            dynamo=False,
            opset_version=_OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes=inputs | outputs,
        )


def _same_codes(codec: EncodecModel, normalized: Tensor, ours: Tensor, theirs: Tensor) -> bool:
    """Whether the codes [B, K, L] agree, but in frames whose first difference is a near tie."""
    if ours.shape != theirs.shape:
        return False
    residual = codec.encoder(normalized).transpose(1, 2)  # [B, L, D]
    undecided = torch.ones_like(ours[:, 0], dtype=torch.bool)  # [B, L]
    for k, codebook in enumerate(codec.quantizer.codebooks[: ours.shape[1]]):
        differs = undecided & (ours[:, k] != theirs[:, k])
        mine, other = (_squared_distance(codebook, residual, codes[:, k]) for codes in (ours, theirs))
        if bool((differs & ((other - mine).abs() > _NEAREST_TIE * mine)).any()):
            return False
        undecided &= ~differs
        residual = residual - codebook.decode(ours[:, k])
    return True


def _squared_distance(codebook: EmaCodebook, vectors: Tensor, codes: Tensor) -> Tensor:
    return (vectors - codebook.decode(codes)).square().sum(-1)


def _distance(ours: Tensor, theirs: Any) -> float:
    """The largest difference; infinite for another shape, or what is not a number."""
    if ours.shape != theirs.shape:
        return float("inf")
    return float((ours - torch.from_numpy(theirs)).abs().nan_to_num(nan=float("inf")).max())


def _metadata(session: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = json.loads(session.get_modelmeta().custom_metadata_map[METADATA_KEY])
    return metadata


def _package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(f"ONNX needs the package {name}: pip install 'encodec-lab[export]'") from error


def _model_card(metadata: dict[str, Any]) -> str:
    return (
        f"# {metadata['name']}\n\n```text\n{__doc__}```\n\n```json\n{json.dumps(metadata, indent=2)}\n```\n"
    )
