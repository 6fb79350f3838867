// bf16 is the upper half of an f32.
fn widen(a: V) -> F {
  return bitcast<F>(a);
}

// To nearest, ties to even.
fn narrow(value: F) -> V {
  let bits = bitcast<V>(value);
  let rounded = (bits + V(0x7fffu) + ((bits >> V(16u)) & V(1u))) & V(0xffff0000u);
  return select(rounded, V(0x7fc00000u), is_nan_f32(bits));
}
