"""Frequency tables of an integer language model over real codes, to compare computers by; also a program.

`python integer_tables.py FILE THREADS` prints the hash of all tables of what `save_case` wrote there, and the stream of
its codes, both in hex; if the file has a stream, that is decoded and must give the codes.
"""

import dataclasses
import hashlib
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small_codec import SMALL_24KHZ, random_codec
from small_lm import random_lm, small_lm_config

import encodec_lab
from encodec_lab.bitstream.code_payload import CodedRecord
from encodec_lab.bitstream.lm_coder import IntegerLMCoder
from encodec_lab.data.audio_file import read_whole
from encodec_lab.models.integer_conversion import to_integer_lm
from encodec_lab.models.integer_lm import IntegerLM, IntegerLMConfig
from encodec_lab.models.integer_lm_stream import IntegerLMSteps, IntegerLMStream
from encodec_lab.models.language_model import ENCODEC_LM_24KHZ, LMConfig
from encodec_lab.modules.integer_arithmetic import exact_products

NUM_CODEBOOKS = 8
MAX_POSITIONS = 1000


def lm_config(size: str) -> LMConfig:
    """ "small", "within" (small, predicting within a frame), or "full", the published architecture."""
    if size == "full":
        return ENCODEC_LM_24KHZ
    return dataclasses.replace(small_lm_config(SMALL_24KHZ), within_frame=size == "within")


def real_codes(size: str, seconds: float) -> torch.Tensor:
    """Codes [8, L] of speech and music that the package carries, by a codec with random weights."""
    codec = random_codec(dataclasses.replace(SMALL_24KHZ, codebook_size=lm_config(size).codebook_size))
    folder = Path(encodec_lab.__file__).parent / "assets/audio"
    wavs = []
    for path in sorted(folder.glob("train/*/*")):
        wav, sample_rate_hz = read_whole(path)
        if sample_rate_hz == codec.sample_rate and sum(map(len, wavs)) < seconds * sample_rate_hz:
            wavs.append(wav.mean(dim=0))
    wav = torch.cat(wavs)[: int(seconds * codec.sample_rate)]
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        residual = codec.encoder(wav[None, None])[0].t()  # [L, D]
        for codebook in codec.quantizer.codebooks:  # of a few frames each, so that all codes occur
            some = torch.randint(len(residual), (len(codebook.embed),), generator=draws)
            codebook.embed.copy_(residual[some])
            residual = residual - codebook.embed[torch.cdist(residual, codebook.embed).argmin(dim=1)]
        (frame,) = codec.encode(wav[None, None])
    return frame.codes[0, :NUM_CODEBOOKS]


def integer_lm(size: str, codes: torch.Tensor) -> IntegerLM:
    """With random weights."""
    return to_integer_lm(random_lm(lm_config(size)), codes[None, :, :100], max_positions=MAX_POSITIONS)


def tables_at_once(lm: IntegerLM, codes: torch.Tensor) -> torch.Tensor:
    """Running sums of frequencies [B, L, K, V] of codes [B, K, L], in one pass."""
    lm.prepare()
    with exact_products(codes.device):
        latent = torch.cat(list(lm.latents(codes)), dim=1)
        parts = []
        for group in lm.groups(codes.shape[1]):
            parts.append(lm.cumulative(latent, group))
            latent = lm.condition(latent, group, codes.transpose(1, 2)[..., slice(*group)])
        return torch.cat(parts, dim=-2)


def tables_by_steps(lm: IntegerLM, codes: torch.Tensor) -> torch.Tensor:
    """The same frame by frame."""
    given = codes.cpu().numpy()
    indices = np.zeros(given.shape[:2], dtype=np.int64)
    tables = []
    with exact_products(torch.device("cpu")):
        stream = IntegerLMStream(IntegerLMSteps(lm), len(codes))
        for frame in range(given.shape[2]):
            stream.advance(indices)
            parts = []
            for group in lm.groups(given.shape[1]):
                parts.append(torch.from_numpy(stream.cumulative(group)))
                stream.condition(group, given[:, slice(*group), frame])
            tables.append(torch.cat(parts, dim=-2))
            indices = 1 + given[..., frame]
    return torch.stack(tables, dim=1).to(codes.device)


def tables_hash(tables: torch.Tensor) -> str:
    """SHA-256 of little-endian 64-bit integers."""
    return hashlib.sha256(tables.cpu().numpy().astype("<i8").tobytes()).hexdigest()


def save_case(path: Path, size: str, lm: IntegerLM, codes: torch.Tensor, stream: bytes = b"") -> None:
    """Write what every computer must start from: codec and conversion are floating point, and differ by computer."""
    given = {"codes": codes.contiguous(), "stream": torch.tensor(list(stream), dtype=torch.uint8)}
    save_file({**lm.state_dict(), **given}, path, metadata={"size": size})


def describe_case(path: Path) -> str:
    """The hash of the tables, and the stream."""
    with safe_open(path, "pt") as file:
        size = file.metadata()["size"]
    tensors = load_file(path)
    codes, stream = tensors.pop("codes"), bytes(tensors.pop("stream").tolist())
    lm = IntegerLM(IntegerLMConfig(lm_config(size), MAX_POSITIONS))
    lm.load_state_dict(tensors)
    digest = hashlib.sha256()
    # In parts, each with a language model that starts anew, to bound the memory.
    for part in codes.split(375, dim=1):
        digest.update(tables_hash(tables_at_once(lm, part[None])).encode())
    coder = IntegerLMCoder(lm)
    if stream:
        assert np.array_equal(decode(coder, stream, *codes.shape), codes.numpy())
    return f"{digest.hexdigest()} {encode(coder, codes.numpy()).hex()}"


def encode(coder: IntegerLMCoder, codes: np.ndarray) -> bytes:
    """One record alone."""
    return coder.encode([codes])[0]


def decode(coder: IntegerLMCoder, data: bytes, num_codebooks: int, num_frames: int) -> np.ndarray:
    """One record alone."""
    return coder.decode([CodedRecord(data, num_codebooks, num_frames)])[0]


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[2]))
    print(describe_case(Path(sys.argv[1])))
