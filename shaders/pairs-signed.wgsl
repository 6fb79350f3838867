fn less(a: U, b: U) -> B {
  let sign = V(0x80000000u);
  return ((a.high ^ sign) < (b.high ^ sign)) | ((a.high == b.high) & (a.low < b.low));
}

fn minimum(a: U, b: U) -> U {
  return select_pair(b, a, less(a, b));
}

fn maximum(a: U, b: U) -> U {
  return select_pair(b, a, less(b, a));
}

// Truncates towards zero.
fn divide(a: U) -> U {
  let negative = a.high >= V(0x80000000u);
  let quotient = divide_unsigned(select_pair(a, negate(a), negative));
  return select_pair(quotient, negate(quotient), negative);
}
