"""Reading archives of others, and packing our own."""

import os
import random
import stat
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.runtime.produce.hostile import HOSTILE, chain_of, entry_of, tar_of, zip_of

from forge_runtime.produce import archive, saved
from forge_runtime.produce.archive import ArchiveRefused, format_of, pack, read_archive, unpack
from forge_runtime.produce.product import ProducerFailed
from forge_runtime.thread import Stopped

FILES = {"index.html": b"<p>hello", "css/site.css": b"p {}", "empty": b""}
GO_ON = threading.Event()


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("tar.gz", lambda path: tar_of(path, FILES)),
        ("tar.bz2", lambda path: tar_of(path, FILES, "w:bz2")),
        ("tar", lambda path: tar_of(path, FILES, "w")),
        ("zip", lambda path: zip_of(path, FILES)),
    ],
)
def test_an_archive_is_known_by_its_bytes_and_gives_its_files(
    tmp_path: Path, kind: str, make: Callable[[Path], Path]
) -> None:
    path = make(tmp_path / "unnamed")

    assert format_of(path) == kind
    files = unpack(path, tmp_path / "out")
    assert {file.relative_to(tmp_path / "out").as_posix(): file.read_bytes() for file in files} == FILES


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_and_nothing_lies_outside(tmp_path: Path, name: str) -> None:
    make, reason = HOSTILE[name]
    path = make(tmp_path / "hostile")

    with pytest.raises(ArchiveRefused, match=reason):
        unpack(path, tmp_path / "a" / "b" / "out")

    assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "hostile"]
    assert [each.name for each in (tmp_path / "a" / "b").iterdir()] == ["out"]


def test_too_many_directories_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "FILES_MAX", 2)
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for name in "abc":
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE
            tar.addfile(info)

    with pytest.raises(ArchiveRefused, match="more than 2 directories"):
        list(read_archive(path))


@pytest.mark.parametrize("link", ["", "../../file"], ids=["of a file", "of a link"])
def test_directories_that_only_a_name_tells_of_count_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: str
) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        tar.addfile(tarfile.TarInfo("file"))
        for name in ("a/b/c", "d/e/f"):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE if link else tarfile.REGTYPE, link
            tar.addfile(info)
    monkeypatch.setattr(archive, "FILES_MAX", 4)
    assert len(unpack(path, tmp_path / "allowed")) == 3
    monkeypatch.setattr(archive, "FILES_MAX", 3)

    with pytest.raises(ArchiveRefused, match="more than 3 directories"):
        unpack(path, tmp_path / "refused")


def test_a_link_below_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        tar.addfile(tarfile.TarInfo("file"))
        link = tarfile.TarInfo("file/link")
        link.type, link.linkname = tarfile.SYMTYPE, "../file"
        tar.addfile(link)

    with pytest.raises(ArchiveRefused, match="more than once"):
        unpack(path, tmp_path / "out")


@given(
    seed=st.integers(0, 2**32), kind=st.sampled_from(["tar.gz", "tar.bz2", "tar", "zip", "zip of bzip2", "zip of lzma"])
)
def test_an_archive_with_wrong_bytes_gives_its_files_or_is_refused(seed: int, kind: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "archive"
        if kind.startswith("zip"):
            method = {"zip": zipfile.ZIP_DEFLATED, "zip of bzip2": zipfile.ZIP_BZIP2, "zip of lzma": zipfile.ZIP_LZMA}
            with zipfile.ZipFile(path, "w", method[kind]) as packed:
                for name, data in FILES.items():
                    packed.writestr(name, data)
        else:
            tar_of(path, FILES, {"tar": "w"}.get(kind, f"w:{kind.removeprefix('tar.')}"))
        path.write_bytes(_changed(path.read_bytes(), random.Random(seed)))

        with suppress(ArchiveRefused):
            unpack(path, Path(folder) / "out")

        assert {each.name for each in Path(folder).iterdir()} <= {"archive", "out"}


def _changed(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8))):
        at = chance.randrange(len(changed))
        match chance.randrange(3):
            case 0:
                changed[at] = chance.randrange(256)
            case 1:
                del changed[at : at + chance.randrange(1, 50)]
            case _:
                changed[at:at] = chance.randbytes(chance.randrange(1, 8))
        changed = changed or bytearray(1)
    return bytes(changed)


def test_a_link_within_the_archive_becomes_what_it_leads_to(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for name, kind, link in [
            ("docs", tarfile.DIRTYPE, ""),
            ("latest", tarfile.SYMTYPE, "docs/page"),
            ("docs/page", tarfile.REGTYPE, ""),
            ("docs/alias", tarfile.SYMTYPE, "../latest"),
            ("loop", tarfile.SYMTYPE, "loop"),
            ("dangling", tarfile.SYMTYPE, "nothing"),
        ]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, link
            tar.addfile(info)

    files = unpack(path, tmp_path / "out")

    assert [file.relative_to(tmp_path / "out").as_posix() for file in files] == ["docs/alias", "docs/page", "latest"]
    assert not any(file.is_symlink() for file in files)


def test_of_a_chain_of_links_as_many_are_followed_as_linux_follows(tmp_path: Path) -> None:
    files = unpack(chain_of(tmp_path / "a.tar", 1_000), tmp_path / "out")

    assert {file.name for file in files} == {f"l{number}" for number in range(960, 1_001)}


def test_unpacking_ends_when_the_job_is_stopped_among_links(tmp_path: Path) -> None:
    stop = _SetAfter(1_002)

    with pytest.raises(Stopped):
        unpack(chain_of(tmp_path / "a.tar", 1_000), tmp_path / "out", stop)

    assert [each.name for each in (tmp_path / "out").iterdir()] == ["l1000"]


@pytest.mark.parametrize("make", [tar_of, zip_of])
def test_reading_a_file_ends_when_the_job_is_stopped(
    tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path]
) -> None:
    stop = threading.Event()
    members = read_archive(make(tmp_path / "a", {"zeros": bytes(2 * archive.CHUNK_BYTES)}), stop)
    chunks = next(members).chunks()
    next(chunks)
    stop.set()

    with pytest.raises(Stopped):
        next(chunks)


def test_a_stopped_job_does_not_pass_over_a_file_to_its_end(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "a", {"zeros": bytes(3 * archive.SKIP_BYTES)})
    path.write_bytes(path.read_bytes()[:-1_000])  # who comes to the end sees that it is missing
    stop = threading.Event()
    members = read_archive(path, stop)
    next(members)
    stop.set()

    with pytest.raises(Stopped):
        next(members)


def test_a_file_below_a_link_is_no_way_out(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        link = tarfile.TarInfo("here")
        link.type, link.linkname = tarfile.SYMTYPE, "."
        tar.addfile(link)
        tar.addfile(tarfile.TarInfo("here/file"))

    files = unpack(path, tmp_path / "out")

    assert [file.relative_to(tmp_path / "out").as_posix() for file in files] == ["here/file"]


def test_one_name_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        tar.addfile(tarfile.TarInfo("one"))
        tar.addfile(tarfile.TarInfo("./one"))

    with pytest.raises(ArchiveRefused, match="more than once"):
        unpack(path, tmp_path / "out")


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("hello")

    with pytest.raises(ArchiveRefused, match="no archive of a known format"):
        list(read_archive(path))


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "FILES_MAX", 2)

    with pytest.raises(ArchiveRefused, match="more than 2 files"):
        list(read_archive(tar_of(tmp_path / "a", FILES)))


def test_reading_ends_when_the_job_is_stopped(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()

    with pytest.raises(Stopped):
        list(read_archive(tar_of(tmp_path / "a", FILES), stop))
    with pytest.raises(Stopped):
        pack(_site(tmp_path / "site"), tmp_path / "b", stop)


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    one, other = _site(tmp_path / "one"), _site(tmp_path / "other", backwards=True)
    (other / "tool").chmod(0o777)

    assert pack(one, tmp_path / "1.tar.gz", GO_ON) == 3
    pack(other, tmp_path / "2.tar.gz", GO_ON)

    assert (tmp_path / "1.tar.gz").read_bytes() == (tmp_path / "2.tar.gz").read_bytes()


def test_a_packed_directory_keeps_what_can_be_run_and_follows_links_to_files(tmp_path: Path) -> None:
    site = _site(tmp_path / "site")
    (site / "alias").symlink_to("css/site.css")

    pack(site, tmp_path / "site.tar.gz", GO_ON)

    unpack(tmp_path / "site.tar.gz", tmp_path / "out")
    assert (tmp_path / "out" / "alias").read_text() == "p {}"
    assert (tmp_path / "out" / "tool").stat().st_mode & stat.S_IXUSR
    assert not (tmp_path / "out" / "css" / "site.css").stat().st_mode & stat.S_IXUSR


def test_links_out_of_a_directory_and_links_to_directories_are_not_packed(tmp_path: Path) -> None:
    site = _site(tmp_path / "site")
    (tmp_path / "secret").write_text("s3cr3t")

    (site / "link").symlink_to("../secret")
    with pytest.raises(ProducerFailed, match="leads out"):
        pack(site, tmp_path / "out", GO_ON)
    (site / "link").unlink()
    (site / "link").symlink_to("css")
    with pytest.raises(ProducerFailed, match="link to no file"):
        pack(site, tmp_path / "out", GO_ON)


def test_a_chain_of_links_without_end_is_not_packed(tmp_path: Path) -> None:
    site = _site(tmp_path / "site")
    for number in range(1_500):
        (site / f"l{number}").symlink_to(f"l{number + 1}")
    (site / "l1500").write_text("the end")

    with pytest.raises(ProducerFailed, match="leads out of what was saved, or on through more than 40 others"):
        pack(site, tmp_path / "out", GO_ON)


def test_special_files_and_directories_without_end_are_not_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = _site(tmp_path / "site")
    os.mkfifo(site / "pipe")
    with pytest.raises(ProducerFailed, match="neither a file nor a directory"):
        pack(site, tmp_path / "out", GO_ON)
    (site / "pipe").unlink()
    monkeypatch.setattr(saved, "DEPTH_MAX", 1)
    with pytest.raises(ProducerFailed, match="nested deeper"):
        pack(site, tmp_path / "out", GO_ON)


def test_a_hard_link_within_the_archive_is_a_file_too(tmp_path: Path) -> None:
    path = entry_of(tmp_path / "a.tar", "b", tarfile.LNKTYPE, "a")

    assert [(member.name, member.link) for member in read_archive(path)] == [("b", "a")]


def test_more_links_to_one_file_than_a_file_may_have_are_the_archives_fault(tmp_path: Path) -> None:
    most = os.pathconf(tmp_path, "PC_LINK_MAX")
    if most > archive.FILES_MAX:
        pytest.skip(f"a file may have {most} links here, more than an archive may hold")
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        tar.addfile(tarfile.TarInfo("page"))
        for number in range(most):
            info = tarfile.TarInfo(str(number))
            info.type, info.linkname = tarfile.SYMTYPE, "page"
            tar.addfile(info)

    with pytest.raises(ArchiveRefused, match="more links to page"):
        unpack(path, tmp_path / "out")


class _SetAfter(threading.Event):
    """Set by itself once it was asked so often."""

    def __init__(self, asked: int) -> None:
        super().__init__()
        self._left = asked

    def is_set(self) -> bool:
        self._left -= 1
        return self._left < 0 or super().is_set()


def _site(folder: Path, *, backwards: bool = False) -> Path:
    files = {"index.html": "<p>", "css/site.css": "p {}", "tool": "#!/bin/sh\n"}
    for name in sorted(files, reverse=backwards):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(files[name])
    (folder / "tool").chmod(0o744)
    return folder
