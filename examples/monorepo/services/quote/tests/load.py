"""Load test: python3 -m tests.load SECONDS

Four customers ask at a steady pace for baskets of the real catalogue. Each answer must be a 200 with the
right total. The limit is on the median: shared machines stall now and then, which is not the service's fault.
"""

import http.client
import json
import random
import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import resources

from pricing.basket import Line, price
from pricing.money import Money
from quote.server import make_server
from quote.service import TAX_RATE, QuoteService

CUSTOMERS = 4
REQUESTS_PER_SECOND = 40  # of each customer
MEDIAN_LATENCY_MAX_S = 0.25


def basket(products, rng):
    """A random basket: the request's body and the total it must come to."""
    picks = [(product, rng.randint(1, 20)) for product in rng.sample(products, k=3)]
    body = {"lines": [{"sku": product["sku"], "quantity": quantity} for product, quantity in picks]}
    lines = [Line(product["sku"], quantity, Money(product["cents"])) for product, quantity in picks]
    return json.dumps(body), str(price(lines, TAX_RATE).total)


def customer(port, products, seed, seconds, latencies):
    """Ask for quotes at a steady pace; returns what went wrong."""
    rng, errors, start = random.Random(seed), [], time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for count in range(int(seconds * REQUESTS_PER_SECOND)):
        time.sleep(max(0.0, start + count / REQUESTS_PER_SECOND - time.monotonic()))
        body, expected = basket(products, rng)
        sent = time.monotonic()
        connection.request("POST", "/quote", body)
        response = connection.getresponse()
        answer = json.load(response)
        latencies.append(time.monotonic() - sent)
        if response.status != 200 or answer["total"] != expected:
            errors.append(f"{body}: expected total {expected}, got {response.status} {answer}")
    connection.close()
    return errors


def main(seconds):
    """Run the customers and judge."""
    catalogue = json.loads(resources.files("quote").joinpath("catalogue.json").read_text(encoding="utf-8"))
    server = make_server(QuoteService(catalogue, version="load"))
    threading.Thread(target=server.serve_forever, daemon=True).start()

    latencies: list[float] = []
    with ThreadPoolExecutor(CUSTOMERS) as pool:
        runs = [
            pool.submit(customer, server.server_port, catalogue["products"], seed, seconds, latencies)
            for seed in range(CUSTOMERS)
        ]
        for second in range(1, int(seconds) + 1):
            time.sleep(1)
            print(f"  {second} s: {len(latencies)} answers")
        errors = [error for run in runs for error in run.result()]

    median = statistics.median(latencies)
    slowest = max(latencies)
    print(f"{len(latencies)} answers, median {median * 1000:.1f} ms, slowest {slowest * 1000:.1f} ms")
    for error in errors[:5]:
        print(f"wrong: {error}")
    if median > MEDIAN_LATENCY_MAX_S:
        print(f"too slow: the median may be {MEDIAN_LATENCY_MAX_S * 1000:.0f} ms")
    return 1 if errors or median > MEDIAN_LATENCY_MAX_S else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
