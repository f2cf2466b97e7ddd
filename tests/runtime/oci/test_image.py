"""Images as values: the same content is the same bytes, and what an archive holds is what was put in."""

import gzip
import hashlib
import io
import json
import os
import resource
import tarfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.judge import cases

from forge_runtime.oci.image import (
    EMPTY,
    LAYER_TAR_GZIP_TYPE,
    MANIFEST_BYTES_MAX,
    Artifact,
    BadImage,
    Descriptor,
    Packed,
    blob_of,
    decode_index,
    decode_manifest,
    file_blob,
    hash_of,
    json_blob,
    tar_gzip,
)

CONFIG = json_blob("application/vnd.example.config.v1+json", {"b": 1, "a": "ä"})

names = st.from_regex(r"[a-z]{1,3}(/[a-z]{1,3}){0,2}", fullmatch=True).filter(lambda name: len(name) < 12)
contents = st.dictionaries(names, st.binary(max_size=300), max_size=8).filter(
    lambda files: not any(other.startswith(f"{name}/") for name in files for other in files)
)


@settings(max_examples=cases(30, full=300), deadline=None)
@given(contents, st.randoms(use_true_random=False))
def test_equal_files_in_any_order_are_equal_bytes_and_are_unpacked_as_they_were(
    files: dict[str, bytes], random: Random
) -> None:
    packed = [Packed(name=name, content=content) for name, content in files.items()]
    shuffled = random.sample(packed, len(packed))

    data = tar_gzip(packed)

    assert tar_gzip(shuffled) == data
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(data))) as tar:
        members = tar.getmembers()
        assert [member.name for member in members] == sorted(files)
        assert {member.name: tar.extractfile(member).read() for member in members} == files  # type: ignore[union-attr]
        assert {(member.mtime, member.uid, member.gid, member.uname, member.gname) for member in members} <= {
            (0, 0, 0, "", "")
        }


def test_time_and_owner_and_place_of_files_are_no_part_of_an_archive(tmp_path: Path) -> None:
    archives = []
    for folder, moment in (("one", 1_000_000), ("other", 2_000_000)):
        path = tmp_path / folder / "run.sh"
        path.parent.mkdir()
        path.write_bytes(b"echo\n" * 1000)
        os.utime(path, (moment, moment))
        archives.append(tar_gzip([Packed(name="bin/run", content=path, executable=True)]))

    assert archives[0] == archives[1]
    with tarfile.open(fileobj=io.BytesIO(archives[0]), mode="r:gz") as tar:
        assert tar.getmember("bin/run").mode == 0o755
    assert archives[0][3:10] == b"\x00\x00\x00\x00\x00\x02\xff", "no name, no time, no system"


def test_names_of_any_length_and_letters_fit(tmp_path: Path) -> None:
    name = "/".join(["ä" * 60] * 5)

    with tarfile.open(fileobj=io.BytesIO(tar_gzip([Packed(name=name, content=b"x")])), mode="r:gz") as tar:
        assert tar.getnames() == [name]


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a/", "a\0b", "a\\b"])
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(BadImage, match="not the name of a file"):
        tar_gzip([Packed(name=name, content=b"")])


@pytest.mark.parametrize("other", ["a/b", "a/b/c"])
def test_a_name_is_there_once_and_no_file_is_a_directory(other: str) -> None:
    with pytest.raises(BadImage, match="twice, or below a file"):
        tar_gzip([Packed(name="a/b", content=b""), Packed(name=other, content=b"")])


def test_links_and_pipes_are_not_packed_and_hold_nobody_up(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cr3t")
    (tmp_path / "link").symlink_to("secret")
    os.mkfifo(tmp_path / "pipe")

    for name in ("link", "pipe", "missing"):
        with pytest.raises(BadImage, match=name):
            tar_gzip([Packed(name=name, content=tmp_path / name)])
        with pytest.raises(BadImage, match=name):
            file_blob(LAYER_TAR_GZIP_TYPE, tmp_path / name)


def test_what_the_machine_lacks_is_not_the_files_fault(tmp_path: Path) -> None:
    (tmp_path / "layer").write_text("x")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))

    try:
        with pytest.raises(OSError, match="Too many open files"):
            tar_gzip([Packed(name="layer", content=tmp_path / "layer")])
        with pytest.raises(OSError, match="Too many open files"):
            file_blob(LAYER_TAR_GZIP_TYPE, tmp_path / "layer")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_blob_of_a_file_is_the_blob_of_its_content(tmp_path: Path) -> None:
    path = tmp_path / "layer"
    path.write_bytes(b"x" * 3_000_000)

    assert file_blob(LAYER_TAR_GZIP_TYPE, path).descriptor == blob_of(LAYER_TAR_GZIP_TYPE, b"x" * 3_000_000).descriptor


def test_a_document_is_canonical_json() -> None:
    assert CONFIG.content == '{"a":"ä","b":1}'.encode()


def test_a_manifest_says_what_the_image_specification_wants() -> None:
    layer = blob_of(LAYER_TAR_GZIP_TYPE, b"layer", {"org.example": "yes"})
    subject = Descriptor(
        media_type="a/b", digest="sha256:" + "0" * 64, size=7, artifact_type="x/y", annotations={"a": "b"}
    )
    artifact = Artifact(
        artifact_type="application/vnd.example.v1",
        config=CONFIG,
        layers=(layer,),
        annotations={"org.opencontainers.image.title": "t"},
        subject=subject,
    )

    document = json.loads(artifact.encoded())

    assert document == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.example.v1",
        "config": {
            "mediaType": "application/vnd.example.config.v1+json",
            "digest": "sha256:" + hashlib.sha256('{"a":"ä","b":1}'.encode()).hexdigest(),
            "size": 16,
        },
        "layers": [
            {
                "mediaType": LAYER_TAR_GZIP_TYPE,
                "digest": "sha256:" + hashlib.sha256(b"layer").hexdigest(),
                "size": 5,
                "annotations": {"org.example": "yes"},
            }
        ],
        "subject": {"mediaType": "a/b", "digest": "sha256:" + "0" * 64, "size": 7},
        "annotations": {"org.opencontainers.image.title": "t"},
    }
    assert decode_manifest(artifact.encoded()) == artifact.manifest()
    assert artifact.descriptor().digest == "sha256:" + hashlib.sha256(artifact.encoded()).hexdigest()


def test_an_artifact_without_content_has_the_empty_blob_and_must_have_a_type() -> None:
    artifact = Artifact(artifact_type="application/vnd.example.v1")

    assert artifact.blobs == (EMPTY,)
    assert artifact.manifest().layers == (EMPTY.descriptor,)
    with pytest.raises(BadImage, match="own type"):
        Artifact().manifest()


def test_a_manifest_beyond_the_limit_is_refused_on_either_side() -> None:
    artifact = Artifact(config=CONFIG, annotations={"a": "x" * MANIFEST_BYTES_MAX})

    with pytest.raises(BadImage, match="the limit is"):
        artifact.encoded()
    with pytest.raises(BadImage, match="the limit is"):
        decode_manifest(b" " * (MANIFEST_BYTES_MAX + 1))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"schemaVersion":1,"config":{"mediaType":"a/b","digest":"sha256:a","size":1},"layers":[]}',
        b'{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"../../etc","size":1},"layers":[]}',
        b'{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"sha256:a","size":-1},"layers":[]}',
        b'{"schemaVersion":2,"config":{"mediaType":"a\\nb","digest":"sha256:a","size":1},"layers":[]}',
    ],
)
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(BadImage):
        decode_manifest(data)


def test_what_others_write_into_a_list_of_manifests_is_kept() -> None:
    data = (
        b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"a/b",'
        b'"digest":"sha256:aa","size":1,"artifactType":"x/y","annotations":{"k":"v"},"data":"e30=",'
        b'"platform":{"os":"linux"},"urls":["https://example.org"]}]}'
    )

    (found,) = decode_index(data).manifests

    assert (found.artifact_type, found.annotations, found.data, found.platform, found.urls) == (
        "x/y",
        {"k": "v"},
        "e30=",
        {"os": "linux"},
        ("https://example.org",),
    )


def test_digests_of_both_registered_algorithms_can_be_verified_and_no_others() -> None:
    assert hash_of("sha512:" + "a" * 128).name == "sha512"
    for digest in ("md5:" + "a" * 32, "sha256:" + "a" * 63, "sha256:" + "A" * 64):
        with pytest.raises(BadImage, match="verified"):
            hash_of(digest)
