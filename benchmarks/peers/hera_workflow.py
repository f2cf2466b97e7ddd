"""The same workflow as a Hera script: phases one after another, steps together, three parameters each.

python hera_workflow.py STEPS > workflow.yaml
"""

import sys

from hera.workflows import Container, Parameter, Step, Steps, Workflow

PHASES = 5
steps = int(sys.argv[1]) // PHASES

with Workflow(generate_name="bench-", entrypoint="main") as workflow:
    run = Container(
        name="run",
        image="dispatcher:1",
        command=["dispatcher"],
        args=["{{inputs.parameters.project}}", "{{inputs.parameters.phase}}", "{{inputs.parameters.step}}"],
        inputs=[Parameter(name="project"), Parameter(name="phase"), Parameter(name="step")],
    )
    with Steps(name="main") as main:
        for phase in range(PHASES):
            with main.parallel():
                for index in range(steps):
                    Step(
                        name=f"p{phase}-{index}",
                        template=run,
                        arguments={
                            "project": f"project-{index // 5:05}",
                            "phase": f"phase-{phase}",
                            "step": f"{index}",
                        },
                    )

sys.stdout.write(workflow.to_yaml())
