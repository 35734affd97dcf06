"""What the YAML files lean on: the published architectures as Hydra nodes, resolvers, and checks before training."""

import importlib.resources
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from encodec_lab.models.config import ENCODEC_24KHZ, ENCODEC_48KHZ, CodecConfig
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.training.slurm_job import run_name


def build_codec(**values: Any) -> EncodecModel:
    """The codec of the `model` node: `CodecConfig`'s fields.

    Raises:
        ValueError: a field is unknown, missing or impossible.
    """
    return EncodecModel(CodecConfig.from_dict(values))


def register_configs() -> None:
    """Make `published/encodec_24khz` and `_48khz` known to Hydra's `model` group, and the resolvers to OmegaConf."""
    store = ConfigStore.instance()
    for published in (ENCODEC_24KHZ, ENCODEC_48KHZ):
        node = {"_target_": f"{__name__}.build_codec", **published.to_dict()}
        store.store(group="model/published", name=published.name, node=node, package="model")
    register_resolvers()


def register_resolvers() -> None:
    """Make `${asset:PATH}` and `${run_name:OTHERWISE}` known to OmegaConf."""
    OmegaConf.register_new_resolver("asset", asset_path, replace=True)
    OmegaConf.register_new_resolver("run_name", run_name, replace=True)


def asset_path(relative: str) -> str:
    """The absolute path of a file or folder that the package carries."""
    return str(Path(str(importlib.resources.files("encodec_lab"))) / "assets" / relative)


def resolved(config: DictConfig) -> dict[str, Any]:
    """The configuration as plain values with every interpolation resolved.

    Raises:
        ValueError: a mandatory value is missing.
    """
    if missing := sorted(OmegaConf.missing_keys(config)):
        raise ValueError(
            f"settings {', '.join(missing)} have no value; give {missing[0]}=… on the command line"
        )
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def check_arguments(group: str, function: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Check that `function` takes these arguments, which come from a config group.

    Raises:
        ValueError: one is unknown or missing.
    """
    try:
        inspect.signature(function).bind(**arguments)
    except TypeError as error:
        raise ValueError(f"{group}: {error}") from error
