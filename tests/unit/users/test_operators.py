"""`python -m services.users create-operator EMAIL`: exit codes and what a person reads."""

import io
from pathlib import Path

import pytest

from services.users import operators

EMAIL, PASSWORD = "ops@example.org", "plum-tarmac-otter"


@pytest.fixture(autouse=True)
def _empty_house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where no `.env` is
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    for name in ("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS", operators.PASSWORD_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())


def said(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_a_new_operator_by_stdin_and_the_same_one_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(PASSWORD + "\n"))
    assert operators.main(["create-operator", " Ops@Example.org", "--name", "Ops"]) == 0
    assert said(capsys) == (f"{EMAIL} has an account now, as an operator\n", "")
    assert operators.main(["create-operator", EMAIL]) == 0
    assert said(capsys) == (f"{EMAIL} is an operator already\n", "")


def test_a_new_operator_by_the_environment(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(operators.PASSWORD_VARIABLE, PASSWORD)
    assert operators.main(["create-operator", EMAIL]) == 0
    assert said(capsys)[1] == ""


def test_a_person_types_it_twice(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    typed = iter([PASSWORD, "something else", PASSWORD, PASSWORD])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(typed))
    assert operators.main(["create-operator", EMAIL]) == 1
    assert said(capsys) == ("", "tickroom: the two are not the same\n")
    assert operators.main(["create-operator", EMAIL]) == 0


@pytest.mark.parametrize(
    ("email", "password", "line"),
    [
        (EMAIL, "", "no account has this address yet; a new one needs a password: OPERATOR_PASSWORD or stdin"),
        (EMAIL, "short", "password must have 8 to 1024 characters"),
        ("nobody", PASSWORD, "EMAIL must be an e-mail address such as ada@example.org"),
        ("", PASSWORD, "EMAIL must be an e-mail address such as ada@example.org"),
    ],
)
def test_what_is_wrong_is_one_line(
    email: str, password: str, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(password))
    assert operators.main(["create-operator", email]) == 1
    assert said(capsys) == ("", f"tickroom: {line}\n")


def test_a_bad_setting_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://nowhere")
    assert operators.main(["create-operator", EMAIL]) == 1
    assert said(capsys)[1].startswith("tickroom: DATABASE_URL: ")


def test_the_logins_of_somebody_are_ended(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(operators.PASSWORD_VARIABLE, PASSWORD)
    assert operators.main(["create-operator", EMAIL]) == 0
    assert operators.main(["end-logins", EMAIL]) == 0
    ended = f"every login of {EMAIL} has ended, and 0 API keys are gone; the password is what it was\n"
    assert said(capsys)[0].endswith(ended)
    assert operators.main(["end-logins", "nobody@example.org"]) == 1
    assert said(capsys) == ("", "tickroom: no account has the address nobody@example.org\n")
