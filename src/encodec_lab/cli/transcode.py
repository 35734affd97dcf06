"""Carrying out jobs, each model loaded once."""

import torch
from torch import Tensor

from encodec_lab.bitstream import v0
from encodec_lab.bitstream.compress import compress, decompress, load_stream_model
from encodec_lab.cli.arguments import Arguments
from encodec_lab.cli.jobs import Action, Job
from encodec_lab.cli.outputs import write_bytes, write_decompressed
from encodec_lab.data.audio_file import read_whole
from encodec_lab.data.convert import convert_audio
from encodec_lab.models.config import ENCODEC_24KHZ, ENCODEC_48KHZ
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.registry import PUBLISHED_CONFIGS, load_model
from encodec_lab.types import EcdcError

DEFAULT_BANDWIDTH_KBPS = 6.0


class Transcoder:
    """Compresses and decompresses files as the arguments say."""

    def __init__(self, arguments: Arguments) -> None:
        self._arguments = arguments
        self._device = _pick_device(arguments.device)
        self._encoder: EncodecModel | None = None
        self._decoders: dict[str, EncodecModel] = {}

    def run(self, job: Job) -> None:
        """Do one job.

        Raises:
            ValueError: bad audio, a bad stream, a model that is not at hand or lacks what was asked for.
            OSError: a file that cannot be read or written.
        """
        if job.action is Action.COMPRESS:
            data = self._compress(job, self._encoding_model())
            job.target.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(job.target, data)
            return
        wav, sample_rate_hz = (
            self._decompress(job) if job.action is Action.DECOMPRESS else self._round_trip(job)
        )
        job.target.parent.mkdir(parents=True, exist_ok=True)
        write_decompressed(job.target, wav, sample_rate_hz, self._arguments.rescale)

    def _compress(self, job: Job, model: EncodecModel) -> bytes:
        recorded, recorded_hz = read_whole(job.source)
        wav = convert_audio(recorded, recorded_hz, model.sample_rate, model.channels)
        return compress(model, wav, use_lm=self._arguments.lm, format=self._arguments.format)

    def _round_trip(self, job: Job) -> tuple[Tensor, int]:
        model = self._encoding_model()
        return decompress(self._compress(job, model), model=model)

    def _decompress(self, job: Job) -> tuple[Tensor, int]:
        data = job.source.read_bytes()
        try:
            name = v0.read_header(data)[0].model_name
            if name not in self._decoders:
                given = self._arguments.model
                model = load_stream_model(name) if given is None else load_model(given)
                self._decoders[name] = model.to(self._device)
            return decompress(data, model=self._decoders[name])
        except EcdcError as error:
            raise EcdcError(f"{job.source}: {error}") from error

    def _encoding_model(self) -> EncodecModel:
        if self._encoder is None:
            name = self._arguments.model or (ENCODEC_48KHZ if self._arguments.hq else ENCODEC_24KHZ).name
            if name in PUBLISHED_CONFIGS:  # refuse a bandwidth before weights are fetched
                self._bandwidth(name, PUBLISHED_CONFIGS[name].bandwidths)
            model = load_model(name)
            model.set_target_bandwidth(self._bandwidth(name, tuple(model.target_bandwidths)))
            self._encoder = model.to(self._device)
        return self._encoder

    def _bandwidth(self, model_name: str, offered: tuple[float, ...]) -> float:
        asked = self._arguments.bandwidth_kbps
        if asked is None:
            return DEFAULT_BANDWIDTH_KBPS if DEFAULT_BANDWIDTH_KBPS in offered else max(offered)
        if asked not in offered:
            choices = ", ".join(f"{kbps:g}" for kbps in offered)
            raise ValueError(
                f"model {model_name} does not offer {asked:g} kbps; choose one of {choices} by -b"
            )
        return asked


def _pick_device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: no CUDA device is at hand; use --device cpu or auto")
    return torch.device(name)
