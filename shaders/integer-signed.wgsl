fn minimum(a: V, b: V) -> V {
  return bitcast<V>(min(bitcast<I>(a), bitcast<I>(b)));
}

fn maximum(a: V, b: V) -> V {
  return bitcast<V>(max(bitcast<I>(a), bitcast<I>(b)));
}

// Truncates towards zero.
fn divide(a: V) -> V {
  let quotient = (bitcast<I>(a) >> V({{spare}}u)) / I(i32(params.divisor));
  return bitcast<V>(quotient) << V({{spare}}u);
}
