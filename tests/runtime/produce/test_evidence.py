"""What is put beside an image in a registry, where others may have put something too."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from tests.registry_server import serving
from tests.runtime.oci.clients import PASSWORD, opened

from forge_api.registry.app import create_registry
from forge_runtime.oci.image import Artifact, blob_of, json_blob
from forge_runtime.oci.reference import parse_reference
from forge_runtime.produce.evidence import sign_there
from forge_runtime.supply.sign import (
    IMAGE_CONFIG_TYPE,
    SIGNATURE_BYTES_MAX,
    SIMPLE_SIGNING_TYPE,
    KeySigner,
    sign_image,
    signature_reference,
)

OURS = KeySigner(ec.generate_private_key(ec.SECP256R1()))
THEIRS = KeySigner(ec.generate_private_key(ec.SECP256R1()))


async def test_signatures_of_others_stay_and_what_is_too_large_for_one_goes(tmp_path: Path) -> None:
    with serving(create_registry(tmp_path, PASSWORD)) as host:
        async with opened(host) as it:
            image = parse_reference(f"{host}/acme/shop@sha256:" + "a" * 64)
            large = blob_of(SIMPLE_SIGNING_TYPE, bytes(SIGNATURE_BYTES_MAX + 1))
            [theirs] = sign_image(image, THEIRS).layers
            found = Artifact(config=json_blob(IMAGE_CONFIG_TYPE, {}), layers=(large, theirs))
            await it.client.push(signature_reference(image), found)

            await sign_there(it.client, image, OURS)

            manifest = await it.client.get_manifest(signature_reference(image))

    [ours] = sign_image(image, OURS).layers
    assert manifest is not None
    assert manifest.layers == (theirs.descriptor, ours.descriptor)
