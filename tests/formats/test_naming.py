"""What is said of identity promises no more than was looked at."""

import pytest

from plica.formats.doors import FORMATS
from plica.formats.naming import TEXTS, say_named, say_unsearched


def test_what_was_not_looked_at_is_named():
    said = say_named(("UIDs", "free texts", "private or unknown elements"))
    assert said == (
        "no name, ID, birth date or address of a patient found, but UIDs, free texts, private or "
        "unknown elements; what pixels, free texts and private or unknown elements say is not "
        "looked at"
    )
    assert say_named(("facts about the patient",)).endswith(
        "what pixels and free texts say is not looked at"
    )
    assert say_named(()).startswith("no name, ID, birth date or address of a patient found; what")


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_of_every_other_format_it_is_said_that_nothing_is_looked_for(name):
    said = say_unsearched(f"{name}-1 (library 2)")
    assert said.startswith("not looked for")
    assert ("may name a patient" in said) == (name in TEXTS)
