"""Resources as files."""

import pytest
import yaml
from tests.runtime.render.samples import resource

from forge_runtime.render.files import BYTES_MAX, render_files
from forgec.discovery.resources import InvalidResources


def test_each_resource_is_a_yaml_file_named_for_what_it_is() -> None:
    deployment = resource("Deployment", "Web.v2", spec={"x": ["1", 1, None, "yes"], "texts": "a\nb: c\n"})

    files = render_files([deployment, resource("ClusterRole", "system:web")])

    assert [file.name for file in files] == ["deployment-web.v2.yaml", "clusterrole-system-web.yaml"]
    assert yaml.safe_load(files[0].content) == deployment.document


def test_files_of_one_name_are_told_apart_whatever_their_order() -> None:
    one, other = resource("A", "a", namespace="x"), resource("A", "a", namespace="y")

    names = [file.name for file in render_files([one, other])]
    turned = [file.name for file in render_files([other, one])]

    assert len(set(names)) == 2
    assert turned == names[::-1]
    assert all(name.startswith("a-a-") for name in names)


def test_key_too_long_for_yaml_is_refused_with_its_place() -> None:
    with pytest.raises(InvalidResources) as raised:
        render_files([resource("A", "a", data={"k" * 200: "v"})])

    (problem,) = raised.value.diagnostics
    assert str(problem.span) == "web/.forge/project.cue:1:1"


def test_resources_larger_than_any_cluster_takes_are_refused() -> None:
    with pytest.raises(InvalidResources, match="larger than 8 MiB together"):
        render_files([resource("A", str(n), data="x" * (BYTES_MAX // 2)) for n in range(3)])
