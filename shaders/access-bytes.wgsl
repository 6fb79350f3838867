// Memory at any byte, for elements of 8 and 16 bits. A unit is one word of the output. An input may lie at another byte of
// its words: its unit is then put together from two of them. What a word holds beyond the output's two ends is kept.
alias U = V;

fn store(i: u32, value: U) {
  var mask = 0xffffffffu;
  if (i == 0u) {
    mask &= params.first_mask;
  }
  if (i == params.units - 1u) {
    mask &= params.last_mask;
  }
  let at = params.output + i;
  if (mask == 0xffffffffu) {
    buffer{{outputBuffer}}[at] = value;
  } else {
    buffer{{outputBuffer}}[at] = (buffer{{outputBuffer}}[at] & ~mask) | (value & mask);
  }
}

// The input's position is in bytes and one word too large, so that an input that begins before its first whole word has one
// as well. Words outside the buffer are read only for bytes that the mask drops.
{{#inputs}}
fn load{{n}}(i: u32) -> U {
  let next = ({{at}} >> 2u) + i;
  let shift = ({{at}} & 3u) * 8u;
  let low = buffer{{buffer}}[max(next, 1u) - 1u] >> shift;
  if (shift == 0u) {
    return low;
  }
  let high = buffer{{buffer}}[min(next, arrayLength(&buffer{{buffer}}) - 1u)] << (32u - shift);
  return low | high;
}
{{/inputs}}
