"""The quote service: tells a basket's price over HTTP.

GET /healthz   -> {"status": "ok", "version": ...}
GET /products  -> the catalogue
POST /quote    {"lines": [{"sku": ..., "quantity": ...}]} -> {"net", "discount", "tax", "total"}
"""
