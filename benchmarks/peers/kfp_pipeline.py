"""The same graph as a Kubeflow pipeline, compiled to its IR YAML (which is not an Argo Workflow yet).

python kfp_pipeline.py STEPS OUT.yaml
"""

import sys

from kfp import compiler, dsl

PHASES = 5
steps = int(sys.argv[1]) // PHASES


@dsl.container_component
def run(project: str, phase: str, step: str):
    return dsl.ContainerSpec(image="dispatcher:1", command=["dispatcher"], args=[project, phase, step])


@dsl.pipeline(name="bench")
def pipeline():
    before = []
    for phase in range(PHASES):
        tasks = []
        for index in range(steps):
            task = run(project=f"project-{index // 5:05}", phase=f"phase-{phase}", step=f"{index}")
            tasks.append(task.after(*before) if before else task)
        before = tasks


compiler.Compiler().compile(pipeline, sys.argv[2])
