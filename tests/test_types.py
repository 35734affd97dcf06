"""The types of the public interface."""

import torch

from encodec_lab.types import EcdcError, EncodedFrame


def test_an_encoded_frame_unpacks_as_the_pair_of_the_reference():
    codes, scale = EncodedFrame(torch.zeros(1, 2, 3, dtype=torch.long), None)
    assert codes.shape == (1, 2, 3) and scale is None


def test_a_bad_stream_is_an_error_of_value():
    assert issubclass(EcdcError, ValueError)
