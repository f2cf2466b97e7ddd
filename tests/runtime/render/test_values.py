"""What deployment resources may say of artifacts."""

from tests.runtime.render.samples import DIGEST, artifact, built

from forge_runtime.job import PublishedLocation
from forge_runtime.render.values import artifact_values, failures, primary_uri

HUB = PublishedLocation(
    publisher="hub", status="published", uri="hub.test/n/web:v1", metadata={"tag": "v1", "digest": DIGEST}
)
FILES = PublishedLocation(publisher="files", status="unchanged", uri="s3://b/k/", metadata={"bucket": "b"})
BROKEN = PublishedLocation(publisher="hub", status="failed")


def test_producer_tells_all_but_where_it_lay() -> None:
    values = artifact_values(
        artifact("binary"), built("tool", size=3, os="linux", path="/w/tool", location_type="file")
    )

    assert values == {"size": 3, "os": "linux", "publishers": {}}


def test_publisher_tells_its_fields_and_its_address() -> None:
    values = artifact_values(artifact(hub={}, files={}), built("web", HUB, FILES))

    assert values["publishers"] == {
        "hub": {"uri": "hub.test/n/web:v1", "tag": "v1", "digest": DIGEST},
        "files": {"uri": "s3://b/k/", "bucket": "b"},
    }


def test_address_is_that_of_the_primary_publisher_else_of_the_first() -> None:
    data = built("web", HUB, FILES)

    assert primary_uri(artifact(files={}, hub={}), data) == "s3://b/k/"
    assert primary_uri(artifact(files={}, hub={"primary": True}), data) == "hub.test/n/web:v1"
    assert primary_uri(artifact(), built("web")) is None


def test_image_is_the_address_pinned_by_its_digest() -> None:
    values = artifact_values(artifact(hub={}), built("web", HUB, digest="sha256:" + "2" * 64))

    assert values["image"] == f"hub.test/n/web@{DIGEST}"
    assert "image" not in artifact_values(artifact("binary", hub={}), built("web", HUB))


def test_what_a_failed_publisher_would_tell_is_unknown() -> None:
    values = artifact_values(artifact(hub={}, files={}), built("web", BROKEN, FILES, digest=DIGEST))

    assert "uri" not in values
    assert "image" not in values
    assert list(values["publishers"]) == ["files"]
    assert failures({"web": built("web", BROKEN, FILES)}) == [("web", BROKEN)]
