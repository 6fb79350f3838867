// vec2<u32>(low word, high word).
fn to_element(a: U) -> vec2<u32> {
  return vec2<u32>(a.low, a.high);
}

fn from_element(value: vec2<u32>) -> U {
  return U(value.x, value.y);
}
