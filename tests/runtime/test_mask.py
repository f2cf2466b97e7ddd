"""What is hidden of a secret, in which forms, and what is left alone."""

import base64
import cProfile
import json
import pstats
import re
import subprocess
from shutil import which
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from forge_runtime.mask import FORM_CHARS_MIN, MASK, Mask, _forms_of, _lines_of

SECRETS = st.text(
    st.characters(codec="utf-8", exclude_characters="\r\n*"), min_size=FORM_CHARS_MIN, max_size=60
).filter(lambda text: text.strip() == text and len(text.splitlines()) == 1)
AROUND = st.binary(max_size=12)


class OneByOne:
    """What masking comes to, however it is done: each line by itself, the longest first."""

    def __init__(self, secrets: list[str]) -> None:
        lines = {line for secret in secrets for line in (*_lines_of(secret), *_forms_of(secret))}
        self.lines = sorted(lines, key=lambda line: (-len(line), line))
        self.bytes_max = max((len(line.encode()) for line in lines), default=0)

    def text(self, text: str) -> str:
        for line in self.lines:
            text = text.replace(line, MASK)
        return text

    def data(self, data: bytes) -> bytes:
        for line in self.lines:
            data = data.replace(line.encode(), MASK.encode())
        return data

    def cut(self, data: bytes) -> int:
        place = max(0, len(data) - self.bytes_max)
        any_line = re.compile(b"|".join(re.escape(line.encode()) for line in self.lines) or rb"(?!)")
        return max(place, *(found.end() for found in any_line.finditer(data) if found.start() < place), 0)


OVERLAPPING = st.text("ab*", max_size=24)
VALUES = st.one_of(
    OVERLAPPING,
    st.text('ab* \n"+/é\U0001f525', max_size=90),
    st.text(st.characters(codec="utf-8"), max_size=40),
)


@st.composite
def secrets_and_output(draw: st.DrawFn) -> tuple[list[str], str]:
    """Output made of what is hidden, of parts of it, and of other things."""
    secrets = draw(st.lists(VALUES, max_size=4))
    hidden = st.sampled_from(OneByOne(secrets).lines or [""])
    parts = st.builds(
        lambda line, begin, end: line[begin : len(line) - end], hidden, st.integers(0, 9), st.integers(0, 9)
    )
    other = st.one_of(OVERLAPPING, st.text("ab* é", max_size=20), st.text(max_size=9))
    return secrets, "".join(draw(st.lists(st.one_of(hidden, parts, other), max_size=12)))


@given(secrets_and_output())
@example(
    (["correct-horse", "battery", "cassette", "magazine", "a***staple"], "acorrect-horsestaple")
)  # one comes to be by the other's mask
@settings(max_examples=500)
def test_what_is_hidden_is_what_line_by_line_would_hide(case: tuple[list[str], str]) -> None:
    secrets, text = case
    mask, slow = Mask(secrets), OneByOne(secrets)
    data = text.encode(errors="surrogatepass")

    assert mask.bytes_max == slow.bytes_max
    assert mask.text(text) == slow.text(text)
    assert mask.data(data) == slow.data(data)
    assert [mask.cut(data[:size]) for size in (len(data), len(data) // 2)] == [
        slow.cut(data[:size]) for size in (len(data), len(data) // 2)
    ]


@given(secrets=st.lists(st.binary(max_size=40), max_size=3), data=st.binary(max_size=200))
def test_output_that_is_no_text_is_masked_the_same(secrets: list[bytes], data: bytes) -> None:
    values = [secret.decode(errors="ignore") for secret in secrets]
    output = data.join(secrets) if secrets else data

    assert Mask(values).data(output) == OneByOne(values).data(output)
    assert Mask(values).cut(output) == OneByOne(values).cut(output)


def test_a_line_without_a_secret_costs_the_same_however_many_there_are() -> None:
    def calls(mask: Mask) -> int:
        profile = cProfile.Profile()
        profile.runcall(mask.data, b"collecting dependencies of the shop, 17 of 300 " * 40)
        return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]  # typeshed leaves it out

    some, many = (Mask(f"{number:06d}-correct-horse-battery" for number in range(count)) for count in (20, 500))

    assert calls(many) == calls(some)


@given(secret=SECRETS, before=AROUND, after=AROUND, url_safe=st.booleans())
def test_base64_of_what_holds_a_secret_gives_nothing_of_it_away(
    secret: str, before: bytes, after: bytes, url_safe: bool
) -> None:
    encode = base64.urlsafe_b64encode if url_safe else base64.b64encode
    text = encode(before + secret.encode() + after).decode()

    hidden = Mask([secret]).text(text)

    assert MASK in hidden
    assert len(hidden) - len(MASK) <= len(base64.b64encode(before + after)) + 8


@given(secret=SECRETS)
def test_addresses_and_json_hide_it_too(secret: str) -> None:
    mask = Mask([secret])

    for text in (
        f"https://host/?{urlencode({'token': secret})}&x=1",
        f"https://host/{quote(secret, safe='')}",
        f"https://host/{quote(secret)}",
        quote_plus(secret),
        json.dumps({"token": secret}),
        json.dumps({"token": secret}, ensure_ascii=False),
    ):
        assert MASK in mask.text(text)
        assert mask.data(text.encode()).decode() == mask.text(text)


def test_an_authorization_header_of_a_user_and_a_password_is_hidden() -> None:
    header = "Authorization: Basic " + base64.b64encode(b"deploy:correct-horse-battery").decode()

    hidden = Mask(["correct-horse-battery"]).text(header)

    assert hidden.startswith("Authorization: Basic ZGVwbG95")
    assert hidden.count(MASK) == 1


def test_a_key_of_several_lines_is_hidden_as_one_line_of_base64() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----\n"

    hidden = Mask([key]).text(base64.b64encode(key.encode()).decode())

    assert hidden.replace(MASK, "") in {"", "Cg==", "g=", "o=", "=", "=="}


@pytest.mark.parametrize("secret", ["", "  ", "ab", "12345"])
def test_short_values_have_no_other_forms(secret: str) -> None:
    text = base64.b64encode(b"..ab...12345..").decode()

    assert Mask([secret]).text(text) == text


@pytest.mark.parametrize("value", ["s3cret-value ", "\ts3cret-value", "s3cret-value \n"])
def test_blanks_around_a_value_need_not_be_printed_with_it(value: str) -> None:
    mask = Mask([value])

    assert mask.text("echo s3cret-value") == f"echo {MASK}"
    assert mask.text(quote("s3cret-value")) == MASK
    assert MASK in mask.text(base64.b64encode(b"s3cret-value\n").decode())


def test_blanks_within_a_value_may_be_printed_as_one() -> None:
    assert Mask(["correct  horse\tbattery"]).text("correct horse battery") == MASK


@pytest.mark.parametrize("columns", [76, 64])
@given(secret=st.text(st.characters(codec="ascii", categories=("L", "N", "P")), min_size=58, max_size=400))
@settings(max_examples=30)
def test_base64_in_lines_hides_a_long_value(columns: int, secret: str) -> None:
    mask = Mask([secret])

    for before in (b"", b"x", b"xy"):
        text = base64.b64encode(before + secret.encode() + b"\n").decode()
        left = [mask.text(text[place : place + columns]) for place in range(0, len(text), columns)]

        # A last line of fewer digits than a form has, with two that are also of what stands around the value.
        assert [line for line in left if len(line.replace(MASK, "").rstrip("=")) >= FORM_CHARS_MIN + 2] == []


def test_base64_as_the_command_prints_it_hides_a_long_value() -> None:
    if (command := which("base64")) is None:
        pytest.skip("there is no base64 command")
    secret = "".join(f"{number:03d}-" for number in range(105))
    printed = subprocess.run([command], input=secret.encode(), stdout=subprocess.PIPE, check=True).stdout.decode()

    hidden = Mask([secret]).text(printed)

    assert len(printed.splitlines()) > 1
    assert set(hidden.splitlines()) == {MASK}
