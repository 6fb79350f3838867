// Elements of 64 bits, two at a time.
struct U {
  low: V,
  high: V,
}

fn store(i: u32, value: U) {
  buffer{{outputBuffer}}[{{outputAt}} + i] = vec4<u32>(value.low.x, value.high.x, value.low.y, value.high.y);
}

{{#inputs}}
fn load{{n}}(i: u32) -> U {
  let words = buffer{{buffer}}[{{at}} + i];
  return U(words.xz, words.yw);
}
{{/inputs}}
