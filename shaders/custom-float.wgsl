fn to_element(a: V) -> f32 {
  return widen(a);
}

fn from_element(value: f32) -> V {
  return narrow(value);
}
