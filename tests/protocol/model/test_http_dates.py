"""HTTP dates are read as mail's parser reads them, whether or not it is needed for that."""

from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.model.units import http_date_s


@given(st.datetimes(datetime(1000, 1, 2), datetime(9999, 1, 1), timezones=st.just(UTC)))
def test_the_usual_form_is_read_to_the_second(moment: datetime) -> None:
    assert http_date_s(format_datetime(moment, usegmt=True)) == moment.replace(microsecond=0).timestamp()


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 +0100",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 EST",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "06 Nov 1994 08:49 GMT",
    ],
)
def test_other_forms_are_read_as_mail_has_them(text: str) -> None:
    assert http_date_s(text) == parsedate_to_datetime(text).timestamp()


@pytest.mark.parametrize("text", ["", "soon", "Sun, 46 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:97 GMT", "0"])
def test_what_is_no_date_is_none(text: str) -> None:
    assert http_date_s(text) is None
