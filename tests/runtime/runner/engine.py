"""A program that behaves as the command line of a container engine does, as far as images are concerned.

| key of `engine.json` | effect |
|---|---|
| `up` | false: there is no daemon |
| `prefix` | before each name, as Podman shows it |
| `hang`, `damaged` | `image save` never ends; fails |
| `members` | names in the archive that `image save` writes |
"""

import json
import os
import sys
from pathlib import Path

from forge_runtime.runner.image import EngineImages

ENGINE = """
import hashlib, io, json, sys, tarfile, time, urllib.request
from pathlib import Path
here = Path(__file__).parent
script = json.loads((here / "engine.json").read_text())
images = json.loads((here / "images.json").read_text())
with (here / "engine.log").open("a") as log:
    log.write(json.dumps(sys.argv[1:]) + "\\n")

def short(name):
    name = name if ":" in name.rpartition("/")[2] else name + ":latest"
    return name.removeprefix("docker.io/").removeprefix("library/")

if sys.argv[1] == "version":
    if not script.get("up", True):
        sys.exit("Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?")
    print("28.2.2")
elif sys.argv[1] == "load":
    with tarfile.open(fileobj=io.BytesIO(sys.stdin.buffer.read())) as tar:
        for loaded in json.load(tar.extractfile("manifest.json")):
            image_id = "sha256:" + loaded["Config"].rpartition("/")[2].removesuffix(".json")
            images |= {short(name): image_id for name in loaded["RepoTags"]}
elif sys.argv[1] == "pull":
    host, _, path = sys.argv[2].partition("/")
    name, _, tag = path.rpartition(":")
    kinds = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
    asked = urllib.request.Request(f"http://{host}/v2/{name}/manifests/{tag}", headers={"Accept": kinds})
    with urllib.request.urlopen(asked, timeout=20) as manifest:
        images[sys.argv[2]] = "sha256:" + hashlib.sha256(manifest.read()).hexdigest()
elif sys.argv[1:3] == ["image", "inspect"]:
    print(json.dumps([{"Id": images[name]} for name in sys.argv[3:] if name in images]))
elif sys.argv[1] == "tag":
    images[short(sys.argv[3])] = images[sys.argv[2]]
elif sys.argv[1:3] == ["image", "ls"]:
    print(*(f"{script.get('prefix', '')}{name} {images[name]}" for name in images), sep="\\n")
elif sys.argv[1:3] == ["image", "save"]:
    file, name = sys.argv[sys.argv.index("-o") + 1], sys.argv[-1]
    if script.get("hang"):
        (here / "saving").write_text("")
        time.sleep(60)
    if script.get("damaged"):
        sys.exit("Error response from daemon: open /var/lib/docker/overlay2: no such file or directory")
    with tarfile.open(file, "w") as tar:
        for member in script.get("members", ["oci-layout", "index.json", "manifest.json"]):
            tar.addfile(tarfile.TarInfo(member), io.BytesIO())
elif sys.argv[1:3] == ["image", "rm"]:
    del images[sys.argv[-1].removeprefix(script.get("prefix", ""))]
elif sys.argv[1:3] == ["image", "tag"]:
    images[sys.argv[4]] = sys.argv[3]
(here / "images.json").write_text(json.dumps(images))
"""


class Engine:
    """`held` are the images that it has, by their names."""

    def __init__(self, folder: Path, name: str = "docker") -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        (folder / "engine.py").write_text(ENGINE)
        self.program = folder / name
        self.program.write_text(f'#!/bin/sh\nexec {sys.executable} {folder}/engine.py "$@"\n')
        self.program.chmod(0o755)
        self.held = {}
        self.behave()

    def behave(self, **script: object) -> None:
        (self.folder / "engine.json").write_text(json.dumps(script))

    @property
    def held(self) -> dict[str, str]:
        held: dict[str, str] = json.loads((self.folder / "images.json").read_text())
        return held

    @held.setter
    def held(self, images: dict[str, str]) -> None:
        (self.folder / "images.json").write_text(json.dumps(images))

    @property
    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.folder / "engine.log").read_text().splitlines()]

    @property
    def images(self) -> EngineImages:
        found = {self.program.name: str(self.program)}
        return EngineImages(environment={"PATH": os.environ["PATH"]}, which=found.get)
