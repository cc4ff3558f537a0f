import random

from hypothesis import given
from hypothesis import strategies as st

from storage.containers.reading import crc8, crc16, crc16_reflected, crc32_ogg
from tests.storage.containers.writers import crc


@given(st.binary(max_size=300))
def test_the_crcs_are_those_of_a_bitwise_computation(data: bytes) -> None:
    assert crc8(data) == crc(data, 0x07, 8)
    assert crc16(data) == crc(data, 0x8005, 16)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_a_crc_goes_on_where_an_earlier_one_ended(first: bytes, second: bytes) -> None:
    assert crc16(second, crc16(first)) == crc16(first + second)
    assert crc16_reflected(second, crc16_reflected(first)) == crc16_reflected(first + second)


@given(st.binary(min_size=27, max_size=400))
def test_the_crc_of_an_ogg_page_counts_its_own_field_as_zeros(page: bytes) -> None:
    assert crc32_ogg(page) == crc(page[:22] + bytes(4) + page[26:], 0x04C11DB7, 32)


def test_known_values_of_the_catalogue_come_out() -> None:
    assert (crc8(b"123456789"), crc16(b"123456789"), crc16_reflected(b"123456789")) == (0xF4, 0xFEE8, 0xBB3D)


def test_long_messages_are_folded_right() -> None:
    data = random.Random(1).randbytes(20_000)
    assert crc16(data) == crc(data, 0x8005, 16)
    assert crc16(data + crc16(data).to_bytes(2, "big")) == 0
