// Elements of 64 bits, one at a time, on any word.
struct U {
  low: V,
  high: V,
}

fn store(i: u32, value: U) {
  buffer{{outputBuffer}}[{{outputAt}} + 2u * i] = value.low;
  buffer{{outputBuffer}}[{{outputAt}} + 2u * i + 1u] = value.high;
}

{{#inputs}}
fn load{{n}}(i: u32) -> U {
  let at = {{at}} + 2u * i;
  return U(buffer{{buffer}}[at], buffer{{buffer}}[at + 1u]);
}
{{/inputs}}
