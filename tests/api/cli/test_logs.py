"""`forge logs` against an API that is served."""

from pathlib import Path

import pytest
from tests.api import harness
from tests.api.harness import Story, open_api, sample_plan
from tests.registry_server import serving

from forge_api.app import create_app
from forge_api.cli.client import ApiClient
from forge_api.cli.runs import show_logs
from forge_api.service import log
from forge_api.service.outbox import drain
from forge_api.service.projector import project_events
from forge_runtime.blob import DirectoryBlob
from forge_runtime.bus.memory import MemoryBus
from forge_runtime.engine.memory import MemoryEngine

TEXT = "".join(f"{number} tests ✓\n" for number in range(50))


@pytest.mark.parametrize("reply_bytes", [9, 10, 11, len(TEXT.encode()), 100_000])
async def test_a_log_is_printed_whole_however_many_replies_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], reply_bytes: int
) -> None:
    monkeypatch.setattr(log, "TEXT_BYTES_MAX", reply_bytes)
    run_id = await _run_with_a_log(tmp_path)
    ports = harness.ports(MemoryBus(), MemoryEngine(), DirectoryBlob(tmp_path / "objects"), harness.Clock())

    with serving(create_app(harness.settings(tmp_path), ports)) as host:
        code = show_logs(ApiClient(f"http://{host}", tmp_path / "api.token"), run_id, "web/lint")

    assert code == 0
    assert capsys.readouterr().out == f"==> check web/lint (succeeded)\n{TEXT}"


async def _run_with_a_log(tmp_path: Path) -> str:
    async with open_api(tmp_path) as api:
        run_id = await api.new_run()
        await drain(api.platform)
        story = Story(await api.run_record(run_id), sample_plan())
        story.discover()
        story.went("check/web/lint")
        await story.store(api.bus)
        for event in story.events:
            await project_events(api.platform, run_id, [event])
        result = story.records[-1].result
        assert result is not None
        assert result.log_key is not None
        await api.blob.put(result.log_key, TEXT.encode(), cls="log")
        return run_id
