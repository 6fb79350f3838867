fn minimum(a: V, b: V) -> V {
  return min(a, b);
}

fn maximum(a: V, b: V) -> V {
  return max(a, b);
}

fn divide(a: V) -> V {
  return ((a >> V({{spare}}u)) / V(params.divisor)) << V({{spare}}u);
}
