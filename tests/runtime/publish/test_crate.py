"""Crates to a registry that cargo publishes to and builds from as well: what we tell it is what cargo tells it."""

import asyncio
import os
import shutil
import subprocess
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.judge import Judged
from tests.registry_server import serving
from tests.runtime.produce.hostile import tar_of
from tests.runtime.publish.crate_server import Crates
from tests.runtime.publish.things import SECRET, archive_of, publication_of

from forge_runtime.http import Http
from forge_runtime.produce.product import Archive
from forge_runtime.publish.cargo import README_BYTES_MAX, read_crate
from forge_runtime.publish.crate import CratePublisher, index_path
from forge_runtime.publish.port import Published, PublishRefused
from forge_runtime.thread import Stopped

MANIFEST = """[package]
name = "Tidy-tool"
version = "1.2.0"
edition = "2021"
authors = ["Ada <ada@example.org>"]
description = "Tidies"
license = "MIT"
readme = "README.md"
keywords = ["tidy"]
categories = ["command-line-utilities"]
repository = "https://example.org/tidy"
rust-version = "1.70"
"""
DEPENDENCIES = """
[features]
default = ["std"]
std = []
extra = ["dep:renamed", "base/alloc"]

[dependencies]
base = { version = "0.3", registry = "ours", default-features = false, features = ["alloc"] }
renamed = { package = "base", version = "0.3.0", registry = "ours", optional = true }

[dev-dependencies]
for-tests = { package = "base", version = "^0.3", registry = "ours" }

[build-dependencies]
for-build = { package = "base", version = "0.3", registry = "ours" }

[target.'cfg(windows)'.dependencies]
on-windows = { package = "base", version = "0.3", registry = "ours" }
"""
BASE = '[package]\nname = "base"\nversion = "0.3.1"\nedition = "2021"\n\n[features]\nalloc = []\n'


@pytest.fixture
def crates() -> Crates:
    return Crates(SECRET)


@pytest.fixture
def url(crates: Crates) -> Iterator[str]:
    with serving(crates.app) as address:
        yield f"sparse+http://{address}/index/"


class Cargo:
    """The real one, with a home of its own."""

    def __init__(self, program: str, home: Path, index: str) -> None:
        self._program = program
        real = Path.home()
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", str(real / ".rustup")),
            "CARGO_HOME": str(home / "cargo"),
            "CARGO_REGISTRIES_OURS_INDEX": index,
            "CARGO_REGISTRIES_OURS_TOKEN": SECRET,
            "CARGO_REGISTRIES_OURS_CREDENTIAL_PROVIDER": "cargo:token",
            "CARGO_NET_OFFLINE": "false",
        }

    async def __call__(self, folder: Path, *arguments: str) -> None:
        done = await asyncio.to_thread(
            subprocess.run,
            [self._program, *arguments],
            cwd=folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == 0, done.stderr


@pytest.fixture
def cargo(url: str, tmp_path: Path, judged: Judged) -> Cargo:
    program = shutil.which("cargo") or shutil.which("cargo", path=str(Path.home() / ".cargo" / "bin"))
    if program is None:
        judged.absent("cargo", "it is not installed")
    (tmp_path / "home").mkdir()
    judged("cargo", cargo_version(program), "crates published and built", 1)
    return Cargo(program, tmp_path / "home", url)


def cargo_version(program: str) -> str:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.split()[1]


def package(folder: Path, manifest: str, source: str = "") -> Path:
    (folder / "src").mkdir(parents=True)
    (folder / "Cargo.toml").write_text(manifest)
    (folder / "src" / "lib.rs").write_text(source)
    (folder / "README.md").write_text("# Tidy\nÄrger\n")
    return folder


def crate_of(folder: Path, manifest: str = MANIFEST, name: str = "Tidy-tool-1.2.0") -> Archive:
    folder.mkdir(exist_ok=True)
    files = {f"{name}/Cargo.toml": manifest.encode(), f"{name}/src/lib.rs": b""}
    return archive_of(tar_of(folder / f"{name}.crate", files), content_type="rust-crate")


async def publish(http: Http, url: str, product: Archive, folder: Path) -> Published:
    return await CratePublisher(http).publish(publication_of(product, folder, settings={"registry": url}))


async def test_a_registry_is_told_the_same_by_cargo_and_by_us(
    http: Http, url: str, crates: Crates, cargo: Cargo, tmp_path: Path
) -> None:
    options = ("--registry", "ours", "--allow-dirty", "--no-verify")
    await cargo(package(tmp_path / "base", BASE), "publish", *options)
    tidy = package(tmp_path / "tidy", MANIFEST + DEPENDENCIES)
    await cargo(tidy, "publish", *options)
    (told_by_cargo,) = [told for told in crates.published if told["name"] == "Tidy-tool"]
    key = ("Tidy-tool", "1.2.0")
    path = tidy / "target" / "package" / "Tidy-tool-1.2.0.crate"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(crates.files.pop(key))
    crates.index.pop(index_path("Tidy-tool"))

    await publish(http, url, archive_of(path), tmp_path)

    assert comparable(crates.published[-1]) == comparable(told_by_cargo)
    assert crates.files[key] == path.read_bytes()


def comparable(told: dict[str, Any]) -> dict[str, Any]:
    """Without what is null, which is what is missing (Cargo's documentation); dependencies are in no order."""
    given = {name: value for name, value in told.items() if value is not None}
    dependencies = [{name: value for name, value in each.items() if value is not None} for each in told["deps"]]
    return given | {"deps": sorted(dependencies, key=lambda each: str(sorted(each.items(), key=str)))}


async def test_cargo_builds_with_what_we_published(http: Http, url: str, cargo: Cargo, tmp_path: Path) -> None:
    base = package(tmp_path / "base", BASE, "pub fn answer() -> u32 { 42 }\n")
    await cargo(base, "package", "--allow-dirty", "--no-verify")
    crate = base / "target" / "package" / "base-0.3.1.crate"

    await publish(http, url, archive_of(crate), tmp_path)

    user = package(
        tmp_path / "user",
        '[package]\nname = "user"\nversion = "0.1.0"\nedition = "2021"\n'
        '[dependencies]\nbase = { version = "0.3", registry = "ours" }\n',
        "pub fn asked() -> u32 { base::answer() }\n",
    )
    await cargo(user, "check")


async def test_publishing_twice_sends_once(http: Http, url: str, crates: Crates, tmp_path: Path) -> None:
    product = crate_of(tmp_path / "a")

    first = await publish(http, url, product, tmp_path)
    second = await publish(http, url, product, tmp_path)

    index = url.removeprefix("sparse+").rstrip("/")
    assert (first.unchanged, second.unchanged) == (False, True)
    assert len(crates.published) == 1
    assert second.uri == f"{index.removesuffix('/index')}/dl/Tidy-tool/1.2.0"
    assert second.metadata == {
        "index_url": index,
        "package_name": "Tidy-tool",
        "version": "1.2.0",
        "checksum": product.digest.removeprefix("sha256:"),
    }


async def test_another_crate_of_the_same_version_is_refused(http: Http, url: str, tmp_path: Path) -> None:
    await publish(http, url, crate_of(tmp_path / "a"), tmp_path)
    other = crate_of(tmp_path / "b", MANIFEST.replace("Tidies", "Tidies more"))

    with pytest.raises(PublishRefused, match=r"another Tidy-tool 1\.2\.0 already"):
        await publish(http, url, other, tmp_path)


async def test_a_private_registry_is_asked_with_the_token_everywhere(
    http: Http, url: str, crates: Crates, tmp_path: Path
) -> None:
    crates.private = True

    await publish(http, url, crate_of(tmp_path / "a"), tmp_path)

    assert len(crates.published) == 1


async def test_an_answer_that_gets_lost_is_no_conflict(http: Http, url: str, crates: Crates, tmp_path: Path) -> None:
    crates.lost_answers = 1

    published = await publish(http, url, crate_of(tmp_path / "a"), tmp_path)

    assert published.metadata["version"] == "1.2.0"


async def test_a_refusal_that_comes_with_200_is_one(http: Http, url: str, crates: Crates, tmp_path: Path) -> None:
    crates.refusal = "a crate needs a description"

    with pytest.raises(PublishRefused, match="a crate needs a description"):
        await publish(http, url, crate_of(tmp_path / "a"), tmp_path)


async def test_a_token_that_is_not_believed_is_refused(http: Http, url: str, crates: Crates, tmp_path: Path) -> None:
    crates.token = "another"

    with pytest.raises(PublishRefused, match="this token is not valid"):
        await publish(http, url, crate_of(tmp_path / "a"), tmp_path)


@pytest.mark.parametrize(
    ("manifest", "name", "reason"),
    [
        ("[package", "tidy-1.0.0", "cannot be read"),
        ("[dependencies]\n", "tidy-1.0.0", "no Cargo.toml with a package's name"),
        (MANIFEST + "[features]\nlarge = " + "9" * 5_000, "Tidy-tool-1.2.0", "cannot be read"),
        (MANIFEST, "other-1.2.0", "its Cargo.toml says Tidy-tool"),
        (MANIFEST.replace("1.2.0", "../../1"), "Tidy-tool-1.2.0", "its Cargo.toml says Tidy-tool"),
    ],
    ids=["no TOML", "no package", "a number of 5,000 digits", "another name", "a version that is a path"],
)
async def test_what_is_no_crate_is_refused_before_the_registry_is_asked(
    http: Http, tmp_path: Path, manifest: str, name: str, reason: str
) -> None:
    with pytest.raises(PublishRefused, match=reason):
        await publish(http, "http://127.0.0.1:9/", crate_of(tmp_path / "a", manifest, name), tmp_path)


@pytest.mark.parametrize(("name", "path"), [("a", "1/a"), ("Ab", "2/ab"), ("abc", "3/a/abc"), ("Cargo", "ca/rg/cargo")])
def test_an_index_has_a_crate_in_a_directory_of_its_first_letters(name: str, path: str) -> None:
    assert index_path(name) == path


def test_the_readme_is_the_one_that_is_named_and_no_other_text_is_kept(tmp_path: Path) -> None:
    top = "Tidy-tool-1.2.0"
    other = bytes(README_BYTES_MAX - 1)
    files = {f"{top}/docs/{number}.md": other for number in range(32)}
    files |= {f"{number}/Cargo.toml": other for number in range(32)}
    manifest = MANIFEST.replace("README.md", "./docs/GUIDE.rst").encode()
    path = tar_of(
        tmp_path / "a.crate", {f"{top}/docs/GUIDE.rst": b"Tidy\n====\n", f"{top}/Cargo.toml": manifest, **files}
    )

    tracemalloc.start()
    try:
        crate = read_crate(path, "https://index.example", threading.Event())
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert crate.metadata["readme"] == "Tidy\n====\n"
    assert crate.metadata["readme_file"] == "./docs/GUIDE.rst"
    assert peak_bytes < 8 * README_BYTES_MAX


def test_a_readme_that_is_missing_or_too_large_is_not_told(tmp_path: Path) -> None:
    top = "Tidy-tool-1.2.0"
    large = {f"{top}/Cargo.toml": MANIFEST.encode(), f"{top}/README.md": bytes(README_BYTES_MAX)}

    for path in (tar_of(tmp_path / "large.crate", large), crate_of(tmp_path / "none").path):
        assert read_crate(path, "https://index.example", threading.Event()).metadata["readme"] is None


def test_reading_a_crate_ends_when_the_job_is_stopped(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()

    with pytest.raises(Stopped):
        read_crate(crate_of(tmp_path / "a").path, "https://index.example", stop)
