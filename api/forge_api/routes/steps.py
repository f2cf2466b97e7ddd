"""/v1/steps and /v1/tasks: statuses from callers beside our workers, and logs."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Response

from forge_api.auth.permission import Permission
from forge_api.routes.request import Id, OnPlatform, errors, permitted
from forge_api.service import execution, log
from forge_api.service.audit import Actor
from forge_api.wire import INTEGER_MAX, LogAddress, LogIndexView, PutStepStatus, PutTaskStatus, StepView, TaskView

NEXT_OFFSET_HEADER: Final = "X-Log-Next-Offset"

router = APIRouter(prefix="/v1", tags=["steps"], responses=errors(403, 404))

Reader = Annotated[Actor, permitted(Permission.RUN_READ)]
Writer = Annotated[Actor, permitted(Permission.EXECUTION_WRITE)]


@router.put("/tasks/{task_id}/status", responses=errors(409))
async def put_task_status(platform: OnPlatform, caller: Writer, task_id: Id, body: PutTaskStatus) -> TaskView:
    return await execution.put_task_status(platform, caller, task_id, body)


@router.put("/steps/{step_id}/status", responses=errors(409))
async def put_step_status(platform: OnPlatform, caller: Writer, step_id: Id, body: PutStepStatus) -> StepView:
    return await execution.put_step_status(platform, caller, step_id, body)


@router.get("/steps/{step_id}/logs")
async def log_address(platform: OnPlatform, _: Reader, step_id: Id) -> LogAddress:
    return await log.log_address(platform, step_id)


@router.get("/steps/{step_id}/log")
async def log_text(
    platform: OnPlatform, _: Reader, step_id: Id, offset: Annotated[int, Query(ge=0, le=INTEGER_MAX)] = 0
) -> Response:
    """The log itself, at most 8 MiB at a time; a header says where the rest begins. Never taken for a page."""
    text = await log.log_text(platform, step_id, offset)
    headers = {"X-Content-Type-Options": "nosniff"}
    if text.next_offset is not None:
        headers[NEXT_OFFSET_HEADER] = str(text.next_offset)
    return Response(text.data, media_type="text/plain; charset=utf-8", headers=headers)


@router.get("/steps/{step_id}/log/index")
async def log_index(platform: OnPlatform, _: Reader, step_id: Id) -> LogIndexView:
    """Which line of the log begins where and was printed when, once the step is over."""
    return await log.log_index(platform, step_id)
