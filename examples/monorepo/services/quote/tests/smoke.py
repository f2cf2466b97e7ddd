"""Smoke test: python3 smoke.py quote.pyz - start the bundle, ask for its health and for one price."""

import json
import subprocess
import sys
import urllib.request


def main(bundle):
    """Compare what the running bundle says with what its command line says."""
    claimed = subprocess.check_output([sys.executable, bundle, "--version"], text=True).split()[1]
    server = subprocess.Popen([sys.executable, bundle, "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        url = server.stdout.readline().split()[-1]
        with urllib.request.urlopen(f"{url}/healthz", timeout=10) as response:
            health = json.load(response)
        assert health == {"status": "ok", "version": claimed}, health

        body = json.dumps({"lines": [{"sku": "bun-plain", "quantity": 1}]}).encode()
        with urllib.request.urlopen(f"{url}/quote", body, timeout=10) as response:
            bill = json.load(response)
        assert float(bill["total"]) > 0, bill
    finally:
        server.terminate()
        server.wait(timeout=10)
    print(f"{bundle} {claimed} is healthy; a plain roll is {bill['total']} with tax")


if __name__ == "__main__":
    main(sys.argv[1])
