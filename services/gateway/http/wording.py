"""What is wrong with input, in words for whoever sent it.

pydantic speaks of its own classes and of Python's types (`a valid dictionary or instance of AlertBody`); a client sees
JSON.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic_core import ErrorDetails

Context = Mapping[str, Any]

_OF_TYPE: Final[Mapping[str, str]] = {
    "missing": "is missing",
    "extra_forbidden": "is not a field that is known here",
    "string_type": "must be a string",
    "finite_number": "must be a finite number",
} | {
    kind: f"must be {what}"
    for what, kinds in {
        "a JSON object": ("model_type", "model_attributes_type", "dict_type"),
        "a JSON array": ("list_type",),
        "a whole number": ("int_type", "int_parsing", "int_parsing_size", "int_from_float"),
        "a number": ("float_type", "float_parsing"),
        "true or false": ("bool_type", "bool_parsing"),
        "a time such as 2030-01-31T16:00:00Z": ("datetime_type", "datetime_parsing", "datetime_from_date_parsing"),
    }.items()
    for kind in kinds
}
_EMPTY: Final = "'', "
"""How a query parameter that may be left out names that."""

_WITH_CONTEXT: Final[Mapping[str, Callable[[Context], str]]] = {
    "greater_than": lambda given: f"must be above {_number(given['gt'])}",
    "greater_than_equal": lambda given: f"must be at least {_number(given['ge'])}",
    "less_than": lambda given: f"must be below {_number(given['lt'])}",
    "less_than_equal": lambda given: f"must be at most {_number(given['le'])}",
    "literal_error": lambda given: f"must be {str(given['expected']).removeprefix(_EMPTY)}",
    "string_too_short": lambda given: f"must have at least {_count(given['min_length'], 'character')}",
    "string_too_long": lambda given: f"must have at most {_count(given['max_length'], 'character')}",
    "too_short": lambda given: f"must have at least {_count(given['min_length'], _thing(given))}",
    "too_long": lambda given: f"must have at most {_count(given['max_length'], _thing(given))}",
}


def worded(error: ErrorDetails) -> str:
    """What `error` says is expected. Our own validators' words stay as they are."""
    kind = error["type"]
    if kind in _OF_TYPE:
        return _OF_TYPE[kind]
    given: Context = error.get("ctx", {})
    if kind in _WITH_CONTEXT and "said" not in given:
        return _WITH_CONTEXT[kind](given)
    return error["msg"].removeprefix("Value error, ").replace("Input should be", "must be")


def _number(value: float) -> float | int:
    return int(value) if value == int(value) else value


def _thing(given: Context) -> str:
    """A text with a validator of its own is but a `Value` to pydantic."""
    return "character" if given.get("field_type") == "Value" else "item"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
