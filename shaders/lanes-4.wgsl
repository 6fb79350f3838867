// A word is four elements of 8 bits. A lane holds one of them in its upper bits, as in lanes-2.wgsl.
fn lane(word: V, shift: u32) -> V {
  return (word << V(shift)) & V(0xff000000u);
}

fn join(a: V, b: V, c: V, d: V) -> V {
  return (a >> V(24u)) | (b >> V(16u)) | (c >> V(8u)) | d;
}

fn combine(a: V, b: V) -> V {
  return join(
    {{op}}(lane(a, 24u), lane(b, 24u)),
    {{op}}(lane(a, 16u), lane(b, 16u)),
    {{op}}(lane(a, 8u), lane(b, 8u)),
    {{op}}(lane(a, 0u), lane(b, 0u)),
  );
}

fn apply(a: V) -> V {
  return join({{unary}}(lane(a, 24u)), {{unary}}(lane(a, 16u)), {{unary}}(lane(a, 8u)), {{unary}}(lane(a, 0u)));
}
