// A word is one element.
fn combine(a: V, b: V) -> V {
  return {{op}}(a, b);
}

fn apply(a: V) -> V {
  return {{unary}}(a);
}
