"""A few hundred of the mutations of `codeckit.bench.studies.fuzz`, in this process."""

import pytest
from codeckit.bench.studies import fuzz
from codeckit.bench.studies.jpeg_identity import segments


@pytest.fixture(scope="module")
def streams():
    return fuzz.jpeg_streams(), fuzz.ckt_streams()


def test_the_streams_themselves_are_pictures(streams):
    for data in (*streams[0], *streams[1]):
        assert fuzz.attempt(fuzz.Case("", data)).verdict == "picture"
        assert fuzz.attempt(fuzz.Case("", data[:-1])).verdict == "StreamError"


def test_cutting_into_segments_loses_nothing(streams):
    for data in streams[0]:
        assert b"".join(segments(data)) == data


@pytest.mark.parametrize("share", range(5))
def test_mutations_give_pictures_or_stream_errors(streams, share):
    for number in range(100 * share, 100 * share + 100):
        case = fuzz.mutate(2026, number, *streams)
        outcome = fuzz.attempt(case)
        assert outcome.verdict != "violation", (case.name, outcome.message)


def test_bombs_give_pictures_or_stream_errors():
    for case in list(fuzz.bombs())[::7]:
        outcome = fuzz.attempt(case)
        assert outcome.verdict != "violation", (case.name, outcome.message)


def test_mutations_are_repeatable(streams):
    assert fuzz.mutate(1, 7, *streams) == fuzz.mutate(1, 7, *streams)


def test_worker_processes_decode_and_survive(streams):
    """In a fresh process, under the limits, where no stage has been imported before."""
    jpegs, ckts = streams
    cases = [fuzz.Case("jpeg", jpegs[0]), fuzz.Case("ckt", ckts[-1]), fuzz.Case("nothing", b"?")]
    warm_up = [fuzz.Case("warm-up", data) for data in (*jpegs, *ckts)]
    outcomes = [outcome for _, outcome in fuzz.run(cases, warm_up, jobs=1)]
    assert [outcome.verdict for outcome in outcomes] == ["picture", "picture", "StreamError"]
