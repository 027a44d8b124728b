"""Messages with placeholders: filled in, never evaluated."""

import pytest

from services.users.core.templates import filled, wrong_template

VALUES = {"symbol": "AAPL", "price": "{symbol}", "threshold": "150.00"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain & simple 💥", "plain & simple 💥"),
        ("{symbol} over {threshold}", "AAPL over 150.00"),
        ("{{symbol}} {{{symbol}}}", "{symbol} {AAPL}"),
        ("now {price}", "now {symbol}"),
        ("{never} stays, a { too", "{never} stays, a { too"),
    ],
)
def test_filling(text: str, shown: str) -> None:
    assert filled(text, VALUES) == shown


@pytest.mark.parametrize("text", ["", "a {{b}}", "{symbol}{price}{previous_price}{threshold}{condition}{time}"])
def test_good_ones(text: str) -> None:
    assert wrong_template(text) is None


@pytest.mark.parametrize(
    "text",
    ["{", "}", "{symbol", "symbol}", "{}", "{ symbol}", "{price!r}", "{price:>99}", "{price.real}", "{0}", "{{{"],
)
def test_bad_ones(text: str) -> None:
    assert wrong_template(text) is not None
