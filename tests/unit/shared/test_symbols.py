import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.shared.errors import InvalidInput
from services.shared.symbols import normalise, resolve

KNOWN = frozenset({"AAPL", "FB", "GOOG", "IBM", "BRK.B"})


@pytest.mark.parametrize(
    ("text", "symbol"),
    [("aapl", "AAPL"), (" Apple ", "AAPL"), ("Google", "GOOG"), ("Meta", "FB"), ("Facebook", "FB"), ("brk.b", "BRK.B")],
)
def test_people_may_write_a_symbol_or_a_company(text: str, symbol: str) -> None:
    assert resolve(text, KNOWN) == symbol


@pytest.mark.parametrize("text", ["Tesla", "", "AAPL2", "apple inc"])
def test_what_is_not_known_is_none(text: str) -> None:
    assert resolve(text, KNOWN) is None


@given(st.text(max_size=20))
@example("\N{LATIN SMALL LETTER SHARP S}")
@example("\N{LATIN SMALL LETTER DOTLESS I}BM")
def test_a_normalised_symbol_is_always_a_symbol(text: str) -> None:
    if not re.fullmatch(r"\s*[A-Za-z0-9][A-Za-z0-9.\-]{0,14}\s*", text):
        with pytest.raises(InvalidInput, match="symbol"):
            normalise(text)
    else:
        assert normalise(normalise(text)) == text.strip().upper()
