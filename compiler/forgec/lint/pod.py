"""Rules on pods: what they run, what they may, how long they are kept."""

from collections.abc import Iterator

from forgec.diagnostic import Code
from forgec.lint.finding import Finding, Path
from forgec.lint.manifest import DEFAULTS, Manifest, mapping, objects, text
from forgec.manifest.target import Target


def container_bodies(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """Argo's validator: a container has an image, and no two volumes lie at one place."""
    for template in manifest.all_templates():
        for path, container in template.containers():
            kind = str(path[len(template.path)])
            if not text(container.get("image")) and not mapping(manifest.defaults.get(kind)).get("image"):
                yield Finding(Code.MISSING_FIELD, (*path, "image"), "the container has no image")
            mounted: set[str] = set()
            for place, mount in objects(container.get("volumeMounts"), (*path, "volumeMounts")):
                at = text(mount.get("mountPath"))
                if at in mounted:
                    message = f'another volume is mounted at "{at}"'
                    yield Finding(Code.BAD_VALUE, (*place, "mountPath"), message)
                mounted.add(at)


def container_sets(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """Argo's validator: what goes in and comes out of a set of containers does so through the one called main."""
    for template in manifest.all_templates():
        path = (*template.path, "containerSet", "containers")
        names = [
            text(item.get("name"))
            for _, item in objects(mapping(template.body.get("containerSet")).get("containers"), path)
        ]
        takes = [*template.artifacts("inputs"), *template.artifacts("outputs"), *template.parameters("outputs")]
        if names and takes and "main" not in names:
            message = "a set of containers with outputs, or with artifacts as inputs, has one called main"
            yield Finding(Code.MISSING_FIELD, path, message, at_key=True)


def artifact_paths(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """Argo's validator: an artifact lies somewhere in a pod; steps and DAGs have none, they pass it on."""
    for template in manifest.all_templates():
        for side in ("inputs", "outputs"):
            for path, artifact in template.artifacts(side):
                named = f'the artifact "{text(artifact.get("name"))}"'
                if template.kinds and not template.is_group and not text(artifact.get("path")):
                    yield Finding(Code.MISSING_FIELD, (*path, "path"), f"{named} has no path in the container")
                elif template.is_group and artifact.get("path"):
                    message = f"{named} has a path, and {template.kinds[0]} templates have no container"
                    yield Finding(Code.BAD_VALUE, (*path, "path"), message, at_key=True)


def resource_manifests(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """Argo's validator: but for get and delete it has to be said what the resource is to be."""
    for template in manifest.all_templates():
        resource = mapping(template.body.get("resource"))
        path = (*template.path, "resource")
        given = [key for key in ("manifest", "manifestFrom") if resource.get(key) not in (None, "")]
        if resource and not given and resource.get("action") not in ("get", "delete"):
            message = f"to {text(resource.get('action'))} a resource takes a manifest or a manifestFrom"
            yield Finding(Code.MISSING_FIELD, path, message, at_key=True)
        elif len(given) > 1:
            message = "a resource has a manifest or a manifestFrom, not both"
            yield Finding(Code.BAD_VALUE, (*path, "manifestFrom"), message, at_key=True)


def command(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """Argo has to know what to run: without a command the controller asks the image's registry, or fails.

    That is so for every container of a pod beside Argo's own; what runs before them it does not look at.
    """
    given = list(objects(manifest.defaults.get("sidecars"), (*DEFAULTS, "sidecars")))
    silent = [path for path, sidecar in given if not sidecar.get("command")]
    with_command = {text(sidecar.get("name")) for _, sidecar in given if sidecar.get("command")}
    for template in manifest.all_templates():
        for path, container in template.containers():
            kind = str(path[len(template.path)])
            if not container.get("command") and not mapping(manifest.defaults.get(kind)).get("command"):
                silent.append(path)
        for path, sidecar in template.sidecars() if template.has_pod else ():
            if not sidecar.get("command") and text(sidecar.get("name")) not in with_command:
                silent.append(path)
    for path in silent:
        message = "without a command Argo asks the image's registry for one, at every start of the pod"
        advice = "write the image's entrypoint as command"
        yield Finding(Code.COMMAND_MISSING, path, message, help=advice, at_key=True)


def parallelism(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """Argo's validator: what has one pod has nothing to count."""
    for template in manifest.all_templates():
        if template.body.get("parallelism") is not None and template.kinds and not template.is_group:
            message = f"parallelism is for steps and dag templates, not for {template.kinds[0]}"
            yield Finding(Code.BAD_VALUE, (*template.path, "parallelism"), message, at_key=True)


def cleaned_up(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """Some 500 workflows that ended and stay fill etcd (argo-workflows 12802); a pod takes its log with it."""
    if not manifest.is_reference and not mapping(manifest.spec.get("ttlStrategy")):
        message = "without a ttlStrategy the workflow stays in the cluster for ever"
        advice = "ttlStrategy: {secondsAfterCompletion: 86400}"
        yield Finding(Code.NOT_CLEANED_UP, ("spec",), message, help=advice, at_key=True)
    collection = mapping(manifest.spec.get("podGC"))
    if text(collection.get("strategy")).startswith("OnPod") and collection.get("deleteDelayDuration") is None:
        message = "a pod is deleted 5 s after its end, and its log with it"
        path = ("spec", "podGC", "strategy")
        yield Finding(Code.NOT_CLEANED_UP, path, message, help='deleteDelayDuration: "60s"')


def token(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """Argo's own container reports results and needs a token; the others most often do not."""
    without = [("spec",)] if manifest.spec.get("automountServiceAccountToken") is False else []
    places: list[Path] = [*without]
    open_ = []
    for template in manifest.all_templates():
        own = template.body.get("automountServiceAccountToken", manifest.defaults.get("automountServiceAccountToken"))
        if own is False:
            places.append(template.path)
        elif template.has_pod and (own is True or not without):
            open_.append(template)
    if open_ and not manifest.is_reference:
        message = f"containers get a token of their service account, those of the {open_[0].title} for one"
        advice = "automountServiceAccountToken: false, and executor.serviceAccountName for Argo's own"
        path = ("spec",) if not without else (*open_[0].path, "automountServiceAccountToken")
        yield Finding(Code.TOKEN_MOUNTED, path, message, help=advice, at_key=True)
    if places and not _has_executor(manifest):
        message = "without a token of the pod Argo's own container needs another: executor.serviceAccountName"
        yield Finding(Code.MISSING_FIELD, (*places[0], "automountServiceAccountToken"), message, at_key=True)


def _has_executor(manifest: Manifest) -> bool:
    bodies = [manifest.spec, manifest.defaults, *(template.body for template in manifest.all_templates())]
    return any(text(mapping(body.get("executor")).get("serviceAccountName")) for body in bodies)
