from encodec_lab.evaluation.speed_loading import measure_loading


def test_every_case_is_measured():
    speeds = measure_loading(num_batches=1)
    assert len({speed.what for speed in speeds}) == 6
    assert all(0 < speed.crops_per_core_s < 1e5 for speed in speeds)
