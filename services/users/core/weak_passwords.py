"""Is a password among the first that anybody would try?

No list of millions: common words with the decorations that people put around them, keyboard rows, sequences, repeats,
and what others know of the owner. Length does the rest.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

_LEAST_DISTINCT: Final = 4

_WORDS: Final = frozenset(
    """
    abcd access account admin administrator alexander amanda andrew angel apple arsenal asdf ashley baseball basketball
    batman biteme butterfly changeme charlie cheese chelsea chocolate computer cookie corvette dallas daniel default
    demo diamond dragon facebook family flower football forever freedom friends george ginger google guest hannah
    harley hello hockey hunter iloveu iloveyou internet jennifer jessica jordan joshua killer letmein liverpool login
    london lovely loveme maggie master matrix matthew mercedes michael michelle microsoft monkey mustang myspace
    nicole nothing orange passcode passphrase passw0rd passwd password pepper phoenix pokemon princess purple qazwsx
    qwer qwert qwerty qwertyuiop ranger robert root samsung secret shadow snoopy soccer spiderman starwars steelers
    summer sunshine superman superuser taylor tennis test tester testing thomas thunder tickroom tigger trading
    trustno victoria welcome whatever william winner winter yankees yellow zxcvbn zxcvbnm
    """.split()  # noqa: SIM905 (words read better than a list of strings)
)
_ROWS: Final = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "yxcvbnm", "azertyuiop", "1qaz2wsx3edc4rfv5tgb")
_LEET: Final = str.maketrans("013457@$!", "oieastasi")


def is_weak(password: str, about: Iterable[str] = ()) -> bool:
    """`password`: 8 characters or more. about: name, address and the like of its owner."""
    plain = password.casefold()
    if len(set(plain)) < _LEAST_DISTINCT or _is_sequence(plain) or _repeats(plain):
        return True
    stems = {_stem(plain), _stem(plain.translate(_LEET)), _stem(plain).translate(_LEET)}
    if any(_is_common(stem) for stem in stems):
        return True
    own = {part for text in about for part in (text.casefold(), *text.casefold().split()) if len(part) >= 3}
    return any(stem in own for stem in stems) or plain in own


def _stem(text: str) -> str:
    """Without the digits and signs that people put before and after a word."""
    return text.strip("0123456789!@#$%^&*()-_=+.,;:?/ ")


def _is_common(stem: str) -> bool:
    """A common word, the same twice, or a piece of a keyboard's row."""
    half = stem[: len(stem) // 2]
    if stem in _WORDS or (half * 2 == stem and half in _WORDS):
        return True
    return len(stem) >= 4 and any(stem in row or stem in row[::-1] for row in _ROWS)


def _is_sequence(text: str) -> bool:
    """12345678, abcdefgh, 98765432, also with a few characters behind: nearly every step is the same +1 or -1."""
    steps = [ord(b) - ord(a) for a, b in pairwise(text)]
    return max(steps.count(1), steps.count(-1)) >= 0.75 * len(steps)


def _repeats(text: str) -> bool:
    """One short piece over and over: abcabcabc, 12121212."""
    return any((text[:size] * len(text))[: len(text)] == text for size in range(1, min(4, len(text) // 2) + 1))
