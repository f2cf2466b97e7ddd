"""Signatures: what was signed verifies, and nothing else does; OpenSSL and skopeo say the same."""

import base64
import binascii
import json
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import assume, given
from hypothesis import strategies as st

from forge_runtime.oci.image import blob_of
from forge_runtime.oci.reference import parse_reference
from forge_runtime.supply.sign import (
    ENVELOPE_BYTES_MAX,
    SIGNATURE_ANNOTATION,
    KeySigner,
    NotSigned,
    SigningFailed,
    Verifier,
    pre_authentication,
    sign_envelope,
    sign_image,
    signature_reference,
    verify_envelope,
    verify_image,
)

STATEMENT = "application/vnd.in-toto+json"
SIGNER = KeySigner(ec.generate_private_key(ec.SECP256R1()))
OTHER = KeySigner(ec.generate_private_key(ec.SECP256R1()))
IMAGE = parse_reference("registry.example/acme/shop@sha256:" + "a" * 64)


def pem(key: ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def content_of(text: str) -> bytes | None:
    """The last letter has bits that base64 does not count: another text may be the same content."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None


@given(st.text(max_size=40), st.binary(max_size=2000))
def test_what_was_signed_comes_out_of_its_envelope(kind: str, payload: bytes) -> None:
    envelope = sign_envelope(kind, payload, SIGNER)

    assert verify_envelope(envelope, kind, SIGNER.verifier) == payload
    assert sign_envelope(kind, payload, SIGNER) == envelope, "signing again changes nothing"


@given(st.data())
def test_no_byte_of_payload_type_or_signature_can_be_changed(data: st.DataObject) -> None:
    document = json.loads(sign_envelope(STATEMENT, b'{"subject":[]}', SIGNER))
    part = data.draw(st.sampled_from(["payload", "payloadType", "sig"]))
    text = document["signatures"][0]["sig"] if part == "sig" else document[part]
    place = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from("ABCabc+/012").filter(lambda letter: letter != text[place]))
    changed = text[:place] + letter + text[place + 1 :]
    assume(part == "payloadType" or content_of(changed) != content_of(text))
    if part == "sig":
        document["signatures"][0]["sig"] = changed
    else:
        document[part] = changed

    with pytest.raises(NotSigned):
        verify_envelope(json.dumps(document).encode(), document["payloadType"], SIGNER.verifier)


def test_a_statement_of_another_type_is_none_of_this_one() -> None:
    envelope = sign_envelope("application/other", b"{}", SIGNER)

    with pytest.raises(NotSigned, match="holds"):
        verify_envelope(envelope, STATEMENT, SIGNER.verifier)


def test_one_key_does_not_verify_what_another_signed() -> None:
    envelope = sign_envelope(STATEMENT, b"{}", OTHER)

    with pytest.raises(NotSigned, match="no signature of key"):
        verify_envelope(envelope, STATEMENT, SIGNER.verifier)


def test_one_of_several_signatures_is_enough() -> None:
    one, other = (json.loads(sign_envelope(STATEMENT, b"{}", signer)) for signer in (OTHER, SIGNER))
    one["signatures"] += other["signatures"]

    assert verify_envelope(json.dumps(one).encode(), STATEMENT, SIGNER.verifier) == b"{}"


@pytest.mark.parametrize(
    "envelope",
    [
        b"",
        b"null",
        b"[" * 100_000,
        b'{"payloadType":"a","payload":"!","signatures":[]}',
        b'{"payloadType":"a","payload":"e30=","signatures":[{"sig":"%"}]}',
        b'{"payloadType":"a","payload":"e30=","signatures":[]}',
        b'{"payloadType":"a","payload":"e30=","signatures":[{"sig":""}]}',
        b'{"payloadType":1,"payload":"e30=","signatures":[{"sig":""}]}',
        b" " * (ENVELOPE_BYTES_MAX + 1),
    ],
)
def test_what_is_no_envelope_is_not_signed(envelope: bytes) -> None:
    with pytest.raises(NotSigned):
        verify_envelope(envelope, STATEMENT, SIGNER.verifier)


def test_what_is_signed_is_what_the_specification_of_dsse_says() -> None:
    assert pre_authentication("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_a_key_is_read_from_pem_with_and_without_a_password() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    old = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())

    plain = KeySigner.of_pem(pem(key))

    assert KeySigner.of_pem(pem(key, b"secret"), b"secret").key_id == plain.key_id
    assert KeySigner.of_pem(old).key_id == plain.key_id
    assert Verifier.of_pem(plain.verifier.pem()).key_id == plain.key_id


@pytest.mark.parametrize(
    ("data", "password"),
    [
        (b"", None),
        (b"-----BEGIN PRIVATE KEY-----\ns3cr3t\n-----END PRIVATE KEY-----", None),
        (pem(ec.generate_private_key(ec.SECP256R1()), b"secret"), None),
        (pem(ec.generate_private_key(ec.SECP256R1()), b"secret"), b"wrong"),
        (pem(ec.generate_private_key(ec.SECP384R1())), None),
        (pem(rsa.generate_private_key(65537, 2048)), None),  # type: ignore[arg-type]
        (pem(ed25519.Ed25519PrivateKey.generate()), None),  # type: ignore[arg-type]
        (SIGNER.verifier.pem(), None),
    ],
    ids=["nothing", "garbage", "encrypted", "wrong password", "P-384", "RSA", "Ed25519", "a public key"],
)
def test_what_is_no_key_of_ours_is_refused_without_being_shown(data: bytes, password: bytes | None) -> None:
    with pytest.raises(SigningFailed, match="the signing key") as failed:
        KeySigner.of_pem(data, password)

    assert "s3cr3t" not in str(failed.value)
    assert failed.value.__context__ is None, "the library's own error is not kept"


def test_openssl_verifies_our_signature(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(SIGNER.verifier.pem())
    (tmp_path / "data").write_bytes(b"hello")
    (tmp_path / "signature").write_bytes(SIGNER.sign(b"hello"))
    command = ["openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", "data"]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)

    assert done.stdout.strip() == "Verified OK", done.stderr


def test_an_image_is_signed_beside_itself_and_again_with_the_same_bytes() -> None:
    artifact = sign_image(IMAGE, SIGNER)
    (layer,) = artifact.layers

    verify_image(IMAGE, layer, SIGNER.verifier)

    assert str(signature_reference(IMAGE)) == f"registry.example/acme/shop:sha256-{'a' * 64}.sig"
    assert sign_image(IMAGE, SIGNER, others=(layer,)).encoded() == artifact.encoded()


def test_signatures_of_others_stay() -> None:
    theirs = sign_image(IMAGE, OTHER).layers

    artifact = sign_image(IMAGE, SIGNER, others=theirs)

    assert artifact.layers[:1] == theirs
    verify_image(IMAGE, artifact.layers[1], SIGNER.verifier)


def test_a_signature_on_another_image_or_of_another_key_or_on_nothing_is_none() -> None:
    (layer,) = sign_image(IMAGE, SIGNER).layers
    annotation = layer.descriptor.annotations[SIGNATURE_ANNOTATION]

    with pytest.raises(NotSigned, match="another image"):
        verify_image(IMAGE.at("sha256:" + "b" * 64), layer, SIGNER.verifier)
    with pytest.raises(NotSigned, match="not of key"):
        verify_image(IMAGE, layer, OTHER.verifier)
    for content in (b"", b"[]", b"{}", b'{"critical":[]}', b'{"critical":{"image":{}}}'):
        with pytest.raises(NotSigned, match="not the payload"):
            verify_image(IMAGE, blob_of("a/b", content, {SIGNATURE_ANNOTATION: annotation}), SIGNER.verifier)
    with pytest.raises(NotSigned, match=r"not the payload|not of key"):
        verify_image(IMAGE, blob_of("a/b", layer.content), SIGNER.verifier)  # type: ignore[arg-type]
