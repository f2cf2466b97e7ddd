"""Workflows of every kind that Argo knows and the lint must know too: all of them right."""

from typing import Final

_HEAD: Final = """\
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  name: w
  labels: {team: ci}
spec:
  entrypoint: main
  activeDeadlineSeconds: 3600
  ttlStrategy: {secondsAfterCompletion: 86400}
  podGC: {strategy: OnPodCompletion, deleteDelayDuration: 60s}
  serviceAccountName: runner
  automountServiceAccountToken: false
  executor: {serviceAccountName: argo}
"""

WORKFLOWS: Final = {
    "steps": _HEAD
    + """\
  onExit: bye
  parallelism: 10
  arguments:
    parameters: [{name: branch, value: main, enum: [main, next]}]
  templates:
  - name: main
    steps:
    - - name: make
        template: make
        arguments: {parameters: [{name: of, value: "{{workflow.parameters.branch}}"}]}
      - {name: wait, template: pause}
    - - name: each
        template: print
        withParam: "{{steps.make.outputs.parameters.list}}"
        arguments: {parameters: [{name: text, value: "{{item}} {{workflow.labels.team}}"}]}
      - name: two
        template: print
        withItems: [{os: linux, cpu: arm}, {os: linux, cpu: x86}]
        arguments: {parameters: [{name: text, value: "{{item.os}}-{{item.cpu}}"}]}
      - name: count
        template: print
        when: "{{steps.make.outputs.parameters.list}} != []"
        withSequence: {start: 1, end: 3}
        arguments: {parameters: [{name: text, value: "{{item}}"}]}
        continueOn: {failed: true}
    outputs:
      parameters: [{name: list, valueFrom: {parameter: "{{steps.make.outputs.parameters.list}}"}}]
  - name: make
    inputs: {parameters: [{name: of}, {name: depth, default: "1"}]}
    activeDeadlineSeconds: 600
    retryStrategy:
      limit: 2
      retryPolicy: Always
      expression: "!(lastRetry.message contains 'deadline')"
      backoff: {duration: 10s, factor: 2, maxDuration: 5m}
    container:
      image: busybox
      command: [sh, -c]
      args: ["echo {{inputs.parameters.of}} {{retries}} {{pod.name}} > {{outputs.parameters.list.path}}"]
      env: [{name: DEPTH, value: "{{inputs.parameters.depth}}"}]
    outputs:
      parameters: [{name: list, globalName: list, valueFrom: {path: /tmp/list, default: "[]"}}]
  - name: print
    inputs: {parameters: [{name: text}]}
    timeout: 5m
    script:
      image: busybox
      command: [sh]
      source: echo "{{inputs.parameters.text}}"
  - name: pause
    suspend: {duration: "1"}
  - name: bye
    container: {image: busybox, command: [echo], args: ["{{workflow.status}} {{workflow.outputs.parameters.list}}"]}
""",
    "dag": _HEAD
    + """\
  templates:
  - name: main
    dag:
      target: last
      tasks:
      - {name: first, template: make}
      - name: second
        template: use
        depends: first.Succeeded || first.Skipped
        arguments:
          artifacts: [{name: in, from: "{{tasks.first.outputs.artifacts.out}}"}]
      - name: third
        depends: first
        withItems: [1, 2]
        inline:
          inputs: {parameters: [{name: number, value: "{{item}}"}]}
          container: {image: busybox, command: [echo], args: ["{{inputs.parameters.number}}"]}
      - name: last
        template: note
        depends: (second || second.Failed) && third.AnySucceeded
        arguments: {parameters: [{name: text, value: "{{tasks.first.outputs.result}} {{tasks.second.status}}"}]}
        hooks:
          exit: {template: gone}
          running: {template: gone, expression: 'tasks["last"].status == "Running"'}
  - name: make
    container: {image: busybox, command: [sh]}
    outputs: {artifacts: [{name: out, path: /tmp/out, archive: {none: {}}}]}
  - name: use
    inputs: {artifacts: [{name: in, path: /tmp/in}]}
    container:
      image: busybox
      command: [cat]
      args: ["{{inputs.artifacts.in.path}}"]
      volumeMounts: [{name: work, mountPath: /work}]
    volumes: [{name: work, emptyDir: {}}]
  - name: note
    inputs: {parameters: [{name: text}]}
    http: {url: "https://example.com", method: POST, body: "{{inputs.parameters.text}}"}
  - name: gone
    suspend: {}
""",
    "other kinds": _HEAD
    + """\
  synchronization: {mutexes: [{name: one}]}
  templates:
  - name: main
    dag:
      tasks:
      - {name: a, template: resource}
      - {name: b, template: several, dependencies: [a]}
      - {name: c, template: asked, dependencies: [a, b], when: "{{=1 == 1}}"}
  - name: resource
    resource:
      action: create
      successCondition: status.phase == Succeeded
      manifest: |
        apiVersion: v1
        kind: ConfigMap
        metadata: {generateName: c-}
    outputs: {parameters: [{name: name, valueFrom: {jsonPath: "{.metadata.name}"}}]}
  - name: several
    containerSet:
      containers:
      - {name: a, image: busybox, command: [sh]}
      - {name: main, image: busybox, command: [sh], dependencies: [a]}
    outputs: {parameters: [{name: x, valueFrom: {path: /tmp/x}}]}
  - name: asked
    inputs:
      parameters: [{name: version, value: "1"}]
      artifacts: [{name: code, path: /code, git: {repo: "https://example.com/code.git"}}]
    metadata: {labels: {app: x}}
    initContainers: [{name: before, image: busybox, command: [sh]}]
    sidecars: [{name: beside, image: busybox, command: [sh]}]
    metrics:
      prometheus:
      - name: runs
        help: how many
        counter: {value: "1"}
        labels: [{key: version, value: "{{inputs.parameters.version}}"}]
    memoize: {key: "{{inputs.parameters.version}}", maxAge: 1h, cache: {configMap: {name: cache}}}
    container: {image: busybox, command: [sh]}
""",
}
