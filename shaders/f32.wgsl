fn widen(a: V) -> F {
  return bitcast<F>(a);
}

fn narrow(value: F) -> V {
  let bits = bitcast<V>(value);
  return select(bits, V(0x7fc00000u), is_nan_f32(bits));
}
