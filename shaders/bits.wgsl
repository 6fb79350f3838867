// What does not depend on the type of a word's elements.
fn same(a: V) -> V {
  return a;
}

fn band(a: V, b: V) -> V {
  return a & b;
}

fn bor(a: V, b: V) -> V {
  return a | b;
}

fn bxor(a: V, b: V) -> V {
  return a ^ b;
}

// Sums of all elements of a word at once: the top bit of each is added without its carry.
fn sum_of_bytes(a: V, b: V) -> V {
  return ((a & V(0x7f7f7f7fu)) + (b & V(0x7f7f7f7fu))) ^ ((a ^ b) & V(0x80808080u));
}

fn sum_of_halves(a: V, b: V) -> V {
  return ((a & V(0x7fff7fffu)) + (b & V(0x7fff7fffu))) ^ ((a ^ b) & V(0x80008000u));
}
