"""Frames of fixed length over a stream that is cut anywhere."""

from __future__ import annotations

import pytest

from benchmarks.experiment.wire import ANSWER, REQUEST, Frames


@pytest.mark.parametrize("size", [1, 2, 8, 9, 10, 1000])
def test_frames_survive_any_cut(size: int) -> None:
    """However the bytes arrive, the same frames come out, in order."""
    sent = [(number, number * 3, number % 10) for number in range(50)]
    stream = b"".join(REQUEST.pack(*frame) for frame in sent)
    frames = Frames(REQUEST)
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert [frame for piece in pieces for frame in frames.feed(piece)] == sent


def test_an_answer_says_whether_it_went_well() -> None:
    """The number of the request, and yes or no."""
    sent = [(7, True), (8, False)]
    stream = b"".join(ANSWER.pack(*answer) for answer in sent)
    assert list(Frames(ANSWER).feed(stream)) == sent
