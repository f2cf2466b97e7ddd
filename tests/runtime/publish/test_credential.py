"""Secrets as publishers read them, and what of them has to be hidden."""

import pytest

from forge_runtime.publish.credential import Credential, CredentialUnusable, Login


@pytest.mark.parametrize(
    ("text", "token"),
    [("pypi-AgEI\n", "pypi-AgEI"), ('{"token": "t0ken"}', "t0ken"), ('{"username": "u", "password": "p4ss"}', "p4ss")],
)
def test_a_token_is_the_text_or_a_field_of_it(text: str, token: str) -> None:
    assert Credential(text).token() == token


@pytest.mark.parametrize(
    "text", ["", "two words", "two\nlines", "tökén", '{"other": "x"}', '{"token": 7}', '{"token": ' * 100_000]
)
def test_what_no_header_takes_is_no_token_and_is_not_shown(text: str) -> None:
    with pytest.raises(CredentialUnusable) as refused:
        Credential(text).token()

    assert not text or text not in str(refused.value)


@pytest.mark.parametrize("text", ["ada:p4:ss\n", '{"username": "ada", "password": "p4:ss"}'])
def test_a_login_is_two_parts_or_two_fields(text: str) -> None:
    assert Credential(text).login() == Login("ada", "p4:ss")


def test_a_token_is_a_login_where_tokens_have_a_user() -> None:
    assert Credential("pypi-AgEI").login("__token__") == Login("__token__", "pypi-AgEI")
    with pytest.raises(CredentialUnusable, match="no login"):
        Credential("pypi-AgEI").login()


def test_keys_are_fields_of_which_the_first_must_be_there() -> None:
    credential = Credential('{"access_key_id": "AKIA", "secret_access_key": "k3y", "session_token": ""}')

    found = credential.keys("access_key_id", "secret_access_key", "session_token")

    assert found == {"access_key_id": "AKIA", "secret_access_key": "k3y"}
    with pytest.raises(CredentialUnusable, match='no JSON object with "access_key_id"'):
        Credential("k3y").keys("access_key_id")


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("t0ken\n", {"t0ken"}),
        ("ada:p4ss", {"ada:p4ss", "p4ss"}),
        ('{"username": "ada", "password": "p4ss"}', {'{"username": "ada", "password": "p4ss"}', "p4ss"}),
    ],
)
def test_everything_that_opens_something_is_hidden(text: str, hidden: set[str]) -> None:
    assert set(Credential(text).secrets()) == hidden


def test_a_credential_does_not_show_itself() -> None:
    credential = Credential("ada:p4ss")

    assert "p4ss" not in repr(credential) + repr(credential.login())
