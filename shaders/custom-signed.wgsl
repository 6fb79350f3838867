fn to_element(a: V) -> i32 {
  return bitcast<i32>(a) >> {{spare}}u;
}

fn from_element(value: i32) -> V {
  return bitcast<u32>(value) << {{spare}}u;
}
