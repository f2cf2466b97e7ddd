import assert from "node:assert/strict";
import test from "node:test";

import { add, count, summary } from "../assets/cart.mjs";

test("adding leaves the old cart alone", () => {
  const before = { "bun-plain": 1 };

  assert.deepEqual(add(before, "bun-plain", 2), { "bun-plain": 3 });
  assert.deepEqual(before, { "bun-plain": 1 });
});

test("taking out the last piece removes the product", () => {
  assert.deepEqual(add({ "bun-plain": 1, "bread-rye": 1 }, "bun-plain", -1), { "bread-rye": 1 });
});

test("all pieces are counted", () => {
  assert.equal(count({ "bun-plain": 2, "bread-rye": 3 }), 5);
  assert.equal(count({}), 0);
});

test("the summary tells pieces and free ones", () => {
  assert.equal(summary({}), "empty");
  assert.equal(summary({ "bread-rye": 1 }), "1 piece");
  assert.equal(summary({ "bun-plain": 12 }), "12 pieces");
  assert.equal(summary({ "bun-plain": 13 }), "13 pieces, 1 free");
  assert.equal(summary({ "bun-plain": 7, "bread-rye": 6 }), "13 pieces");
});
