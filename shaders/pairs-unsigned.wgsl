fn less(a: U, b: U) -> B {
  return (a.high < b.high) | ((a.high == b.high) & (a.low < b.low));
}

fn minimum(a: U, b: U) -> U {
  return select_pair(b, a, less(a, b));
}

fn maximum(a: U, b: U) -> U {
  return select_pair(b, a, less(b, a));
}

fn divide(a: U) -> U {
  return divide_unsigned(a);
}
