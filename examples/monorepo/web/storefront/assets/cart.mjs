// The shopping cart: pure functions from cart to cart. A cart is a plain object, sku -> quantity.

export const BAKERS_DOZEN = 13; // one of so many equal pieces is free

/** A new cart with `quantity` more pieces of `sku`; a negative quantity takes pieces out again. */
export function add(cart, sku, quantity = 1) {
  const pieces = (cart[sku] ?? 0) + quantity;
  const { [sku]: _, ...others } = cart;
  return pieces > 0 ? { ...others, [sku]: pieces } : others;
}

/** All pieces in the cart. */
export function count(cart) {
  return Object.values(cart).reduce((sum, pieces) => sum + pieces, 0);
}

/** What the page says about the cart. */
export function summary(cart) {
  const pieces = count(cart);
  if (pieces === 0) return "empty";
  const free = Object.values(cart).reduce((sum, n) => sum + Math.floor(n / BAKERS_DOZEN), 0);
  return `${pieces} ${pieces === 1 ? "piece" : "pieces"}${free > 0 ? `, ${free} free` : ""}`;
}
