from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListWorkersRequest(_message.Message):
    __slots__ = ("filter",)
    FILTER_FIELD_NUMBER: _ClassVar[int]
    filter: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, filter: _Optional[_Iterable[str]] = ...) -> None: ...

class ListWorkersResponse(_message.Message):
    __slots__ = ("record",)
    RECORD_FIELD_NUMBER: _ClassVar[int]
    record: _containers.RepeatedCompositeFieldContainer[WorkerRecord]
    def __init__(self, record: _Optional[_Iterable[_Union[WorkerRecord, _Mapping]]] = ...) -> None: ...

class WorkerRecord(_message.Message):
    __slots__ = ("ID", "version", "parallelismCurrent", "parallelismMax", "parallelismWaiting")
    ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PARALLELISMCURRENT_FIELD_NUMBER: _ClassVar[int]
    PARALLELISMMAX_FIELD_NUMBER: _ClassVar[int]
    PARALLELISMWAITING_FIELD_NUMBER: _ClassVar[int]
    ID: str
    version: BuildkitVersion
    parallelismCurrent: int
    parallelismMax: int
    parallelismWaiting: int
    def __init__(self, ID: _Optional[str] = ..., version: _Optional[_Union[BuildkitVersion, _Mapping]] = ..., parallelismCurrent: _Optional[int] = ..., parallelismMax: _Optional[int] = ..., parallelismWaiting: _Optional[int] = ...) -> None: ...

class InfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class InfoResponse(_message.Message):
    __slots__ = ("version", "numSessions", "secondsIdle")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    NUMSESSIONS_FIELD_NUMBER: _ClassVar[int]
    SECONDSIDLE_FIELD_NUMBER: _ClassVar[int]
    version: BuildkitVersion
    numSessions: int
    secondsIdle: int
    def __init__(self, version: _Optional[_Union[BuildkitVersion, _Mapping]] = ..., numSessions: _Optional[int] = ..., secondsIdle: _Optional[int] = ...) -> None: ...

class BuildkitVersion(_message.Message):
    __slots__ = ("package", "version", "revision")
    PACKAGE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    package: str
    version: str
    revision: str
    def __init__(self, package: _Optional[str] = ..., version: _Optional[str] = ..., revision: _Optional[str] = ...) -> None: ...
