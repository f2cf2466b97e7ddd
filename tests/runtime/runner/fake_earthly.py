#!/usr/bin/env python3
"""Stands for the Earthly CLI: records how it was called, then behaves as the file `fake.json` beside it says.

Keys: `exit` (code), `print` (lines), `raw` (hex bytes written as they are), `hang` (seconds), `ignore_term` (bool).
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

here = Path(__file__).parent
script = json.loads((here / "fake.json").read_text())
options = dict(zip(sys.argv[1:], sys.argv[2:], strict=False))
files = {
    option: Path(options[option]).read_text() for option in sys.argv[1:] if option.endswith(("-file-path", "--config"))
}
called = {"argv": sys.argv[1:], "cwd": str(Path.cwd()), "environment": dict(os.environ), "files": files}
(here / "called.json").write_text(json.dumps(called))
if script.get("ignore_term"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
for line in script.get("print", []):
    print(line, flush=True)
sys.stdout.buffer.write(bytes.fromhex(script.get("raw", "")))
sys.stdout.flush()
time.sleep(script.get("hang", 0))
sys.exit(script.get("exit", 0))
