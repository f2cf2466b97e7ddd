"""Images that were saved: OCI layouts and Docker's archives, and what only looks like one."""

import gzip
import hashlib
import json
import shutil
import subprocess
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.judge import Judged, version_of
from tests.runtime.produce.hostile import tar_of
from tests.runtime.publish.things import image_layout

from forge_runtime.produce.image import read_image
from forge_runtime.produce.product import Container, ProducerFailed, outputs_of
from forge_runtime.thread import Stopped

GO_ON = threading.Event()
LAYERS = {"one": b"first layer", "two": b"second layer"}


def packed(folder: Path, into: Path) -> Path:
    with tarfile.open(into, "w") as tar:
        tar.add(folder, arcname=".")
    return into


def rewritten(layout: Path, change: "dict[str, Any]") -> Path:
    index = json.loads((layout / "index.json").read_text())
    index["manifests"][0] |= change
    (layout / "index.json").write_text(json.dumps(index))
    return layout


@pytest.mark.parametrize("platforms", [1, 2])
@pytest.mark.parametrize("form", ["directory", "tar"])
def test_a_layout_is_read_as_it_is(tmp_path: Path, form: str, platforms: int) -> None:
    expected = image_layout(tmp_path / "layout", LAYERS, platforms=platforms)
    saved = expected.path if form == "directory" else packed(expected.path, tmp_path / "image.tar")

    found = read_image(saved, tmp_path / "read", GO_ON)

    assert outputs_of(found) == outputs_of(expected)
    assert (found.path / "index.json").is_file()


def test_an_image_tells_its_name_if_it_has_one(tmp_path: Path) -> None:
    layout = image_layout(tmp_path / "layout", LAYERS).path
    rewritten(layout, {"annotations": {"org.opencontainers.image.ref.name": "shop/quote:v1"}})

    assert read_image(layout, tmp_path / "read", GO_ON).image_ref == "shop/quote:v1"


def docker_archive(folder: Path, layers: dict[str, bytes]) -> Path:
    config = json.dumps({"os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": ["shop/quote:v1"], "Layers": [f"{each}/layer.tar" for each in layers]}]
    files = {name: config, "manifest.json": json.dumps(manifest).encode()}
    return tar_of(folder / "saved.tar", files | {f"{each}/layer.tar": data for each, data in layers.items()}, "w")


def test_a_docker_archive_becomes_a_layout_that_is_the_same_each_time(tmp_path: Path) -> None:
    saved = docker_archive(tmp_path, LAYERS)

    one = read_image(saved, tmp_path / "one", GO_ON)
    other = read_image(saved, tmp_path / "other", GO_ON)

    assert outputs_of(one) == outputs_of(other)
    assert (one.image_ref, one.layers) == ("shop/quote:v1", 2)
    manifest = json.loads((one.path / "blobs" / "sha256" / one.digest.removeprefix("sha256:")).read_text())
    layer = one.path / "blobs" / "sha256" / manifest["layers"][0]["digest"].removeprefix("sha256:")
    assert gzip.decompress(layer.read_bytes()) == b"first layer"


def test_skopeo_reads_the_layout_of_a_docker_archive(tmp_path: Path, judged: Judged) -> None:
    if shutil.which("skopeo") is None:
        judged.absent("skopeo", "it is not installed")
    image = read_image(docker_archive(tmp_path, LAYERS), tmp_path / "read", GO_ON)

    shown = subprocess.run(
        ["skopeo", "inspect", "--raw", f"oci:{image.path}"], capture_output=True, check=True, timeout=30
    )

    assert f"sha256:{hashlib.sha256(shown.stdout).hexdigest()}" == image.digest
    judged("skopeo", version_of("skopeo", "--version"), "layouts inspected", 1)


def lacks_a_blob(folder: Path) -> Path:
    image = image_layout(folder / "layout", LAYERS)
    (image.path / "blobs" / "sha256" / hashlib.sha256(b"first layer").hexdigest()).unlink()
    return image.path


def holds_something_else(folder: Path) -> Path:
    image = image_layout(folder / "layout", LAYERS)
    (image.path / "blobs" / "sha256" / hashlib.sha256(b"first layer").hexdigest()).write_bytes(b"first liar!")
    return image.path


def blob_that_is_a_link(folder: Path) -> Path:
    image = image_layout(folder / "layout", LAYERS)
    blob = image.path / "blobs" / "sha256" / hashlib.sha256(b"first layer").hexdigest()
    blob.rename(folder / "outside")
    blob.symlink_to(folder / "outside")
    return image.path


def two_images(folder: Path) -> Path:
    layout = image_layout(folder / "layout", LAYERS).path
    index = json.loads((layout / "index.json").read_text())
    index["manifests"] *= 2
    (layout / "index.json").write_text(json.dumps(index))
    return layout


def digest_that_climbs(folder: Path) -> Path:
    return rewritten(image_layout(folder / "layout", LAYERS).path, {"digest": "sha256:../../../../etc/passwd"})


def another_size(folder: Path) -> Path:
    return rewritten(image_layout(folder / "layout", LAYERS).path, {"size": 3})


def another_type(folder: Path) -> Path:
    return rewritten(image_layout(folder / "layout", LAYERS).path, {"mediaType": "text/html"})


def no_json(folder: Path) -> Path:
    (folder / "layout").mkdir()
    (folder / "layout" / "index.json").write_text("{" * 100_000)
    return folder / "layout"


def nothing(folder: Path) -> Path:
    return tar_of(folder / "saved.tar", {"readme": b"hello"})


def docker_without_its_layer(folder: Path) -> Path:
    manifest = [{"Config": "c.json", "RepoTags": None, "Layers": ["../../etc/passwd"]}]
    return tar_of(folder / "saved.tar", {"manifest.json": json.dumps(manifest).encode(), "c.json": b"{}"})


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lacks_a_blob, "lacks sha256:"),
        (holds_something_else, "holds something else"),
        (blob_that_is_a_link, "lacks sha256:"),
        (two_images, "2 images where one"),
        (digest_that_climbs, "image is none"),
        (another_size, "holds something else"),
        (another_type, "unknown type text/html"),
        (no_json, "not an image index"),
        (nothing, "neither index.json nor manifest.json"),
        (docker_without_its_layer, "lacks"),
    ],
)
def test_what_is_no_image_is_refused(tmp_path: Path, make: Any, reason: str) -> None:
    with pytest.raises(ProducerFailed, match=reason):
        read_image(make(tmp_path), tmp_path / "read", GO_ON)


def test_an_index_within_itself_ends(tmp_path: Path) -> None:
    image: Container = image_layout(tmp_path / "layout", LAYERS, platforms=2)
    index = json.loads((image.path / "index.json").read_text())
    deep = json.loads((image.path / "blobs" / "sha256" / image.digest.removeprefix("sha256:")).read_text())
    for _ in range(70):
        data = json.dumps(deep).encode()
        digest = hashlib.sha256(data).hexdigest()
        (image.path / "blobs" / "sha256" / digest).write_bytes(data)
        top = {
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "digest": f"sha256:{digest}",
            "size": len(data),
        }
        deep = {"schemaVersion": 2, "manifests": [top]}
    (image.path / "index.json").write_text(json.dumps({**index, "manifests": [top]}))

    with pytest.raises(ProducerFailed, match="more than 64 manifests"):
        read_image(image.path, tmp_path / "read", GO_ON)


def test_reading_ends_when_the_job_is_stopped(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()

    with pytest.raises(Stopped):
        read_image(image_layout(tmp_path / "layout", LAYERS).path, tmp_path / "read", stop)
