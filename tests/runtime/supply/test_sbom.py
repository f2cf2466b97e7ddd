"""Bills of materials, of the real syft where it is installed, and of programs that behave as it might."""

import gzip
import hashlib
import io
import json
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
from tests.judge import Judged, version_of

from forge_runtime.supply.sbom import NoBill, Scanned, find_syft, scan

SYFT_LIMIT_S = 100.0
"""It takes a second; a machine that does ten things at once is given time."""


@pytest.fixture
def tree(tmp_path: Path) -> Scanned:
    """A project with a dependency, a configuration of syft that is not ours, and a link to what is not of it."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "requirements.txt").write_text("msgspec==0.20.0\n")
    (project / ".syft.yaml").write_text("output: [template]\ntemplate: {path: /etc/passwd}\n")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "requirements.txt").write_text("stolen==6.6.6\n")
    (project / "link").symlink_to(outside)
    return Scanned(kind="dir", path=project, name="acme/shop/web", version="c" * 40)


@pytest.fixture
def syft(judged: Judged) -> Path:
    found = find_syft()
    if found is None:
        judged.absent("syft", "the extra `sbom` is not installed")
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "work"
    path.mkdir()
    return path


def program(folder: Path, script: str) -> Path:
    path = folder.parent / "syft"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def layout(path: Path, files: dict[str, bytes]) -> Path:
    """An image's layout with one layer."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    blobs = path / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(media_type: str, data: bytes) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    layer = blob("application/vnd.oci.image.layer.v1.tar+gzip", gzip.compress(tar.getvalue(), 1))
    diff_id = f"sha256:{hashlib.sha256(tar.getvalue()).hexdigest()}"
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [diff_id]}}
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob("application/vnd.oci.image.config.v1+json", json.dumps(config).encode()),
        "layers": [layer],
    }
    entry = blob(str(manifest["mediaType"]), json.dumps(manifest).encode())
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return path


async def test_syft_finds_what_a_project_needs_and_nothing_outside_of_it(
    tree: Scanned, folder: Path, syft: Path
) -> None:
    bill = await scan(tree, "syft-json", folder, timeout_s=SYFT_LIMIT_S)

    document = json.loads(bill.data)
    assert [(one["name"], one["version"]) for one in document["artifacts"]] == [("msgspec", "0.20.0")]
    assert document["source"]["name"] == "acme/shop/web"
    assert bill.media_type == "application/vnd.syft+json"
    assert bill.digest.startswith("sha256:")


async def test_equal_artifacts_have_equal_bills_that_name_no_place_of_this_machine(
    tree: Scanned, folder: Path, tmp_path: Path, syft: Path
) -> None:
    (tmp_path / "again").mkdir()

    one = await scan(tree, "syft-json", folder, timeout_s=SYFT_LIMIT_S)
    other = await scan(tree, "syft-json", tmp_path / "again", timeout_s=SYFT_LIMIT_S)

    assert one.data == other.data
    assert str(tmp_path).encode() not in one.data


async def test_spdx_is_the_other_form(tree: Scanned, folder: Path, syft: Path, judged: Judged) -> None:
    bill = await scan(tree, "spdx-json", folder, timeout_s=SYFT_LIMIT_S)

    document = json.loads(bill.data)
    assert document["spdxVersion"].startswith("SPDX-2")
    assert "msgspec" in {package["name"] for package in document["packages"]}
    judged("syft", version_of(str(syft), "--version"), "directories", 1)


async def test_a_file_is_looked_into(tmp_path: Path, folder: Path, syft: Path) -> None:
    wheel = tmp_path / "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
        archive.writestr("thing-1.0.dist-info/RECORD", "")

    bill = await scan(
        Scanned(kind="file", path=wheel, name="thing", version="1.0"), "syft-json", folder, timeout_s=SYFT_LIMIT_S
    )

    assert json.loads(bill.data)["source"]["type"] == "file"
    assert str(tmp_path).encode() not in bill.data


async def test_an_image_with_a_large_layer_has_a_bill(tmp_path: Path, folder: Path, syft: Path) -> None:
    installed = "usr/lib/python3/site-packages/msgspec-0.20.0.dist-info/METADATA"
    files = {installed: b"Metadata-Version: 2.1\nName: msgspec\nVersion: 0.20.0\n", "model": bytes(80_000_000)}
    image = layout(tmp_path / "image", files)
    scanned = Scanned(kind="oci-dir", path=image, name="web", version="1")

    bill = await scan(scanned, "syft-json", folder, timeout_s=SYFT_LIMIT_S)

    assert [one["name"] for one in json.loads(bill.data)["artifacts"]] == ["msgspec"]


async def test_what_syft_says_of_its_failure_is_in_the_warning(tmp_path: Path, folder: Path, syft: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "index.json").write_text("{}")

    with pytest.raises(NoBill, match=r"exit code 1 for web: .*\w"):
        await scan(
            Scanned(kind="oci-dir", path=broken, name="web", version="1"), "syft-json", folder, timeout_s=SYFT_LIMIT_S
        )


async def test_a_bill_that_is_too_large_is_none(tree: Scanned, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forge_runtime.supply.sbom.BILL_BYTES_MAX", 100_000)
    large = program(folder, 'head -c 200000 /dev/zero > "$(dirname "$HOME")/bill.json"')

    with pytest.raises(NoBill, match="a bill has 1 to 100000"):
        await scan(tree, "syft-json", folder, syft=large)


async def test_a_program_that_fails_is_a_warning_with_its_last_words(tree: Scanned, folder: Path) -> None:
    failing = program(folder, "for n in 1 2 3 4 5 6 7 8; do echo line $n; done; exit 3")

    with pytest.raises(NoBill, match=r"exit code 3 for acme/shop/web: line 4 .* line 8"):
        await scan(tree, "syft-json", folder, syft=failing)


async def test_a_program_that_takes_too_long_is_ended(tree: Scanned, folder: Path) -> None:
    slow = program(folder, "trap '' TERM; sleep 60")

    with pytest.raises(NoBill, match="longer than"):
        await scan(tree, "syft-json", folder, syft=slow, timeout_s=0.2)


async def test_a_program_cannot_fill_the_disk(tree: Scanned, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forge_runtime.supply.sbom.SCRATCH_BYTES_MAX", 100_000)
    endless = program(folder, 'for last; do :; done; yes > "$(dirname "$HOME")/bill.json"')

    with pytest.raises(NoBill, match="exit code"):
        await scan(tree, "syft-json", folder, syft=endless)

    assert (folder / "bill.json").stat().st_size <= 100_000


@pytest.mark.parametrize("written", ["", "[]", "{}", '{"descriptor":[],"source":{"metadata":{}}}', "not json"])
async def test_what_is_no_bill_is_none(tree: Scanned, folder: Path, written: str) -> None:
    odd = program(folder, f"printf '%s' '{written}' > \"$(dirname \"$HOME\")/bill.json\"")

    with pytest.raises(NoBill):
        await scan(tree, "syft-json", folder, syft=odd)


async def test_a_program_that_writes_nothing_made_no_bill(tree: Scanned, folder: Path) -> None:
    with pytest.raises(NoBill, match="wrote no bill"):
        await scan(tree, "syft-json", folder, syft=program(folder, "true"))


async def test_a_program_that_is_not_there_is_a_warning_too(
    tree: Scanned, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NoBill):
        await scan(tree, "syft-json", folder, syft=folder / "missing")

    monkeypatch.setattr("sys.executable", str(folder / "python"))
    monkeypatch.setenv("PATH", str(folder))
    (folder / "home").rmdir()
    with pytest.raises(NoBill, match="not installed"):
        await scan(tree, "syft-json", folder)


async def test_a_program_sees_nothing_of_our_environment(
    tree: Scanned, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NPM_TOKEN", "s3cr3t")
    telling = program(folder, "env; exit 1")

    with pytest.raises(NoBill) as none:
        await scan(tree, "syft-json", folder, syft=telling)

    assert "s3cr3t" not in str(none.value)
    assert os.environ["NPM_TOKEN"] == "s3cr3t"
