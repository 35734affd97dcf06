"""The integer language model: the same tables however they are computed, and close to the float model."""

import copy
import dataclasses
import json

import integer_tables
import pytest
import torch
import torch.nn.functional as F
from small_lm import random_lm

from encodec_lab.models.identity import module_identity
from encodec_lab.models.integer_conversion import to_integer_lm
from encodec_lab.models.integer_lm import IntegerLM, IntegerLMConfig
from encodec_lab.modules.integer_arithmetic import InexactError


@pytest.fixture(scope="module", params=["small", "within"])
def case(request: pytest.FixtureRequest) -> tuple[IntegerLM, torch.Tensor]:
    """A model, and seven recordings' codes [7, 8, L]."""
    codes = integer_tables.real_codes(request.param, seconds=7)
    batch = torch.stack(codes.split(75, dim=1)[:7])
    return integer_tables.integer_lm(request.param, codes), batch


def test_tables_are_the_same_all_at_once_step_by_step_in_a_batch_and_on_threads(
    case: tuple[IntegerLM, torch.Tensor],
) -> None:
    lm, codes = case
    tables = integer_tables.tables_at_once(lm, codes)
    assert tables.shape == (7, 75, 8, 64)
    assert len(set(tables[..., -1].flatten().tolist())) > 1000  # they are no constants
    assert torch.equal(integer_tables.tables_by_steps(lm, codes), tables)
    for row in range(7):
        assert torch.equal(integer_tables.tables_at_once(lm, codes[row : row + 1]), tables[row : row + 1])
    assert torch.equal(integer_tables.tables_by_steps(lm, codes[:1]), tables[:1])
    # The float codes before it in the frame or the batch change nothing, and neither does what comes later.
    assert torch.equal(integer_tables.tables_at_once(lm, codes[..., :20]), tables[:, :20])
    torch.set_num_threads(2)
    try:
        assert torch.equal(integer_tables.tables_at_once(lm, codes), tables)
    finally:
        torch.set_num_threads(1)


def test_a_program_that_asks_for_less_precision_gets_the_same_tables(
    case: tuple[IntegerLM, torch.Tensor],
) -> None:
    lm, codes = case
    tables = integer_tables.tables_at_once(lm, codes)
    backend = torch.backends.mkldnn.matmul
    before = backend.fp32_precision
    backend.fp32_precision = "bf16"
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(integer_tables.tables_at_once(lm, codes), tables)
        assert backend.fp32_precision == "bf16"
    finally:
        backend.fp32_precision = before


def test_more_frames_than_chunks_positions_and_context_hold(case: tuple[IntegerLM, torch.Tensor]) -> None:
    lm, codes = case
    longer = (
        codes.transpose(0, 1).reshape(1, 8, -1).repeat(1, 1, 2)[..., :1030]
    )  # positions start over at 1000
    assert torch.equal(integer_tables.tables_at_once(lm, longer), integer_tables.tables_by_steps(lm, longer))


def test_intervals_are_those_of_the_tables(case: tuple[IntegerLM, torch.Tensor]) -> None:
    lm, codes = case
    tables = integer_tables.tables_at_once(lm, codes)
    padded = F.pad(tables, (1, 0))
    starts, frequencies, totals = lm.intervals(codes)
    present = codes.transpose(1, 2)[..., None]
    assert torch.equal(starts, padded.gather(-1, present)[..., 0])
    assert torch.equal(starts + frequencies, padded.gather(-1, present + 1)[..., 0])
    assert torch.equal(totals, tables[..., -1])
    assert int(tables.diff(dim=-1).min()) >= 1
    assert 1 << 20 <= int(totals.min()) <= int(totals.max()) < 1 << 31


@pytest.mark.parametrize("num_codebooks", [1, 3, 8])
@pytest.mark.parametrize("size", ["small", "within"])
def test_probabilities_are_those_of_the_float_model(size: str, num_codebooks: int) -> None:
    """Conversion costs under 0.1 % of the bits of codes drawn from the float model."""
    float_lm = random_lm(integer_tables.lm_config(size))
    codes = integer_tables.real_codes(size, seconds=6)[None, :num_codebooks]
    lm = integer_tables.integer_lm(size, integer_tables.real_codes(size, seconds=6))
    with torch.no_grad():
        present = codes if size == "within" else None
        indices = F.pad(1 + codes[..., :-1], (1, 0))
        expected = (
            float_lm(indices, present=present).probabilities.permute(0, 3, 2, 1).double()
        )  # [B, S, K, V]
    tables = integer_tables.tables_at_once(lm, codes).double()
    given = F.pad(tables, (1, 0)).diff(dim=-1) / tables[..., -1:]
    entropy = -(expected * expected.log2()).sum()
    cost = (expected * (expected.log2() - given.log2())).sum()
    assert 0 < cost < 0.001 * entropy


def test_configuration_and_tensors_make_the_same_model(case: tuple[IntegerLM, torch.Tensor]) -> None:
    lm, codes = case
    config = IntegerLMConfig.from_dict(json.loads(json.dumps(lm.config.to_dict())))
    assert config == lm.config
    again = IntegerLM(config)
    again.load_state_dict(lm.state_dict())
    assert module_identity(again) == module_identity(lm)
    assert torch.equal(
        integer_tables.tables_at_once(again, codes[:1]), integer_tables.tables_at_once(lm, codes[:1])
    )


def test_context_is_part_of_the_identity() -> None:
    codes = integer_tables.real_codes("small", seconds=1)
    lm = random_lm(integer_tables.lm_config("small"))
    other = random_lm(dataclasses.replace(lm.config, past_context_frames=6))
    identities = {module_identity(to_integer_lm(model, codes[None])) for model in (lm, other)}
    assert len(identities) == 2


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("heads.bias", 1 << 24, "a row sums up to .* must stay below 16777216"),
        ("layers.1.linear2.bias", -(1 << 24), "a row sums up to"),
        ("layers.0.projection.scale", 0.0, "every scale must lie between"),
        ("layers.0.attended.scale", 1e20, "sums over 16 squares"),
        ("layers.0.score_scale", float("nan"), "every score_scale"),
        ("norm_in.gain", float("inf"), "every gain must be finite"),
        ("norm_in.epsilon", 0, "epsilon must be"),
        ("layers.1.gelu", 2047, None),
        ("layers.1.gelu", 2048, "the GELU table must stay within 2047"),
        ("attention_table", 1 << 15, "a table of exponentials must start at 16384"),
        ("frequency_table", 0, "a table of exponentials must start at 1048576"),
        ("past_context_frames", 6, "the tensors look 6 frames back, the configuration 5"),
    ],
)
def test_tensors_that_would_not_be_exact_are_refused(name: str, value: float, message: str | None) -> None:
    lm = integer_tables.integer_lm("small", integer_tables.real_codes("small", seconds=1))
    lm.get_buffer(name).fill_(value)
    codes = torch.zeros(1, 8, 2, dtype=torch.int64)
    if message is None:
        lm.intervals(codes)
        return
    with pytest.raises(InexactError, match=message):
        lm.intervals(codes)


def test_a_model_of_other_dtypes_is_refused() -> None:
    lm = integer_tables.integer_lm("small", integer_tables.real_codes("small", seconds=1))
    with pytest.raises(InexactError, match=r"norm_in.gain must be torch.float32, got torch.float16"):
        copy.deepcopy(lm).half().prepare()
    lm.prepare()


def test_changed_tensors_are_prepared_anew(case: tuple[IntegerLM, torch.Tensor]) -> None:
    lm, codes = copy.deepcopy(case[0]), case[1]
    before = integer_tables.tables_at_once(lm, codes)
    lm.heads.scale.mul_(0.5)
    assert not torch.equal(integer_tables.tables_at_once(lm, codes), before)


def test_what_cannot_be_converted() -> None:
    lm = random_lm(integer_tables.lm_config("small"))
    with pytest.raises(ValueError, match="needs codes"):
        to_integer_lm(lm, torch.zeros(1, 8, 0, dtype=torch.int64))
    lm.transformer.layers[0].norm1.weight.data[0] = float("nan")
    with pytest.raises(ValueError, match="not finite"):
        to_integer_lm(lm, torch.zeros(1, 8, 2, dtype=torch.int64))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_positions": 0}, "max_positions must be an integer of at least 1, got 0"),
        ({"architecture": 3}, "architecture must hold"),
        ({"architecture": {}}, "language model settings .* missing"),
        ({"width": 1}, "unknown integer language model settings width"),
    ],
)
def test_impossible_configurations(changes: dict[str, object], message: str) -> None:
    values = IntegerLMConfig(integer_tables.lm_config("small"), 10).to_dict()
    with pytest.raises(ValueError, match=message):
        IntegerLMConfig.from_dict(values | changes)


def test_too_large_codebooks() -> None:
    with pytest.raises(ValueError, match="up to 2048 entries, got 4096"):
        IntegerLMConfig(dataclasses.replace(integer_tables.lm_config("small"), codebook_size=4096), 10)
