import pytest

from encodec_lab.training.schedule import WarmupCosineSchedule


def test_constant_as_in_the_paper():
    schedule = WarmupCosineSchedule(warmup_steps=0, total_steps=100, final_factor=1.0)
    assert [schedule(step) for step in (0, 1, 50, 99, 1000)] == [1.0] * 5


def test_warm_up_then_half_a_cosine():
    schedule = WarmupCosineSchedule(warmup_steps=10, total_steps=110, final_factor=0.2)
    assert [schedule(step) for step in range(10)] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert schedule(10) == 1.0
    assert schedule(60) == pytest.approx(0.6)
    assert [schedule(step) for step in (110, 111, 10_000)] == pytest.approx([0.2] * 3)
    falling = [schedule(step) for step in range(10, 111)]
    assert falling == sorted(falling, reverse=True)


@pytest.mark.parametrize(("warmup_steps", "total_steps"), [(10, 10), (10, 5)])
def test_runs_shorter_than_their_warm_up(warmup_steps, total_steps):
    schedule = WarmupCosineSchedule(warmup_steps, total_steps, final_factor=0.0)
    assert all(0.0 <= schedule(step) <= 1.0 for step in range(20))


@pytest.mark.parametrize("total_steps", [0, -1])
def test_a_rate_that_comes_down_needs_an_end(total_steps):
    with pytest.raises(ValueError, match=f"got {total_steps}: set trainer.max_steps"):
        WarmupCosineSchedule(warmup_steps=0, total_steps=total_steps, final_factor=0.5)
    assert WarmupCosineSchedule(warmup_steps=0, total_steps=total_steps, final_factor=1.0)(7) == 1.0
