import pytest

from plica.errors import TooLarge
from plica.formats.limits import check_expansion, check_size, describe_bytes


def test_the_limit_is_named_with_how_to_raise_it():
    check_size("a", 100, 100)
    with pytest.raises(TooLarge, match="max_bytes=101"):
        check_size("a", 101, 100)


def test_a_bomb_is_refused_and_what_the_message_says_lets_it_pass():
    packed, unpacked = 1 << 20, 1 << 30
    with pytest.raises(TooLarge, match=r"1\.0 MiB to 1\.0 GiB") as caught:
        check_expansion("a", packed, unpacked)
    needed = int(str(caught.value).split("max_bytes=")[1].split()[0])
    check_expansion("a", packed, unpacked, needed)


def test_small_and_ordinary_files_pass():
    check_expansion("an empty label map", 1000, 200 << 20)
    check_expansion("a scan", 10 << 20, 1 << 30)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (1 << 31, "2.0 GiB"),
     (1 << 40, "1.0 TiB"), (5000 << 40, "5000.0 TiB")],
)  # fmt: skip
def test_bytes_are_described_for_people(count, text):
    assert describe_bytes(count) == text
