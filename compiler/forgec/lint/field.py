"""The fields of a Workflow, as its documentation has them, down to where Kubernetes' own objects begin.

A line for each kind, a word for each field: its name, `!` where it must be there, and its type behind a colon.

    s text      i whole number      # number or text    ? anything          [T] list       T (a name) an object
    b yes or no $ any single value  m texts by name     <T> objects by name a|b|c one of

All versions' fields are here; which of them a version lacks is in `manifest.target`.
"""

from collections.abc import Mapping
from typing import Final

Fields = Mapping[str, tuple[str, bool]]
"""The type and whether it is required, by name."""

_CONTAINER = (
    "args:[s] command:[s] env:[EnvVar] envFrom:[?] image:s imagePullPolicy:s lifecycle:? livenessProbe:? ports:[?] "
    "readinessProbe:? resizePolicy:[?] resources:? restartPolicy:s restartPolicyRules:[?] securityContext:? "
    "startupProbe:? stdin:b stdinOnce:b terminationMessagePath:s terminationMessagePolicy:s tty:b volumeDevices:[?] "
    "volumeMounts:[VolumeMount] workingDir:s"
)
_LOCATION = "artifactory:? azure:? gcs:? git:? hdfs:? http:? oss:? plugin:? raw:? s3:?"
_CALL = (
    "arguments:Arguments continueOn:ContinueOn hooks:<LifecycleHook> inline:Template onExit:s template:s "
    "templateRef:TemplateRef when:s withItems:[?] withParam:s withSequence:Sequence"
)

_TABLE: Final = {
    "Workflow": "apiVersion!:s kind!:s metadata!:ObjectMeta spec!:WorkflowSpec status:?",
    "ObjectMeta": "annotations:m creationTimestamp:? deletionGracePeriodSeconds:? deletionTimestamp:? finalizers:[s] "
    "generateName:s generation:i labels:m managedFields:[?] name:s namespace:s ownerReferences:[?] "
    "resourceVersion:s selfLink:s uid:s",
    "WorkflowSpec": "activeDeadlineSeconds:i affinity:? archiveLogs:b arguments:Arguments artifactGC:ArtifactGC "
    "artifactRepositoryRef:ArtifactRepositoryRef automountServiceAccountToken:b dnsConfig:? dnsPolicy:s entrypoint:s "
    "executor:Executor executorPlugins:[?] hooks:<LifecycleHook> hostAliases:[?] hostNetwork:b imagePullSecrets:[?] "
    "metrics:Metrics nodeSelector:m onExit:s parallelism:i podDisruptionBudget:? podGC:PodGC podMetadata:Metadata "
    "podPriority:i podPriorityClassName:s podResources:? podSpecPatch:s priority:i resourceClaims:[?] "
    "retryStrategy:RetryStrategy schedulerName:s securityContext:? serviceAccountName:s shutdown:s suspend:b "
    "synchronization:Synchronization templateDefaults:Template templates:[Template] tolerations:[?] "
    "ttlStrategy:TTLStrategy volumeClaimGC:VolumeClaimGC volumeClaimTemplates:[?] volumes:[?] "
    "workflowMetadata:WorkflowMetadata workflowTemplateRef:WorkflowTemplateRef",
    "Template": "activeDeadlineSeconds:# affinity:? annotations:m archiveLocation:ArtifactLocation "
    "automountServiceAccountToken:b container:Container containerSet:ContainerSet daemon:b dag:DAG data:Data "
    "executor:Executor failFast:b hostAliases:[?] http:HTTP initContainers:[UserContainer] inputs:Inputs "
    "memoize:Memoize metadata:Metadata metrics:Metrics name:s nodeSelector:m outputs:Outputs parallelism:i "
    "pendingTimeout:s plugin:? podResources:? podSpecPatch:s priority:i priorityClassName:s resource:Resource "
    "resourceClaims:[?] retryStrategy:RetryStrategy schedulerName:s script:Script securityContext:? "
    "serviceAccountName:s sidecars:[UserContainer] steps:[[WorkflowStep]] suspend:Suspend "
    "synchronization:Synchronization timeout:s tolerations:[?] volumes:[?]",
    "WorkflowStep": f"name:s {_CALL}",
    "DAG": "failFast:b target:s tasks!:[DAGTask]",
    "DAGTask": f"name!:s dependencies:[s] depends:s {_CALL}",
    "Arguments": "artifacts:[Artifact] parameters:[Parameter]",
    "Inputs": "artifacts:[Artifact] parameters:[Parameter]",
    "Outputs": "artifacts:[Artifact] exitCode:s parameters:[Parameter] result:s",
    "Parameter": "name!:s default:$ description:$ enum:[$] globalName:s value:$ valueFrom:ValueFrom",
    "ValueFrom": "configMapKeyRef:ConfigMapKeyRef default:$ event:s expression:s jqFilter:s jsonPath:s parameter:s "
    "path:s supplied:?",
    "ConfigMapKeyRef": "key!:s name:s optional:b",
    "Artifact": "name!:s archive:Archive archiveLogs:b artifactGC:ArtifactGC deleted:b from:s fromExpression:s "
    f"globalName:s mode:i optional:b path:s recurseMode:b subPath:s {_LOCATION}",
    "Archive": "none:? tar:? zip:?",
    "ArtifactLocation": f"archiveLogs:b {_LOCATION}",
    "ArtifactGC": "forceFinalizerRemoval:b podMetadata:Metadata podSpecPatch:s serviceAccountName:s "
    "strategy:|OnWorkflowCompletion|OnWorkflowDeletion|Never",
    "ArtifactRepositoryRef": "configMap:s key:s",
    "ContinueOn": "error:b failed:b",
    "Sequence": "count:# end:# format:s start:#",
    "TemplateRef": "clusterScope:b name:s template:s",
    "WorkflowTemplateRef": "clusterScope:b name:s",
    "LifecycleHook": "arguments:Arguments expression:s template:s templateRef:TemplateRef",
    "RetryStrategy": "affinity:? backoff:Backoff expression:s limit:# "
    "retryPolicy:Always|OnFailure|OnError|OnTransientError",
    "Backoff": "cap:s duration:s factor:# maxDuration:s",
    "Container": f"name:s {_CONTAINER}",
    "Script": f"name:s source:s {_CONTAINER}",
    "UserContainer": f"name!:s mirrorVolumeMounts:b {_CONTAINER}",
    "ContainerSet": "containers!:[ContainerNode] retryStrategy:ContainerSetRetry volumeMounts:[VolumeMount]",
    "ContainerNode": f"name!:s dependencies:[s] {_CONTAINER}",
    "ContainerSetRetry": "duration:s retries!:#",
    "EnvVar": "name!:s value:s valueFrom:?",
    "VolumeMount": "mountPath!:s mountPropagation:s name!:s readOnly:b recursiveReadOnly:s subPath:s subPathExpr:s",
    "Resource": "action!:get|create|apply|delete|replace|patch failureCondition:s flags:[s] manifest:s manifestFrom:? "
    "mergeStrategy:strategic|merge|json setOwnerReference:b successCondition:s",
    "HTTP": "body:s bodyFrom:? headers:[?] insecureSkipVerify:b method:s successCondition:s timeoutSeconds:i url!:s",
    "Data": "source!:? transformation!:[?]",
    "Suspend": "duration:s",
    "Memoize": "cache!:? key!:s maxAge!:s",
    "Metrics": "prometheus!:[Prometheus]",
    "Prometheus": "counter:Counter gauge:Gauge help!:s histogram:Histogram labels:[?] name!:s when:s",
    "Counter": "value!:s",
    "Gauge": "operation:Set|Add|Sub realtime:b value!:s",
    "Histogram": "buckets!:[#] value!:s",
    "Synchronization": "mutex:Mutex mutexes:[Mutex] semaphore:Semaphore semaphores:[Semaphore]",
    "Mutex": "database:b name:s namespace:s",
    "Semaphore": "configMapKeyRef:ConfigMapKeyRef database:? namespace:s",
    "Metadata": "annotations:m labels:m",
    "Executor": "serviceAccountName:s",
    "PodGC": "deleteDelayDuration:s labelSelector:? "
    "strategy:|OnPodCompletion|OnPodSuccess|OnWorkflowCompletion|OnWorkflowSuccess",
    "TTLStrategy": "secondsAfterCompletion:i secondsAfterFailure:i secondsAfterSuccess:i",
    "VolumeClaimGC": "strategy:s",
    "WorkflowMetadata": "annotations:m labels:m labelsFrom:<LabelFrom>",
    "LabelFrom": "expression!:s",
}


def _fields(line: str) -> Fields:
    words = (word.partition(":") for word in line.split())
    return {name.removesuffix("!"): (kind, name.endswith("!")) for name, _, kind in words}


FIELDS: Final[Mapping[str, Fields]] = {kind: _fields(line) for kind, line in _TABLE.items()}
