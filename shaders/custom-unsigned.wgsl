fn to_element(a: V) -> u32 {
  return a >> {{spare}}u;
}

fn from_element(value: u32) -> V {
  return value << {{spare}}u;
}
