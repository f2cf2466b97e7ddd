"""What customers get from a running server."""

import http.client
import json
import threading
import unittest

from quote.server import make_server
from quote.service import QuoteService

CATALOGUE = {
    "products": [
        {"sku": "bun-plain", "name": "Plain roll", "category": "buns", "cents": 100},
        {"sku": "bread-rye", "name": "Dark rye", "category": "bread", "cents": 500},
    ]
}


class HttpTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = make_server(QuoteService(CATALOGUE, version="1.2.3"))
        cls.thread = threading.Thread(target=cls.server.serve_forever, daemon=True)
        cls.thread.start()

    @classmethod
    def tearDownClass(cls):
        cls.server.shutdown()
        cls.server.server_close()

    def request(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=10)
        self.addCleanup(connection.close)
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, json.load(response)

    def quote(self, *lines):
        return self.request("POST", "/quote", json.dumps({"lines": lines}))

    def test_it_is_healthy_and_knows_its_version(self):
        self.assertEqual(self.request("GET", "/healthz"), (200, {"status": "ok", "version": "1.2.3"}))

    def test_it_shows_the_catalogue(self):
        self.assertEqual(self.request("GET", "/products"), (200, CATALOGUE))

    def test_it_prices_a_basket(self):
        status, bill = self.quote({"sku": "bun-plain", "quantity": 13}, {"sku": "bread-rye", "quantity": 2})

        self.assertEqual(status, 200)
        self.assertEqual(bill, {"net": "23.00", "discount": "1.00", "tax": "1.54", "total": "23.54"})

    def test_unknown_products_are_refused_by_name(self):
        self.assertEqual(
            self.quote({"sku": "bun-gold", "quantity": 1}), (400, {"error": "no product 'bun-gold'"})
        )

    def test_nonsense_is_refused_and_explained(self):
        for body, reason in (
            ("not json", "JSON object with lines"),
            ('["lines"]', "JSON object with lines"),
            ('{"lines": []}', "1 to 100 entries"),
            ('{"lines": [{"sku": "bun-plain", "quantity": 0}]}', "quantity (1 to 1000)"),
            ('{"lines": [{"sku": "bun-plain"}]}', "needs sku and quantity"),
        ):
            status, answer = self.request("POST", "/quote", body)

            self.assertEqual(status, 400, body)
            self.assertIn(reason, answer["error"])

    def test_huge_bodies_are_not_read(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=10)
        self.addCleanup(connection.close)
        connection.putrequest("POST", "/quote")
        connection.putheader("Content-Length", str(10**9))
        connection.endheaders()

        self.assertEqual(connection.getresponse().status, 413)

    def test_other_paths_do_not_exist(self):
        self.assertEqual(self.request("GET", "/admin"), (404, {"error": "no GET /admin here"}))


if __name__ == "__main__":
    unittest.main()
