// A word is two elements of 16 bits. A lane holds one of them in its upper bits, where signs, carries and the order of floats
// come out as they do for 32 bits, and where a bf16 is the f32 of the same value. Its lower bits are zero.
fn low(word: V) -> V {
  return word << V(16u);
}

fn high(word: V) -> V {
  return word & V(0xffff0000u);
}

fn join(first: V, second: V) -> V {
  return (first >> V(16u)) | second;
}

fn combine(a: V, b: V) -> V {
  return join({{op}}(low(a), low(b)), {{op}}(high(a), high(b)));
}

fn apply(a: V) -> V {
  return join({{unary}}(low(a)), {{unary}}(high(a)));
}
