"""Copies stay inside: whatever paths and links the input holds, nothing outside of the tree is written or read."""

import contextlib
import os
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_runtime.runner import tree
from forge_runtime.thread import Stopped

SECRET = "secret outside of the repository"

_NAMES = st.sampled_from(["a", "b", "link", "deep", "..", "."])
_PATHS = st.builds(
    lambda lead, names, trail: lead + "/".join(names) + trail,
    st.sampled_from(["", "/", "./", "../"]),
    st.lists(_NAMES, min_size=1, max_size=4),
    st.sampled_from(["", "/", "/*", "/."]),
)
_PATTERNS = st.sampled_from(["a", "link", "a/link", "deep/a", ".", "*"]) | _PATHS
_LINKS = st.sampled_from(
    ["..", "../..", "../../outside", "a", "b", "deep", "/etc", "OUTSIDE", "OUTSIDE/file", "nowhere"]
)
_LAYOUT = st.dictionaries(
    st.lists(st.sampled_from(["a", "b", "deep", "link"]), min_size=1, max_size=3).map("/".join),
    st.none() | _LINKS,
    max_size=6,
)


def lay_out(root: Path, layout: dict[str, str | None], outside: Path) -> None:
    """Files and links as far as they fit together."""
    root.mkdir()
    for name, link in layout.items():
        path = root / name
        if any(parent.is_symlink() or parent.is_file() for parent in path.parents) or os.path.lexists(path):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if link is None:
            path.write_text(f"content of {name}")
        else:
            path.symlink_to(link.replace("OUTSIDE", str(outside)))


def snapshot(directory: Path) -> dict[str, str]:
    found = {}
    for folder, _, files in os.walk(directory):
        found[folder] = "directory"
        for name in files:
            path = Path(folder) / name
            found[str(path)] = str(path.readlink()) if path.is_symlink() else path.read_text()
    return found


@settings(max_examples=300, deadline=None)
@given(
    source=_LAYOUT,
    target=_LAYOUT,
    paths=st.tuples(_PATTERNS, _PATTERNS, _PATTERNS),
    keep=st.booleans(),
    checked=st.booleans(),
)
def test_random_copies_write_only_below_the_tree_and_read_only_below_the_source(
    source: dict[str, str | None],
    target: dict[str, str | None],
    paths: tuple[str, str, str],
    keep: bool,
    checked: bool,
) -> None:
    pattern, destination, workdir = paths
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        outside = base / "outside"
        outside.mkdir()
        (outside / "file").write_text(SECRET)
        lay_out(base / "workspace", source, outside)
        (base / "scratch").mkdir()
        lay_out(base / "scratch" / "tree", target, outside)
        origin = tree.Origin(directory=base / "workspace", boundary=base / "workspace", links_checked=checked)
        transfer = tree.Transfer(
            origin=origin,
            pattern=pattern,
            destination=tree.Destination(root=base / "scratch" / "tree", workdir=workdir, path=destination),
            keep_directories=keep,
        )
        before = snapshot(outside), snapshot(base / "workspace"), sorted((base / "scratch").iterdir())

        with contextlib.suppress(tree.PathRefused, OSError):
            tree.copy(transfer, threading.Event())

        after = snapshot(outside), snapshot(base / "workspace"), sorted((base / "scratch").iterdir())
        assert after == before
        assert SECRET not in snapshot(base / "scratch" / "tree").values()


def test_a_file_replaces_a_link_and_is_not_written_through_it(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    lay_out(tmp_path / "workspace", {"f": None}, tmp_path)
    lay_out(tmp_path / "tree", {"f": "../precious"}, tmp_path)
    origin = tree.Origin(directory=tmp_path / "workspace", boundary=tmp_path / "workspace")
    destination = tree.Destination(root=tmp_path / "tree", workdir="/", path=".")

    count = tree.copy(
        tree.Transfer(origin=origin, pattern="f", destination=destination, keep_directories=False), threading.Event()
    )

    assert count == 1
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "tree" / "f").is_symlink()


def test_a_clone_keeps_links_as_they_are(tmp_path: Path) -> None:
    lay_out(tmp_path / "one", {"a": None, "python": "/usr/bin/env", "deep/b": "../a"}, tmp_path)

    tree.clone(tmp_path / "one", tmp_path / "two", stop=threading.Event())

    assert (tmp_path / "two" / "python").readlink() == Path("/usr/bin/env")
    assert (tmp_path / "two" / "deep" / "b").read_text() == "content of a"


def test_a_chain_of_links_without_end_counts_as_one_that_leads_out(tmp_path: Path) -> None:
    lay_out(tmp_path / "one", {f"l{number}": f"l{number + 1}" for number in range(1_500)} | {"l1500": None}, tmp_path)
    checked = tree.Origin(directory=tmp_path / "one", boundary=tmp_path / "one")

    with pytest.raises(tree.PathRefused, match="is a link that leads out of what is saved, or on through more than 40"):
        tree.clone_closed(tmp_path / "one", tmp_path / "two", stop=threading.Event())
    with pytest.raises(tree.PathRefused, match="'l0' is a link that leads out of the repository, or on through"):
        tree.find_sources(checked, "l0")
    with pytest.raises(
        tree.PathRefused, match="'l0' is a link that leads out of the target's directory, or on through"
    ):
        tree.make_directory(tree.Destination(root=tmp_path / "one", workdir="/", path="l0"))


def test_copying_stops_when_told_to(tmp_path: Path) -> None:
    lay_out(tmp_path / "one", {"a": None}, tmp_path)
    stop = threading.Event()
    stop.set()

    with pytest.raises(Stopped):
        tree.clone(tmp_path / "one", tmp_path / "two", stop=stop)


@pytest.mark.parametrize(("depth", "refused"), [(tree.DEPTH_MAX - 1, False), (tree.DEPTH_MAX, True)])
def test_depth_is_limited(tmp_path: Path, depth: int, refused: bool) -> None:
    deepest = tmp_path / "one"
    for _ in range(depth + 1):
        deepest.mkdir()
        deepest /= "d"
    deepest.write_text("deep")

    with pytest.raises(tree.PathRefused, match="nested deeper") if refused else contextlib.nullcontext():
        tree.clone(tmp_path / "one", tmp_path / "two", stop=threading.Event())

    assert (tmp_path / "two" / deepest.relative_to(tmp_path / "one")).exists() is not refused


def test_a_name_with_a_line_break_stays_within_its_line(tmp_path: Path) -> None:
    source = tmp_path / "one"
    source.mkdir()
    os.mkfifo(source / "a\nERROR b")

    with pytest.raises(tree.PathRefused) as caught:
        tree.clone(source, tmp_path / "two", stop=threading.Event())

    assert str(caught.value) == r"'a\nERROR b' is no regular file"
