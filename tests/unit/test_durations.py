"""Durations are read strictly and told as people say them."""

import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.core.durations import LONGEST, duration_text, duration_words, is_duration, parse_duration


@given(number=st.integers(0, 5_000), unit=st.sampled_from("wdhms"), sign=st.sampled_from(["", "-"]))
def test_a_duration_is_what_it_says_and_comes_back(number: int, unit: str, sign: str) -> None:
    text, whole = f"{sign}{number}{unit}", {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
    seconds = timedelta(**{whole[unit]: number}).total_seconds()
    if seconds > LONGEST:
        return
    found = parse_duration(text, signed=True)
    assert found == (-seconds if sign else seconds)
    assert parse_duration(duration_text(found), signed=True) == found
    assert is_duration(text)


@given(seconds=st.floats(0, LONGEST))
def test_a_wait_is_never_told_too_short(seconds: float) -> None:
    assert parse_duration(duration_text(seconds)) == math.ceil(seconds)


def test_durations_are_told_in_hours_until_they_are_days() -> None:
    told = {0: "0 hours", 1: "1 second", 90: "90 seconds", 3600: "1 hour", 86_400: "24 hours", -3600: "-1 hour"}
    told |= {129_600: "36 hours", 3 * 86_400: "3 days", 30 * 86_400: "30 days", 60: "1 minute"}
    assert {seconds: duration_words(seconds) for seconds in told} == told
    assert [duration_text(seconds) for seconds in (0, 3600, 30 * 86_400, -172_800)] == ["0s", "1h", "30d", "-48h"]


@pytest.mark.parametrize("text", ["", "30", "d", "1.5h", "30 d", "1mo", "P30D", "+1h", "\u0661h", "-1h", "1h\n", "-"])
def test_what_is_no_duration_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(
        ValueError, match="is no duration; write a whole number with w, d, h, m or s, such as 30d or 12h"
    ):
        parse_duration(text)


def test_what_is_longer_than_a_century_is_refused() -> None:
    assert parse_duration("36525d") == LONGEST
    with pytest.raises(ValueError, match="longer than 100 years"):
        parse_duration("999999999999w")
