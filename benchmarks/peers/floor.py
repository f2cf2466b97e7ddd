"""The floor: the standard library reads the document and writes a workflow of its steps by hand, and checks nothing.

python floor.py DOCUMENT.json > workflow.yaml
"""

import json
import sys
from pathlib import Path

document = json.loads(Path(sys.argv[1]).read_bytes())
lines = [
    "apiVersion: argoproj.io/v1alpha1",
    "kind: Workflow",
    "metadata:",
    "  generateName: bench-",
    "spec:",
    "  entrypoint: main",
    "  templates:",
    "  - name: run",
    "    inputs: {parameters: [{name: project}, {name: phase}, {name: step}]}",
    "    container: {image: dispatcher:1, command: [dispatcher]}",
    "  - name: main",
    "    steps:",
]
for group in document["phaseGroups"]:
    mark = "    - - name: "
    for phase in group["phases"]:
        for project in document["projects"]:
            for step in project["phases"].get(phase, ()):
                lines.append(f"{mark}{phase}-{project['name']}-{step['name']}")
                lines.append("        template: run")
                lines.append(
                    "        arguments: {parameters: ["
                    f"{{name: project, value: {project['name']}}}, {{name: phase, value: {phase}}},"
                    f" {{name: step, value: {step['name']}}}]}}"
                )
                mark = "      - name: "
sys.stdout.write("\n".join(lines) + "\n")
