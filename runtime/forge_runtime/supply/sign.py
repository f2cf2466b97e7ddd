"""Signatures by key: statements in DSSE envelopes, and images the way that cosign 2 finds them.

    envelope    {payloadType, payload, signatures: [{keyid, sig}]}    the signature is over PAE(type, payload)
    image       tag sha256-<hex>.sig beside the image: a payload that names its digest, the signature an annotation

Keys are ECDSA on P-256. Signatures are deterministic (RFC 6979): signing again gives the same bytes, so a push that is
repeated finds them there. Keyless signing, by certificates of a public authority, is another `Signer` and not built.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from msgspec import Struct

from forge_runtime.oci.image import Artifact, Blob, blob_of, json_blob
from forge_runtime.oci.reference import Reference
from forgec.plan.digest import canonical_json

ENVELOPE_MEDIA_TYPE: Final = "application/vnd.dsse.envelope.v1+json"
SIMPLE_SIGNING_TYPE: Final = "application/vnd.dev.cosign.simplesigning.v1+json"
IMAGE_CONFIG_TYPE: Final = "application/vnd.oci.image.config.v1+json"
SIGNATURE_ANNOTATION: Final = "dev.cosignproject.cosign/signature"

ENVELOPE_BYTES_MAX: Final = 4 * 1024 * 1024
SIGNATURES_MAX: Final = 16
SIGNATURE_BYTES_MAX: Final = 64 * 1024
"""Of what an image's signature signs: ours has about 300 bytes; other tools add notes of their users."""

_ECDSA: Final = ec.ECDSA(SHA256(), deterministic_signing=True)


class SigningFailed(Exception):
    """The key cannot be used (SIGNING_FAILED); the message says nothing of what is in it."""


class NotSigned(Exception):
    """No signature of the key that was asked for is on it, or it is not what was signed."""


class Signer(Protocol):
    """Who signs. Keys elsewhere (a key service, a certificate for a moment) are other signers."""

    @property
    def key_id(self) -> str:
        """Names the key that verifies: the SHA-256 of its public half, in hex."""
        ...

    def sign(self, data: bytes) -> bytes:
        """Raises SigningFailed."""
        ...


class Verifier:
    """A public key."""

    def __init__(self, key: ec.EllipticCurvePublicKey) -> None:
        self._key = key
        self.key_id = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()

    @staticmethod
    def of_pem(pem: bytes) -> "Verifier":
        """Raises SigningFailed where it is no public key on P-256."""
        try:
            key = load_pem_public_key(pem)
        except Exception:  # the library names many causes; all of them are "not such a key"
            key = None
        return Verifier(_checked(key, ec.EllipticCurvePublicKey, "the public key"))

    def pem(self) -> bytes:
        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def verifies(self, data: bytes, signature: bytes) -> bool:
        try:
            self._key.verify(signature, data, ec.ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True


class KeySigner:
    """A private key that we hold ourselves."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        self.verifier = Verifier(key.public_key())

    @staticmethod
    def of_pem(pem: bytes, password: bytes | None = None) -> "KeySigner":
        """A PEM file's or a secret's content: PKCS 8, encrypted or not, or SEC 1. Raises SigningFailed."""
        try:
            key = load_pem_private_key(pem, password)
        except Exception:  # as above; and what it says may quote the key
            key = None
        return KeySigner(_checked(key, ec.EllipticCurvePrivateKey, "the signing key"))

    @property
    def key_id(self) -> str:
        return self.verifier.key_id

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data, _ECDSA)


def new_key_pem() -> bytes:
    """A new private key, as PKCS 8 without a password: for a file that only its owner may read."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _checked(key: Any, kind: type[Any], what: str) -> Any:
    if not isinstance(key, kind):
        raise SigningFailed(f"{what} is not an elliptic-curve key in PEM, or its password is another")
    if not isinstance(key.curve, ec.SECP256R1):
        raise SigningFailed(f"{what} is on the curve {key.curve.name}; P-256 is needed")
    return key


# Envelopes


class _Signature(Struct, frozen=True, omit_defaults=True):
    sig: str
    keyid: str = ""


class _Envelope(Struct, frozen=True, rename="camel"):
    payload_type: str
    payload: str
    signatures: tuple[_Signature, ...]


def sign_envelope(payload_type: str, payload: bytes, signer: Signer) -> bytes:
    """The DSSE envelope, as canonical JSON. Raises SigningFailed."""
    signature = signer.sign(pre_authentication(payload_type, payload))
    return canonical_json(
        _Envelope(
            payload_type=payload_type,
            payload=base64.b64encode(payload).decode(),
            signatures=(_Signature(sig=base64.b64encode(signature).decode(), keyid=signer.key_id),),
        )
    )


def verify_envelope(data: bytes, payload_type: str, verifier: Verifier) -> bytes:
    """The payload, if it has this type and one of the signatures is this key's. Raises NotSigned."""
    if len(data) > ENVELOPE_BYTES_MAX:
        raise NotSigned(f"an envelope of {len(data)} bytes, the limit is {ENVELOPE_BYTES_MAX}")
    try:
        envelope = msgspec.json.decode(data, type=_Envelope)
        payload = _unbase64(envelope.payload)
        signatures = [_unbase64(one.sig) for one in envelope.signatures[:SIGNATURES_MAX]]
    except (msgspec.MsgspecError, RecursionError, binascii.Error, ValueError):
        raise NotSigned("this is not a DSSE envelope") from None
    # The type is signed as well: a signature on a statement of one kind is none on another.
    signed = pre_authentication(envelope.payload_type, payload)
    if not any(verifier.verifies(signed, signature) for signature in signatures):
        raise NotSigned(f"no signature of key {verifier.key_id[:16]} is on this envelope")
    if envelope.payload_type != payload_type:
        raise NotSigned(f'the envelope holds "{envelope.payload_type[:100]}", not {payload_type}')
    return payload


def pre_authentication(payload_type: str, payload: bytes) -> bytes:
    """What is signed: type and payload with their lengths, so that neither can be taken for part of the other."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _unbase64(text: str) -> bytes:
    """Standard or URL-safe alphabet, as the specification of DSSE allows."""
    return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)


# Images, as cosign 2 has them


def signature_reference(image: Reference) -> Reference:
    """Where signatures of an image lie: the image is named by its digest."""
    assert image.digest is not None, "a signature is on a digest"
    return image.tagged(image.digest.replace(":", "-", 1) + ".sig")


def sign_image(image: Reference, signer: Signer, others: tuple[Blob, ...] = ()) -> Artifact:
    """What is pushed to `signature_reference`; `others` are signatures that are there already, and stay.

    Raises SigningFailed.
    """
    payload = canonical_json(
        {
            "critical": {
                "identity": {"docker-reference": image.name},
                "image": {"docker-manifest-digest": image.digest},
                "type": "cosign container image signature",
            },
            "optional": None,
        }
    )
    signature = base64.b64encode(signer.sign(payload)).decode()
    ours = blob_of(SIMPLE_SIGNING_TYPE, payload, {SIGNATURE_ANNOTATION: signature})
    layers = (*(other for other in others if other.descriptor != ours.descriptor), ours)
    config: Mapping[str, Any] = {
        "architecture": "",
        "os": "",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer.descriptor.digest for layer in layers]},
    }
    return Artifact(config=json_blob(IMAGE_CONFIG_TYPE, config), layers=layers)


def verify_image(image: Reference, signature: Blob, verifier: Verifier) -> None:
    """Whether a layer found at `signature_reference` is this key's word for this image. Raises NotSigned."""
    content = signature.content
    assert isinstance(content, bytes), "a payload is small"
    try:
        given = _unbase64(signature.descriptor.annotations.get(SIGNATURE_ANNOTATION, ""))
        named = msgspec.json.decode(content)["critical"]["image"]["docker-manifest-digest"]
    except (msgspec.MsgspecError, RecursionError, binascii.Error, ValueError, LookupError, TypeError):
        raise NotSigned(f"{image}: this is not the payload of a signature") from None
    if not verifier.verifies(content, given):
        raise NotSigned(f"{image}: the signature is not of key {verifier.key_id[:16]}")
    if named != image.digest:
        raise NotSigned(f"{image}: the signature is for another image")
