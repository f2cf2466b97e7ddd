"""The fields of a Workflow as its documentation has them, and of those of Kubernetes' objects that the compiler emits.

A line for each kind, a word for each field: its name, `!` where it must be there, and its type behind a colon.

    s text      i whole number      # whole number or text    o any object          [T] list       T another kind
                (i32 of 32 bits, i1 from 1, imode of a file's mode; # has 32 bits too, and i has 64)
    b yes or no n number            $ any single value        <T> objects by name   m texts by name
    ? anything  a|b|c one of    q quantity of Kubernetes

All versions' fields are here; which of them a version lacks is in `manifest.target`.
"""

from collections.abc import Mapping
from typing import Final

Fields = Mapping[str, tuple[str, bool]]
"""The type and whether it is required, by name."""

_CONTAINER = (
    "args:[s] command:[s] env:[EnvVar] envFrom:[o] image:s imagePullPolicy:s lifecycle:o livenessProbe:o ports:[o] "
    "readinessProbe:o resizePolicy:[o] resources:ResourceRequirements restartPolicy:s restartPolicyRules:[o] "
    "securityContext:SecurityContext "
    "startupProbe:o stdin:b stdinOnce:b terminationMessagePath:s terminationMessagePolicy:s tty:b volumeDevices:[o] "
    "volumeMounts:[VolumeMount] workingDir:s"
)
_LOCATION = "artifactory:o azure:o gcs:o git:Git hdfs:o http:o oss:o plugin:o raw:Raw s3:o"
_ARTIFACT_GC = "podMetadata:Metadata serviceAccountName:s strategy:|OnWorkflowCompletion|OnWorkflowDeletion|Never"
_CALL = (
    "arguments:Arguments continueOn:ContinueOn hooks:<LifecycleHook> inline:Template onExit:s template:s "
    "templateRef:TemplateRef when:s withItems:[?] withParam:s withSequence:Sequence"
)

_TABLE: Final = {
    "Workflow": "apiVersion!:s kind!:s metadata!:ObjectMeta spec!:WorkflowSpec status:o",
    "ObjectMeta": "annotations:m creationTimestamp:? deletionGracePeriodSeconds:? deletionTimestamp:? finalizers:[s] "
    "generateName:s generation:i labels:m managedFields:[o] name:s namespace:s ownerReferences:[o] "
    "resourceVersion:s selfLink:s uid:s",
    "WorkflowSpec": "activeDeadlineSeconds:i affinity:o archiveLogs:b arguments:Arguments "
    "artifactGC:WorkflowArtifactGC artifactRepositoryRef:ArtifactRepositoryRef automountServiceAccountToken:b "
    "dnsConfig:o dnsPolicy:s entrypoint:s executor:Executor executorPlugins:[o] hooks:<LifecycleHook> hostAliases:[o] "
    "hostNetwork:b imagePullSecrets:[o] metrics:Metrics nodeSelector:m onExit:s parallelism:i1 podDisruptionBudget:o "
    "podGC:PodGC podMetadata:Metadata podPriority:i32 podPriorityClassName:s "
    "podResources:ResourceRequirements podSpecPatch:s priority:i32 resourceClaims:[o] retryStrategy:RetryStrategy "
    "schedulerName:s securityContext:PodSecurityContext "
    "serviceAccountName:s shutdown:s suspend:b synchronization:Synchronization templateDefaults:Template "
    "templates:[Template] tolerations:[o] ttlStrategy:TTLStrategy volumeClaimGC:VolumeClaimGC "
    "volumeClaimTemplates:[o] volumes:[Volume] workflowMetadata:WorkflowMetadata "
    "workflowTemplateRef:WorkflowTemplateRef",
    "Template": "activeDeadlineSeconds:# affinity:o annotations:m archiveLocation:ArtifactLocation "
    "automountServiceAccountToken:b container:Container containerSet:ContainerSet daemon:b dag:DAG data:Data "
    "executor:Executor failFast:b hostAliases:[o] http:HTTP initContainers:[UserContainer] inputs:Inputs "
    "memoize:Memoize metadata:Metadata metrics:Metrics name:s nodeSelector:m outputs:Outputs parallelism:i1 "
    "pendingTimeout:s plugin:o podResources:ResourceRequirements podSpecPatch:s priority:i32 priorityClassName:s "
    "resource:Resource resourceClaims:[o] retryStrategy:RetryStrategy schedulerName:s script:Script "
    "securityContext:PodSecurityContext "
    "serviceAccountName:s sidecars:[UserContainer] steps:[[WorkflowStep]] suspend:Suspend "
    "synchronization:Synchronization timeout:s tolerations:[o] volumes:[Volume]",
    "WorkflowStep": f"name:s {_CALL}",
    "DAG": "failFast:b target:s tasks!:[DAGTask]",
    "DAGTask": f"name!:s dependencies:[s] depends:s {_CALL}",
    "Arguments": "artifacts:[Artifact] parameters:[Parameter]",
    "Inputs": "artifacts:[Artifact] parameters:[Parameter]",
    "Outputs": "artifacts:[Artifact] exitCode:s parameters:[Parameter] result:s",
    "Parameter": "name!:s default:$ description:$ enum:[$] globalName:s value:$ valueFrom:ValueFrom",
    "ValueFrom": "configMapKeyRef:ConfigMapKeyRef default:$ event:s expression:s jqFilter:s jsonPath:s parameter:s "
    "path:s supplied:o",
    "ConfigMapKeyRef": "key!:s name:s optional:b",
    "Artifact": "name!:s archive:Archive archiveLogs:b artifactGC:ArtifactGC deleted:b from:s fromExpression:s "
    f"globalName:s mode:imode optional:b path:s recurseMode:b subPath:s {_LOCATION}",
    "Archive": "none:NoArchive tar:TarArchive zip:NoArchive",
    "NoArchive": "",
    "TarArchive": "compressionLevel:i32",
    "ArtifactLocation": f"archiveLogs:b {_LOCATION}",
    "ArtifactGC": _ARTIFACT_GC,
    "WorkflowArtifactGC": f"forceFinalizerRemoval:b podSpecPatch:s {_ARTIFACT_GC}",
    "ArtifactRepositoryRef": "configMap:s key:s",
    "ContinueOn": "error:b failed:b",
    "Sequence": "count:# end:# format:s start:#",
    "TemplateRef": "clusterScope:b name:s template:s",
    "WorkflowTemplateRef": "clusterScope:b name:s",
    "LifecycleHook": "arguments:Arguments expression:s template:s templateRef:TemplateRef",
    "RetryStrategy": "affinity:o backoff:Backoff expression:s limit:# "
    "retryPolicy:Always|OnFailure|OnError|OnTransientError",
    "Backoff": "cap:s duration:s factor:# maxDuration:s",
    "Container": f"name:s {_CONTAINER}",
    "Script": f"name:s source:s {_CONTAINER}",
    "UserContainer": f"name!:s mirrorVolumeMounts:b {_CONTAINER}",
    "ContainerSet": "containers!:[ContainerNode] retryStrategy:ContainerSetRetry volumeMounts:[VolumeMount]",
    "ContainerNode": f"name!:s dependencies:[s] {_CONTAINER}",
    "ContainerSetRetry": "duration:s retries!:#",
    "EnvVar": "name!:s value:s valueFrom:EnvVarSource",
    "EnvVarSource": "configMapKeyRef:ConfigMapKeyRef fieldRef:FieldRef fileKeyRef:FileKeyRef "
    "resourceFieldRef:ResourceFieldRef secretKeyRef:ConfigMapKeyRef",
    "FieldRef": "apiVersion:s fieldPath!:s",
    "FileKeyRef": "key!:s optional:b path!:s volumeName!:s",
    "ResourceFieldRef": "containerName:s divisor:q resource!:s",
    "ResourceRequirements": "claims:[ResourceClaim] limits:<q> requests:<q>",
    "ResourceClaim": "name!:s request:s",
    "SecurityContext": "allowPrivilegeEscalation:b appArmorProfile:Profile capabilities:Capabilities privileged:b "
    "procMount:s readOnlyRootFilesystem:b runAsGroup:i runAsNonRoot:b runAsUser:i seLinuxOptions:SELinuxOptions "
    "seccompProfile:Profile windowsOptions:WindowsOptions",
    "PodSecurityContext": "appArmorProfile:Profile fsGroup:i fsGroupChangePolicy:s runAsGroup:i runAsNonRoot:b "
    "runAsUser:i seLinuxChangePolicy:s seLinuxOptions:SELinuxOptions seccompProfile:Profile supplementalGroups:[i] "
    "supplementalGroupsPolicy:s sysctls:[Sysctl] windowsOptions:WindowsOptions",
    "Profile": "localhostProfile:s type!:s",
    "Capabilities": "add:[s] drop:[s]",
    "SELinuxOptions": "level:s role:s type:s user:s",
    "WindowsOptions": "gmsaCredentialSpec:s gmsaCredentialSpecName:s hostProcess:b runAsUserName:s",
    "Sysctl": "name!:s value!:s",
    "Volume": "name!:s awsElasticBlockStore:o azureDisk:o azureFile:o cephfs:o cinder:o configMap:o csi:o "
    "downwardAPI:o emptyDir:o ephemeral:o fc:o flexVolume:o flocker:o gcePersistentDisk:o gitRepo:o glusterfs:o "
    "hostPath:o image:o iscsi:o nfs:o persistentVolumeClaim:o photonPersistentDisk:o portworxVolume:o projected:o "
    "quobyte:o rbd:o scaleIO:o secret:SecretVolume storageos:o vsphereVolume:o",
    "SecretVolume": "defaultMode:i32 items:[KeyToPath] optional:b secretName:s",
    "KeyToPath": "key!:s mode:i32 path!:s",
    "VolumeMount": "mountPath!:s mountPropagation:s name!:s readOnly:b recursiveReadOnly:s subPath:s subPathExpr:s",
    "Resource": "action!:get|create|apply|delete|replace|patch failureCondition:s flags:[s] manifest:s manifestFrom:o "
    "mergeStrategy:strategic|merge|json setOwnerReference:b successCondition:s",
    "HTTP": "body:s bodyFrom:o headers:[o] insecureSkipVerify:b method:s successCondition:s timeoutSeconds:i url!:s",
    "Data": "source!:o transformation!:[o]",
    "Suspend": "duration:s",
    "Memoize": "cache!:Cache key!:s maxAge!:s",
    "Cache": "configMap!:LocalObject",
    "LocalObject": "name:s",
    "Git": "branch:s depth:i disableSubmodules:b fetch:[s] insecureIgnoreHostKey:b insecureSkipTLS:b passwordSecret:o "
    "repo!:s revision:s singleBranch:b sshPrivateKeySecret:o usernameSecret:o",
    "Raw": "data!:s",
    "MetricLabel": "key!:s value!:s",
    "Metrics": "prometheus!:[Prometheus]",
    "Prometheus": "counter:Counter gauge:Gauge help!:s histogram:Histogram labels:[MetricLabel] name!:s when:s",
    "Counter": "value!:s",
    "Gauge": "operation:Set|Add|Sub realtime!:b value!:s",
    "Histogram": "buckets!:[n] value!:s",
    "Synchronization": "mutex:Mutex mutexes:[Mutex] semaphore:Semaphore semaphores:[Semaphore]",
    "Mutex": "database:b name:s namespace:s",
    "Semaphore": "configMapKeyRef:ConfigMapKeyRef database:o namespace:s",
    "Metadata": "annotations:m labels:m",
    "Executor": "serviceAccountName:s",
    "PodGC": "deleteDelayDuration:s labelSelector:o "
    "strategy:|OnPodCompletion|OnPodSuccess|OnWorkflowCompletion|OnWorkflowSuccess",
    "TTLStrategy": "secondsAfterCompletion:i32 secondsAfterFailure:i32 secondsAfterSuccess:i32",
    "VolumeClaimGC": "strategy:s",
    "WorkflowMetadata": "annotations:m labels:m labelsFrom:<LabelFrom>",
    "LabelFrom": "expression!:s",
}


def _fields(line: str) -> Fields:
    words = (word.partition(":") for word in line.split())
    return {name.removesuffix("!"): (kind, name.endswith("!")) for name, _, kind in words}


FIELDS: Final[Mapping[str, Fields]] = {kind: _fields(line) for kind, line in _TABLE.items()}
