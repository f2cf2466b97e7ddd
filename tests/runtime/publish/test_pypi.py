"""Python distributions to indexes: pypiserver, and one that lists files as JSON; real wheels, and pip that installs."""

import asyncio
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.registry_server import serving
from tests.runtime.produce.hostile import tar_of, zip_of
from tests.runtime.publish.index_server import USER, JsonIndex, pypiserver
from tests.runtime.publish.things import SECRET, archive_of, binary_of, publication_of

from forge_runtime.http import Http
from forge_runtime.produce.product import Archive
from forge_runtime.publish.credential import Credential
from forge_runtime.publish.port import Published, PublishRefused
from forge_runtime.publish.pypi import PypiPublisher

METADATA = """Metadata-Version: 2.4
Name: Tidy.Tool
Version: 1.2.0
Summary: Häckt
Author-email: Ada <ada@example.org>
License-Expression: MIT
Classifier: Programming Language :: Python :: 3
Classifier: Topic :: Software Development
Requires-Dist: packaging>=20
Requires-Python: >=3.11
Project-URL: Home, https://example.org
Description-Content-Type: text/markdown

# Tidy
Ärger
"""


@pytest.fixture(params=["sha256", "md5"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with pypiserver(tmp_path / "index", SECRET, hash_algo=request.param) as url:
        yield url


@pytest.fixture
def index() -> JsonIndex:
    return JsonIndex()


@pytest.fixture
def url(index: JsonIndex) -> Iterator[str]:
    with serving(index.app) as address:
        yield f"http://{address}/legacy/"


def wheel(folder: Path, *, version: str = "1.2.0", body: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    inside = f"tidy_tool-{version}.dist-info"
    files = {
        "tidy_tool.py": f"print('tidy')\n{body}".encode(),
        f"{inside}/METADATA": METADATA.replace("1.2.0", version).replace("Requires-Dist: packaging>=20\n", "").encode(),
        f"{inside}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{inside}/RECORD": b"",
    }
    return zip_of(folder / f"tidy_tool-{version}-py3-none-any.whl", files)


def source(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return tar_of(folder / "tidy_tool-1.2.0.tar.gz", {"tidy_tool-1.2.0/PKG-INFO": METADATA.encode()})


def wheel_archive(path: Path) -> Archive:
    return archive_of(path, "zip", "python-wheel")


async def publish(http: Http, url: str, product: Archive, folder: Path, secret: str | None = SECRET) -> Published:
    credential = None if secret is None else Credential(secret)
    publication = publication_of(product, folder, settings={"repository": url}, credential=credential)
    return await PypiPublisher(http).publish(publication)


async def test_a_wheel_is_uploaded_and_pip_installs_it(http: Http, server: str, tmp_path: Path) -> None:
    path = wheel(tmp_path / "dist")

    published = await publish(http, server, wheel_archive(path), tmp_path)

    assert published == Published(
        uri=f"{server}simple/tidy-tool/#{path.name}",
        metadata={"index_url": f"{server}simple/", "package_name": "Tidy.Tool", "version": "1.2.0"},
    )
    address = server.replace("://", f"://{USER}:{SECRET}@")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--disable-pip-version-check"]
    command += ["--index-url", f"{address}simple/", "--dest", str(tmp_path / "got"), "tidy-tool==1.2.0"]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, timeout=100)
    assert (tmp_path / "got" / path.name).read_bytes() == path.read_bytes()


async def test_publishing_twice_uploads_once_also_where_the_index_tells_no_sha256(
    http: Http, server: str, tmp_path: Path
) -> None:
    product = wheel_archive(wheel(tmp_path / "dist"))
    await publish(http, server, product, tmp_path)

    assert (await publish(http, server, product, tmp_path)).unchanged


async def test_another_file_of_the_same_name_is_refused_before_it_is_sent(
    http: Http, server: str, tmp_path: Path
) -> None:
    await publish(http, server, wheel_archive(wheel(tmp_path / "a")), tmp_path)
    other = wheel_archive(wheel(tmp_path / "b", body="x = 1\n"))

    with pytest.raises(PublishRefused, match=r"another tidy_tool-1\.2\.0-py3-none-any\.whl already"):
        await publish(http, server, other, tmp_path)


async def test_a_password_that_is_not_believed_is_refused(http: Http, server: str, tmp_path: Path) -> None:
    with pytest.raises(PublishRefused, match="403"):
        await publish(http, server, wheel_archive(wheel(tmp_path / "dist")), tmp_path, "wrong-password")


async def test_what_the_metadata_says_is_what_the_index_is_told(
    http: Http, url: str, index: JsonIndex, tmp_path: Path
) -> None:
    product = archive_of(source(tmp_path / "dist"), "tar.gz", "python-sdist")

    await publish(http, url, product, tmp_path)

    (form,) = index.forms
    assert form["requires_dist"] == ["packaging>=20"]
    assert form["classifiers"] == ["Programming Language :: Python :: 3", "Topic :: Software Development"]
    assert form["project_urls"] == ["Home, https://example.org"]
    assert form["summary"] == ["Häckt"]
    assert form["description"] == ["# Tidy\nÄrger\n"]
    assert (form[":action"], form["protocol_version"]) == (["file_upload"], ["1"])
    assert (form["filetype"], form["pyversion"], form["metadata_version"]) == (["sdist"], ["source"], ["2.4"])
    assert (form["license_expression"], form["requires_python"]) == (["MIT"], [">=3.11"])


async def test_a_directory_of_distributions_is_published_whole(
    http: Http, url: str, index: JsonIndex, tmp_path: Path
) -> None:
    files = [wheel(tmp_path / "dist"), source(tmp_path / "dist")]
    packed = tar_of(tmp_path / "package.tar.gz", {f"dist/{each.name}": each.read_bytes() for each in files})

    first = await publish(http, url, archive_of(packed), tmp_path, None)
    second = await publish(http, url, archive_of(packed), tmp_path, None)

    assert sorted(index.files) == sorted(each.name for each in files)
    assert [form["filetype"] for form in index.forms] == [["bdist_wheel"], ["sdist"]]
    assert (first.unchanged, second.unchanged) == (False, True)


async def test_an_index_may_be_named_by_the_address_of_its_list(
    http: Http, url: str, index: JsonIndex, tmp_path: Path
) -> None:
    published = await publish(http, f"{url}simple", wheel_archive(wheel(tmp_path / "dist")), tmp_path, None)

    assert published.metadata["index_url"] == f"{url}simple/"
    assert len(index.files) == 1


async def test_an_answer_that_gets_lost_is_no_conflict(http: Http, url: str, index: JsonIndex, tmp_path: Path) -> None:
    index.lost_answers = 1

    published = await publish(http, url, wheel_archive(wheel(tmp_path / "dist")), tmp_path, None)

    assert published.metadata["version"] == "1.2.0"
    assert len(index.files) == 1


def listing(body: str, media_type: str) -> Starlette:
    """An index that has this for a list, and takes everything."""

    async def list_files(_request: Request) -> Response:
        return Response(body, media_type=media_type)

    async def take(_request: Request) -> Response:
        return Response("OK")

    return Starlette(routes=[Route("/simple/tidy-tool/", list_files), Route("/", take, methods=["POST"])])


async def test_a_link_that_is_no_address_hides_no_other_file_of_the_list(http: Http, tmp_path: Path) -> None:
    product = wheel_archive(wheel(tmp_path / "dist"))
    there = f"files/{product.path.name}#sha256={product.digest.removeprefix('sha256:')}"
    page = f'<a href="http://[x/other-1.0.tar.gz">other</a> <a href="{there}">{product.path.name}</a>'
    with serving(listing(page, "text/html")) as address:
        published = await publish(http, f"http://{address}/", product, tmp_path)

    assert published.unchanged


@pytest.mark.parametrize(
    ("body", "media_type", "reason"),
    [
        (
            '{"files": [{"filename": "tidy_tool-1.2.0-py3-none-any.whl", "url": "http://[x/tidy.whl"}]}',
            "application/vnd.pypi.simple.v1+json",
            r"at an address that is none \('http://\[x/tidy.whl'\)",
        ),
        ("<![unknown[ x ]]>", "text/html", "is no list of files"),
    ],
    ids=["our file at no address", "a declaration that HTML does not have"],
)
async def test_a_list_that_cannot_be_understood_is_refused(
    http: Http, tmp_path: Path, body: str, media_type: str, reason: str
) -> None:
    with serving(listing(body, media_type)) as address, pytest.raises(PublishRefused, match=reason):
        await publish(http, f"http://{address}/", wheel_archive(wheel(tmp_path / "dist")), tmp_path)


def other_metadata(folder: Path) -> Archive:
    path = wheel(folder)
    renamed = path.rename(folder / "other-1.2.0-py3-none-any.whl")
    return wheel_archive(renamed)


def no_metadata(folder: Path) -> Archive:
    return wheel_archive(zip_of(folder / "tidy-1.0-py3-none-any.whl", {"tidy.py": b""}))


def no_distribution(folder: Path) -> Archive:
    return archive_of(tar_of(folder / "site.tar.gz", {"index.html": b""}))


def two_versions(folder: Path) -> Archive:
    one, two = wheel(folder), wheel(folder, version="1.3.0")
    return archive_of(tar_of(folder / "dist.tar.gz", {each.name: each.read_bytes() for each in (one, two)}))


def damaged_inside(folder: Path) -> Archive:
    path = wheel(folder)
    data = path.read_bytes()[:-30]
    return archive_of(tar_of(folder / "dist.tar.gz", {path.name: data}))


def huge_metadata(folder: Path) -> Archive:
    path = folder / "tidy-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tidy-1.0.dist-info/METADATA", bytes(2 * 1024 * 1024))
    return wheel_archive(path)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (other_metadata, "says of itself"),
        (no_metadata, "holds no metadata"),
        (no_distribution, "neither as a wheel nor"),
        (two_versions, "of 2 versions"),
        (damaged_inside, "damaged"),
        (huge_metadata, "larger than"),
    ],
)
async def test_what_is_no_distribution_is_refused_before_anything_is_sent(
    http: Http, tmp_path: Path, make: Callable[[Path], Archive], reason: str
) -> None:
    (tmp_path / "made").mkdir()
    product = make(tmp_path / "made")

    with pytest.raises(PublishRefused, match=reason):
        await publish(http, "http://127.0.0.1:9/", product, tmp_path)


async def test_a_binary_is_no_distribution(http: Http, tmp_path: Path) -> None:
    with pytest.raises(PublishRefused, match="is no archive"):
        await PypiPublisher(http).publish(publication_of(binary_of(tmp_path / "tidy"), tmp_path))


async def test_a_publication_that_is_cancelled_unpacks_no_further(http: Http, tmp_path: Path) -> None:
    path = tar_of(tmp_path / "dist.tar.gz", {f"{number}.txt": b"" for number in range(5_000)})
    publication = publication_of(archive_of(path), tmp_path)
    task = asyncio.create_task(PypiPublisher(http).publish(publication))
    files = publication.scratch / "files"
    while not files.exists():  # noqa: ASYNC110
        await asyncio.sleep(0)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert len(list(files.iterdir())) < 5_000
