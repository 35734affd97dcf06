"""Which model compresses, and which one decompresses a stream."""

import threading

import torch

from encodec_lab.bitstream.stream_reader import load_stream_model
from encodec_lab.cli.arguments import Arguments
from encodec_lab.cli.messages import say
from encodec_lab.models.config import ENCODEC_24KHZ, ENCODEC_48KHZ
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.pretrained import WeightsError
from encodec_lab.models.registry import (
    BUNDLED_24KHZ,
    BUNDLED_48KHZ,
    PUBLISHED_CONFIGS,
    list_model_names,
    load_model,
)

DEFAULT_BANDWIDTH_KBPS = 6.0


class ModelChoice:
    """Loads models as the arguments say, each once, whichever threads ask for them."""

    def __init__(self, arguments: Arguments) -> None:
        self._arguments = arguments
        self._device = _pick_device(arguments.device)
        self._given: EncodecModel | None = None
        self._encoder: EncodecModel | None = None
        self._decoders: dict[str, EncodecModel] = {}
        self._loading = threading.RLock()

    def encoder(self) -> EncodecModel:
        """The model to compress with, at the bandwidth asked for: `--model`, or Meta's, else the bundled one.

        Raises:
            ValueError: there is no such model, it does not offer the bandwidth, or its weights cannot be had.
        """
        with self._loading:
            if self._encoder is None:
                model = self._given_model() if self._arguments.model else self._default()
                model.set_target_bandwidth(self._bandwidth(model.name, tuple(model.target_bandwidths)))
                self._encoder = model
            return self._encoder

    def decoder(self, name: str, identity: str) -> EncodecModel:
        """The model of a stream that names it so: `--model` if that was given, else by its name; see `StreamReader`."""
        with self._loading:
            if self._arguments.model:
                return self._given_model()
            if name not in self._decoders:
                self._decoders[name] = load_stream_model(name, identity).to(self._device)
            return self._decoders[name]

    def _given_model(self) -> EncodecModel:
        if self._given is None:
            assert self._arguments.model is not None
            if self._arguments.model in PUBLISHED_CONFIGS:  # refuse a bandwidth before weights are fetched
                self._bandwidth(self._arguments.model, PUBLISHED_CONFIGS[self._arguments.model].bandwidths)
            self._given = load_model(self._arguments.model).to(self._device)
        return self._given

    def _default(self) -> EncodecModel:
        published, bundled = (
            (ENCODEC_48KHZ.name, BUNDLED_48KHZ) if self._arguments.hq else (ENCODEC_24KHZ.name, BUNDLED_24KHZ)
        )
        self._bandwidth(published, PUBLISHED_CONFIGS[published].bandwidths)
        try:
            model = load_model(published)
        except WeightsError as error:
            if bundled not in list_model_names():
                raise
            say(f"compressing with the bundled model {bundled}, because {error}")
            model = load_model(bundled)
        return model.to(self._device)

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
