// Integers of up to 32 bits, in the upper bits of a lane; {{spare}} is the number of bits below. Everything wraps.
fn sum(a: V, b: V) -> V {
  return a + b;
}

fn product(a: V, b: V) -> V {
  return (a >> V({{spare}}u)) * b;
}

fn scale(a: V) -> V {
  return a * V(params.factor.x);
}
