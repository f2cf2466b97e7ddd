// Joins page and cart: a button puts its product into the cart, the header shows the summary.
import { add, summary } from "./cart.mjs";

let cart = {};

document.addEventListener("click", (event) => {
  const sku = event.target.dataset.sku;
  if (!sku) return;
  cart = add(cart, sku);
  document.getElementById("basket").textContent = summary(cart);
});
