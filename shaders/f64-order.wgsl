// Minimum and maximum of f64 on their bits, as in float-order.wgsl. No other reduction of f64 can be done exactly here.
fn less(a: U, b: U) -> B {
  let x = key(a);
  let y = key(b);
  return (x.high < y.high) | ((x.high == y.high) & (x.low < y.low));
}

// Ordered as an unsigned integer: the sign bit set for positive values, all bits inverted for negative ones.
fn key(a: U) -> U {
  let flip = select(V(0u), V(0xffffffffu), a.high >= V(0x80000000u));
  return U(a.low ^ flip, a.high ^ (flip | V(0x80000000u)));
}

fn is_nan(a: U) -> B {
  let magnitude = a.high & V(0x7fffffffu);
  return (magnitude > V(0x7ff00000u)) | ((magnitude == V(0x7ff00000u)) & (a.low != V(0u)));
}

fn quiet(a: U, b: U, result: U) -> U {
  return select_pair(result, U(V(0u), V(0x7ff80000u)), is_nan(a) | is_nan(b));
}

fn minimum(a: U, b: U) -> U {
  return quiet(a, b, select_pair(b, a, less(a, b)));
}

fn maximum(a: U, b: U) -> U {
  return quiet(a, b, select_pair(b, a, less(b, a)));
}
