"""The configuration of a codec: values that follow from it, JSON, and refusals."""

import dataclasses
import json
import math

import pytest

from encodec_lab.models.config import ENCODEC_24KHZ, ENCODEC_48KHZ, CodecConfig


def changed(**values: object) -> dict[str, object]:
    return {**ENCODEC_24KHZ.to_dict(), **values}


def test_published_figures():
    assert (ENCODEC_24KHZ.hop_length, ENCODEC_24KHZ.frame_rate_hz, ENCODEC_24KHZ.bits_per_codebook) == (
        320,
        75,
        10,
    )
    assert (ENCODEC_48KHZ.hop_length, ENCODEC_48KHZ.frame_rate_hz, ENCODEC_48KHZ.bits_per_codebook) == (
        320,
        150,
        10,
    )
    assert [ENCODEC_24KHZ.num_codebooks_for(kbps) for kbps in ENCODEC_24KHZ.bandwidths] == [2, 4, 8, 16, 32]
    assert [ENCODEC_48KHZ.num_codebooks_for(kbps) for kbps in ENCODEC_48KHZ.bandwidths] == [2, 4, 8, 16]
    assert ENCODEC_48KHZ.codebook_choices == (2, 4, 8, 16)
    assert [ENCODEC_48KHZ.num_frames(size) for size in (1, 320, 321, 48_000)] == [1, 1, 2, 150]


def test_number_of_codebooks_is_exact():
    """Whole numbers of codebooks, although 2.03 * 1000 is less than 2030 in floating point."""
    for frame_rate_hz in range(1, 400):
        config = dataclasses.replace(
            ENCODEC_24KHZ, sample_rate_hz=frame_rate_hz * 320, bandwidths=(frame_rate_hz * 32 / 100,)
        )
        for num_codebooks in range(1, 33):
            assert config.num_codebooks_for(frame_rate_hz * 10 * num_codebooks / 1000) == num_codebooks


def test_frame_rate_is_rounded_up():
    assert dataclasses.replace(ENCODEC_24KHZ, sample_rate_hz=24_001).frame_rate_hz == 76


@pytest.mark.parametrize("config", [ENCODEC_24KHZ, ENCODEC_48KHZ])
def test_survives_json(config):
    assert CodecConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(CodecConfig)])
def test_every_field_is_needed(name):
    values = ENCODEC_24KHZ.to_dict()
    del values[name]
    with pytest.raises(ValueError, match=f"codec settings {name} are missing"):
        CodecConfig.from_dict(values)


def test_unknown_fields_are_named():
    with pytest.raises(ValueError, match="unknown codec settings colour, shape; known are bandwidths, "):
        CodecConfig.from_dict(changed(shape=1, colour=2))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"channels": 3}, "channels must be 1 or 2, got 3"),
        ({"channels": 0}, "channels must be an integer of at least 1, got 0"),
        ({"norm": "batch"}, "norm must be one of weight_norm, time_group_norm, got 'batch'"),
        ({"norm": "time_group_norm"}, "a causal codec cannot use norm 'time_group_norm'"),
        ({"codebook_size": 1000}, "codebook_size must be a power of two, got 1000"),
        ({"codebook_size": 1}, "codebook_size must be a power of two, got 1"),
        ({"num_filters": 0}, "num_filters must be an integer of at least 1, got 0"),
        ({"num_filters": 1.5}, "num_filters must be an integer of at least 1, got 1.5"),
        ({"num_filters": 1}, "num_filters 1 must be at least compress 2"),
        ({"latent_dim": "many"}, "latent_dim must be an integer of at least 1, got 'many'"),
        ({"kernel_size": None}, "kernel_size must be an integer of at least 1, got None"),
        ({"sample_rate_hz": True}, "sample_rate_hz must be an integer of at least 1, got True"),
        ({"num_lstm_layers": -1}, "num_lstm_layers must be an integer of at least 0, got -1"),
        ({"strides": []}, "strides must be positive integers"),
        ({"strides": [2, 0]}, r"strides must be positive integers, got \[2, 0\]"),
        ({"strides": [2, 2.5]}, r"strides must be positive integers, got \[2, 2.5\]"),
        ({"strides": 320}, "wrong type"),
        ({"bandwidths": []}, "bandwidths must be ascending"),
        ({"bandwidths": [3.0, 1.5]}, r"ascending and distinct, got \[3.0, 1.5\]"),
        ({"bandwidths": [3.0, 3.0]}, "ascending and distinct"),
        ({"bandwidths": [0.7, 3.0]}, r"0.7 kbps is impossible: one codebook .* takes 0.75 kbps"),
        ({"bandwidths": [math.inf]}, "inf kbps is impossible"),
        ({"bandwidths": [math.nan]}, "nan kbps is impossible"),
        ({"bandwidths": None}, "wrong type"),
        ({"bandwidths": [1000]}, "1000 kbps takes 1333 codebooks of 10 bits; 128 are possible at most"),
        ({"segment_s": 0.0}, "segment_s must be a number of seconds, 89478 at most, got 0.0"),
        ({"segment_s": math.inf}, "segment_s must be a number of seconds, .* got inf"),
        ({"segment_s": math.nan}, "segment_s must be a number of seconds, .* got nan"),
        ({"segment_s": True}, "segment_s must be a number of seconds, .* got True"),
        ({"segment_s": "1"}, "segment_s must be a number of seconds, .* got '1'"),
        (
            {"segment_s": 1e-5},
            "segment_s 1e-05 is too short: .* starts every 0 samples, but a frame takes 320",
        ),
        ({"segment_s": 0.013}, "starts every 308 samples, but a frame takes 320"),
        ({"segment_s": 1.0, "segment_overlap": 0.99999}, "segment_overlap must be 0 to 0.5, got 0.99999"),
        ({"segment_s": 1.0, "segment_overlap": -0.1}, "segment_overlap must be 0 to 0.5, got -0.1"),
        ({"segment_overlap": math.nan}, "segment_overlap must be 0 to 0.5, got nan"),
        ({"segment_overlap": "0.1"}, "segment_overlap must be 0 to 0.5, got '0.1'"),
        ({"causal": "no"}, "causal must be true or false, got 'no'"),
        ({"normalize": 1}, "normalize must be true or false, got 1"),
        ({"name": ""}, "name must be a text, got ''"),
        ({"name": 24}, "name must be a text, got 24"),
    ],
)
def test_impossible_values_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        CodecConfig.from_dict(changed(**values))


def test_no_lstm_and_no_residual_units_are_possible():
    assert CodecConfig.from_dict(changed(num_lstm_layers=0, num_residual_units=0)).num_lstm_layers == 0
