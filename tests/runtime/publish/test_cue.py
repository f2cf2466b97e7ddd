"""CUE modules to registries, where the real cue command finds them."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest
from tests.conformance.cue.reference import Tools, tools
from tests.go_tool import Unavailable
from tests.judge import Judged
from tests.runtime.produce.hostile import tar_of, zip_of
from tests.runtime.publish.things import archive_of, publication_of

from forge_runtime.http import Http
from forge_runtime.oci.reference import parse_reference
from forge_runtime.oci.registry import RegistryClient
from forge_runtime.produce.product import Archive
from forge_runtime.publish.cue import CuePublisher
from forge_runtime.publish.port import Published, PublishRefused

MODULE = 'module: "example.com/Tidy/sizes@v1"\nlanguage: version: "v0.9.0"\nsource: kind: "self"\n'
FILES = {"cue.mod/module.cue": MODULE.encode(), "sizes.cue": b"package sizes\n\nlarge: 42\n"}


@pytest.fixture(scope="session")
def cue_or_reason() -> Tools | Unavailable:
    try:
        return tools()
    except Unavailable as reason:
        return reason


@pytest.fixture
def cue(cue_or_reason: Tools | Unavailable, judged: Judged) -> Path:
    if isinstance(cue_or_reason, Unavailable):
        judged.absent("cue", str(cue_or_reason))
    judged("cue", cue_or_reason.version, "published modules that it resolves", 1)
    return cue_or_reason.cue


def module(folder: Path, files: dict[str, bytes] | None = None) -> Archive:
    folder.mkdir(exist_ok=True)
    return archive_of(tar_of(folder / "module.tar.gz", FILES if files is None else files), content_type="cue-module")


async def publish(http: Http, registry: str, product: Archive, folder: Path, **given: object) -> Published:
    fields = {"settings": {"registry": registry}, "credential": None, "git_tag": "tidy/v1.2.0", **given}
    return await CuePublisher(http).publish(publication_of(product, folder, **fields))


async def test_cue_resolves_a_module_that_we_published(http: Http, registry: str, cue: Path, tmp_path: Path) -> None:
    files = {**FILES, "cue.mod/module.cue": MODULE.replace("Tidy/", "").encode(), "cue.mod/local-module.cue": b"x: 1\n"}
    published = await publish(http, f"{registry}/modules", module(tmp_path / "a", files), tmp_path)

    assert published.uri == f"{registry}/modules/example.com/sizes:v1.2.0"
    user = tmp_path / "user"
    (user / "cue.mod").mkdir(parents=True)
    (user / "cue.mod" / "module.cue").write_text('module: "example.com/user@v0"\nlanguage: version: "v0.9.0"\n')
    (user / "user.cue").write_text('package user\n\nimport "example.com/sizes@v1"\n\nfound: sizes.large\n')
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "CUE_CACHE_DIR": str(tmp_path / "cache"),
        "CUE_REGISTRY": f"{registry}/modules+insecure",
    }
    for arguments in (("mod", "tidy"), ("export", "--out", "json", ".")):
        done = await asyncio.to_thread(
            subprocess.run,
            [cue, *arguments],
            cwd=user,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
    assert done.stdout == '{\n    "found": 42\n}\n'
    assert 'v: "v1.2.0"' in (user / "cue.mod" / "module.cue").read_text()


async def test_publishing_twice_pushes_once_however_the_files_were_packed(
    http: Http, registry: str, tmp_path: Path
) -> None:
    packed = zip_of(tmp_path / "module.zip", dict(reversed(FILES.items())))

    first = await publish(http, registry, module(tmp_path / "a"), tmp_path)
    second = await publish(http, registry, archive_of(packed, "zip"), tmp_path)

    assert (first.unchanged, second.unchanged) == (False, True)
    assert second.metadata == {
        "registry": registry,
        "module": "example.com/Tidy/sizes@v1",
        "version": "v1.2.0",
        "digest": first.metadata["digest"],
    }


async def test_a_version_with_other_files_is_refused_and_stays(http: Http, registry: str, tmp_path: Path) -> None:
    first = await publish(http, registry, module(tmp_path / "a"), tmp_path)
    other = module(tmp_path / "b", {**FILES, "sizes.cue": b"package sizes\n"})

    with pytest.raises(PublishRefused, match="with other files"):
        await publish(http, registry, other, tmp_path)

    there = await RegistryClient(http).resolve(parse_reference(first.uri))
    assert there is not None
    assert there.digest == first.metadata["digest"]


async def test_a_push_of_a_branch_is_a_version_before_all_others(http: Http, registry: str, tmp_path: Path) -> None:
    published = await publish(http, registry, module(tmp_path / "a"), tmp_path, git_tag=None)

    assert published.metadata["version"] == "v1.0.0-0.g0123456789ab"


async def test_modules_below_the_module_are_not_its_files(http: Http, registry: str, tmp_path: Path) -> None:
    nested = {"inner/cue.mod/module.cue": b'module: "example.com/inner@v0"\n', "inner/a.cue": b"package inner\n"}

    plain = await publish(http, registry, module(tmp_path / "a"), tmp_path)
    with_nested = await publish(http, registry, module(tmp_path / "b", {**FILES, **nested}), tmp_path)

    assert with_nested.metadata["digest"] == plain.metadata["digest"]


@pytest.mark.parametrize(
    ("files", "tag", "reason"),
    [
        ({"a.cue": b""}, "tidy/v1.2.0", "holds no cue.mod/module.cue"),
        ({"cue.mod/module.cue": b'language: version: "v0.9.0"\n'}, "tidy/v1.2.0", "names no module"),
        ({"cue.mod/module.cue": b'module: "example.com/x"\n'}, "tidy/v1.2.0", "with its major version"),
        (FILES, "tidy/v2.0.0", "different major versions"),
        (FILES, "tidy/v1.2", "is no version of a CUE module"),
        (FILES, "tidy/v1.02.0", "is no version of a CUE module"),
        ({**FILES, "a": b"", "a/b": b""}, "tidy/v1.2.0", "more than once"),
        ({"cue.mod/module.cue": b'module: "example.com/../x@v1"\n'}, "tidy/v1.2.0", "is not a repository"),
    ],
)
async def test_what_is_no_module_of_this_version_is_refused_before_anything_is_sent(
    http: Http, tmp_path: Path, files: dict[str, bytes], tag: str, reason: str
) -> None:
    with pytest.raises(PublishRefused, match=reason):
        await publish(http, "127.0.0.1:9", module(tmp_path / "a", files), tmp_path, git_tag=tag)
