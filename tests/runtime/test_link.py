"""Where paths lead, judged by Python's own `realpath` as far as both follow them."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_runtime.link import LINKS_MAX, PARTS_MAX, followed

_NAMES = st.sampled_from(["a", "b", "c", "..", ".", ""])
_PATHS = st.lists(_NAMES, min_size=1, max_size=5).map("/".join)
_LAYOUT = st.lists(
    st.tuples(
        st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map("/".join),
        st.none() | _PATHS | _PATHS.map(lambda path: f"TOP/{path}"),
    ),
    max_size=8,
)


@settings(max_examples=300, deadline=None)
@given(layout=_LAYOUT, path=_PATHS.map(lambda path: path.lstrip("/")))
def test_a_path_leads_where_the_system_says_or_out(layout: list[tuple[str, str | None]], path: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        top = f"{os.path.realpath(folder)}/top"
        Path(top).mkdir()
        _lay_out(Path(top), layout)

        found = followed(f"{top}/{path}", top)

        real = os.path.realpath(f"{top}/{path}")
        if found is not None:
            assert found == real
        elif real == top or real.startswith(f"{top}/"):
            with pytest.raises(OSError):  # realpath tells nothing of circles, unless asked to be strict
                os.path.realpath(f"{top}/{path}", strict=True)


def _lay_out(top: Path, layout: list[tuple[str, str | None]]) -> None:
    """As far as they fit together."""
    for name, link in layout:
        path = top / name
        if os.path.lexists(path) or any(parent.is_symlink() or parent.is_file() for parent in path.parents):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if link:
            path.symlink_to(link.replace("TOP", str(top)))
        else:
            path.touch()


@pytest.mark.parametrize(("links", "real"), [(LINKS_MAX, "file"), (LINKS_MAX + 1, None), (1_500, None)])
def test_as_many_links_are_followed_as_linux_follows(tmp_path: Path, links: int, real: str | None) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "l1").symlink_to("file")
    for number in range(2, links + 1):
        (tmp_path / f"l{number}").symlink_to(f"l{number - 1}")

    assert followed(tmp_path / f"l{links}", str(tmp_path)) == (real and str(tmp_path / real))


def test_a_way_of_too_many_parts_counts_as_out(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "short").symlink_to("d/../" * 100 + "d")
    (tmp_path / "long").symlink_to("d/../" * (PARTS_MAX // 2) + "d")

    assert followed(tmp_path / "short", str(tmp_path)) == str(tmp_path / "d")
    assert followed(tmp_path / "long", str(tmp_path)) is None


def test_what_does_not_exist_is_where_its_name_says(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nothing/below")

    assert followed(tmp_path / "link" / "a", str(tmp_path)) == str(tmp_path / "nothing" / "below" / "a")
    assert followed(tmp_path / "nothing" / ".." / ".." / "a", str(tmp_path)) is None
    assert followed("/nothing", "/") == "/nothing"
