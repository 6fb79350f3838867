// Made from shaders/ by `npm run build:shaders`. A test compares the two. Past 400 lines: it is data, as long as they are.

/** Every file of shaders/, by its name. */
export const SHADERS = {
  "access-bytes": `alias U = V;
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
{{/inputs}}`,
  "access-pairs-1": `struct U {
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
{{/inputs}}`,
  "access-pairs-2": `struct U {
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
{{/inputs}}`,
  "access-words": `alias U = V;
fn store(i: u32, value: U) {
  buffer{{outputBuffer}}[{{outputAt}} + i] = value;
}
{{#inputs}}
fn load{{n}}(i: u32) -> U {
  return buffer{{buffer}}[{{at}} + i];
}
{{/inputs}}`,
  "bf16": `fn widen(a: V) -> F {
  return bitcast<F>(a);
}
fn narrow(value: F) -> V {
  let bits = bitcast<V>(value);
  let rounded = (bits + V(0x7fffu) + ((bits >> V(16u)) & V(1u))) & V(0xffff0000u);
  return select(rounded, V(0x7fc00000u), is_nan_f32(bits));
}`,
  "bits": `fn same(a: V) -> V {
  return a;
}
fn band(a: V, b: V) -> V {
  return a & b;
}
fn bor(a: V, b: V) -> V {
  return a | b;
}
fn bxor(a: V, b: V) -> V {
  return a ^ b;
}
fn sum_of_bytes(a: V, b: V) -> V {
  return ((a & V(0x7f7f7f7fu)) + (b & V(0x7f7f7f7fu))) ^ ((a ^ b) & V(0x80808080u));
}
fn sum_of_halves(a: V, b: V) -> V {
  return ((a & V(0x7fff7fffu)) + (b & V(0x7fff7fffu))) ^ ((a ^ b) & V(0x80008000u));
}`,
  "custom-float": `fn to_element(a: V) -> f32 {
  return widen(a);
}
fn from_element(value: f32) -> V {
  return narrow(value);
}`,
  "custom-pairs": `fn to_element(a: U) -> vec2<u32> {
  return vec2<u32>(a.low, a.high);
}
fn from_element(value: vec2<u32>) -> U {
  return U(value.x, value.y);
}`,
  "custom-signed": `fn to_element(a: V) -> i32 {
  return bitcast<i32>(a) >> {{spare}}u;
}
fn from_element(value: i32) -> V {
  return bitcast<u32>(value) << {{spare}}u;
}`,
  "custom-unsigned": `fn to_element(a: V) -> u32 {
  return a >> {{spare}}u;
}
fn from_element(value: u32) -> V {
  return value << {{spare}}u;
}`,
  "custom": `fn expression(a: {{element}}, b: {{element}}) -> {{element}} {
  return {{expression}};
}
fn custom(a: {{lane}}, b: {{lane}}) -> {{lane}} {
  return from_element(expression(to_element(a), to_element(b)));
}`,
  "f16-native": `fn is_nan(a: U) -> vec4<bool> {
  return (bitcast<vec4<i32>>(vec4<f32>(a)) & vec4<i32>(0x7fffffffi)) > vec4<i32>(0x7f800000i);
}
fn canonical(a: U) -> U {
  return select(a, U(f16(bitcast<f32>(params.factor.y))), is_nan(a));
}
fn pinned(a: U) -> U {
  return U(bitcast<vec4<f32>>(bitcast<vec4<u32>>(vec4<f32>(a)) ^ vec4<u32>(params.zero)));
}
fn sum(a: U, b: U) -> U {
  return canonical(a + b);
}
fn product(a: U, b: U) -> U {
  return canonical(a * b);
}
fn combine(a: U, b: U) -> U {
  return {{op}}(a, b);
}
fn apply(a: U) -> U {
  return canonical(U(vec4<f32>(a) * bitcast<f32>(params.factor.x)));
}`,
  "f32": `fn widen(a: V) -> F {
  return bitcast<F>(a);
}
fn narrow(value: F) -> V {
  let bits = bitcast<V>(value);
  return select(bits, V(0x7fc00000u), is_nan_f32(bits));
}`,
  "f64-order": `fn less(a: U, b: U) -> B {
  let x = key(a);
  let y = key(b);
  return (x.high < y.high) | ((x.high == y.high) & (x.low < y.low));
}
fn key(a: U) -> U {
  let flip = select(V(0u), V(0xffffffffu), a.high >= V(0x80000000u));
  return U(a.low ^ flip, a.high ^ (flip | V(0x80000000u)));
}
fn is_nan(a: U) -> B {
  let magnitude = a.high & V(0x7fffffffu);
  return (magnitude > V(0x7ff00000u)) | ((magnitude == V(0x7ff00000u)) & (a.low != V(0u)));
}
fn quiet(a: U, b: U, result: U) -> U {
  return select_pair(result, U(V(0u), V(0x7ff80000u)), is_nan(a) | is_nan(b));
}
fn minimum(a: U, b: U) -> U {
  return quiet(a, b, select_pair(b, a, less(a, b)));
}
fn maximum(a: U, b: U) -> U {
  return quiet(a, b, select_pair(b, a, less(b, a)));
}`,
  "fill": `fn load0(i: u32) -> U {
  return {{value}};
}`,
  "float-order": `fn order(a: V) -> I {
  return bitcast<I>(a ^ select(V(0u), V(0x7fffffffu), bitcast<I>(a) < I(0)));
}
fn is_nan(a: V) -> B {
  return bitcast<I>(a & V(0x7fffffffu)) > I({{largest}});
}
fn minimum(a: V, b: V) -> V {
  return select(select(b, a, order(a) < order(b)), V({{nan}}), is_nan(a) | is_nan(b));
}
fn maximum(a: V, b: V) -> V {
  return select(select(b, a, order(a) > order(b)), V({{nan}}), is_nan(a) | is_nan(b));
}`,
  "float": `fn pinned(value: V) -> V {
  return value ^ V(params.zero);
}
fn is_nan_f32(bits: V) -> B {
  return bitcast<I>(bits & V(0x7fffffffu)) > I(0x7f800000i);
}
fn sum(a: V, b: V) -> V {
  return narrow(widen(a) + widen(b));
}
fn product(a: V, b: V) -> V {
  return narrow(widen(a) * widen(b));
}
fn scale(a: V) -> V {
  return narrow(widen(a) * F(bitcast<f32>(params.factor.x)));
}`,
  "fold": `struct Params {
  units: u32,
  zero: u32,
  first_mask: u32,
  last_mask: u32,
  factor: vec2<u32>,
  divisor: u32,
  output: u32,
  inputs: array<vec4<u32>, 2>,
}
@group(0) @binding(0) var<uniform> params: Params;
{{bindings}}
{{access}}
{{kernel}}
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * 256u;
  if (i < params.units) {
    {{body}}
  }
}`,
  "integer-signed": `fn minimum(a: V, b: V) -> V {
  return bitcast<V>(min(bitcast<I>(a), bitcast<I>(b)));
}
fn maximum(a: V, b: V) -> V {
  return bitcast<V>(max(bitcast<I>(a), bitcast<I>(b)));
}
fn divide(a: V) -> V {
  let quotient = (bitcast<I>(a) >> V({{spare}}u)) / I(i32(params.divisor));
  return bitcast<V>(quotient) << V({{spare}}u);
}`,
  "integer-unsigned": `fn minimum(a: V, b: V) -> V {
  return min(a, b);
}
fn maximum(a: V, b: V) -> V {
  return max(a, b);
}
fn divide(a: V) -> V {
  return ((a >> V({{spare}}u)) / V(params.divisor)) << V({{spare}}u);
}`,
  "integer": `fn sum(a: V, b: V) -> V {
  return a + b;
}
fn product(a: V, b: V) -> V {
  return (a >> V({{spare}}u)) * b;
}
fn scale(a: V) -> V {
  return a * V(params.factor.x);
}`,
  "lanes-1": `fn combine(a: V, b: V) -> V {
  return {{op}}(a, b);
}
fn apply(a: V) -> V {
  return {{unary}}(a);
}`,
  "lanes-2": `fn low(word: V) -> V {
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
}`,
  "lanes-4": `fn lane(word: V, shift: u32) -> V {
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
}`,
  "pairs-signed": `fn less(a: U, b: U) -> B {
  let sign = V(0x80000000u);
  return ((a.high ^ sign) < (b.high ^ sign)) | ((a.high == b.high) & (a.low < b.low));
}
fn minimum(a: U, b: U) -> U {
  return select_pair(b, a, less(a, b));
}
fn maximum(a: U, b: U) -> U {
  return select_pair(b, a, less(b, a));
}
fn divide(a: U) -> U {
  let negative = a.high >= V(0x80000000u);
  let quotient = divide_unsigned(select_pair(a, negate(a), negative));
  return select_pair(quotient, negate(quotient), negative);
}`,
  "pairs-unsigned": `fn less(a: U, b: U) -> B {
  return (a.high < b.high) | ((a.high == b.high) & (a.low < b.low));
}
fn minimum(a: U, b: U) -> U {
  return select_pair(b, a, less(a, b));
}
fn maximum(a: U, b: U) -> U {
  return select_pair(b, a, less(b, a));
}
fn divide(a: U) -> U {
  return divide_unsigned(a);
}`,
  "pairs": `fn same(a: U) -> U {
  return a;
}
fn sum(a: U, b: U) -> U {
  let low = a.low + b.low;
  return U(low, a.high + b.high + select(V(0u), V(1u), low < a.low));
}
fn widening_product(a: V, b: V) -> U {
  let half = V(0xffffu);
  let low = (a & half) * (b & half);
  let middle = (a >> V(16u)) * (b & half) + (low >> V(16u));
  let other = (a & half) * (b >> V(16u)) + (middle & half);
  return U(a * b, (a >> V(16u)) * (b >> V(16u)) + (middle >> V(16u)) + (other >> V(16u)));
}
fn product(a: U, b: U) -> U {
  let low = widening_product(a.low, b.low);
  return U(low.low, low.high + a.low * b.high + a.high * b.low);
}
fn scale(a: U) -> U {
  return product(a, U(V(params.factor.x), V(params.factor.y)));
}
fn negate(a: U) -> U {
  return U(~a.low + V(1u), ~a.high + select(V(0u), V(1u), a.low == V(0u)));
}
fn divide_unsigned(a: U) -> U {
  let divisor = V(params.divisor);
  let high = a.high / divisor;
  var rest = a.high % divisor;
  rest = (rest << V(10u)) | (a.low >> V(22u));
  var low = rest / divisor;
  rest = ((rest % divisor) << V(10u)) | ((a.low >> V(12u)) & V(0x3ffu));
  low = (low << V(10u)) | (rest / divisor);
  rest = ((rest % divisor) << V(10u)) | ((a.low >> V(2u)) & V(0x3ffu));
  low = (low << V(10u)) | (rest / divisor);
  rest = ((rest % divisor) << V(2u)) | (a.low & V(3u));
  low = (low << V(2u)) | (rest / divisor);
  return U(low, high);
}
fn select_pair(a: U, b: U, take_b: B) -> U {
  return U(select(a.low, b.low, take_b), select(a.high, b.high, take_b));
}
fn combine(a: U, b: U) -> U {
  return {{op}}(a, b);
}
fn apply(a: U) -> U {
  return {{unary}}(a);
}`,
  "small-float": `const BITS = {{bits}}u;
const FRACTION = {{fraction}}u;
const BIAS = {{bias}}u;
const EXPONENT = BITS - 1u - FRACTION;
const GAP = 23u - FRACTION;
const REBIAS = (127u - BIAS) << 23u;
fn widen(a: V) -> F {
  let sign = a & V(0x80000000u);
  let magnitude = (a & V(0x7fffffffu)) >> V(8u - EXPONENT);
  let gap = select(V(REBIAS), V((256u - (1u << EXPONENT)) << 23u), magnitude >= V({{firstSpecial}}u << GAP));
  let small = bitcast<V>(F(magnitude >> V(GAP)) * bitcast<F>(V((128u - BIAS - FRACTION) << 23u)));
  return bitcast<F>(sign | select(magnitude + gap, small, magnitude < V(0x00800000u)));
}
fn narrow(value: F) -> V {
  let bits = bitcast<V>(value);
  let magnitude = bits & V(0x7fffffffu);
  let rebased = magnitude - V(REBIAS);
  let normal = (rebased + V((1u << (GAP - 1u)) - 1u) + ((rebased >> V(GAP)) & V(1u))) >> V(GAP);
  let shift = min(V(151u - BIAS - FRACTION) - min(magnitude >> V(23u), V(150u - BIAS - FRACTION)), V(25u));
  let significand = (magnitude & V(0x7fffffu)) | V(0x800000u);
  let odd = (significand >> shift) & V(1u);
  let small = (significand + (V(1u) << (shift - V(1u))) - V(1u) + odd) >> shift;
  var element = select(normal, small, magnitude < V((128u - BIAS) << 23u));
  element = select(element, V({{largest}}u), magnitude >= V({{limit}}u));
  element |= (bits >> V(32u - BITS)) & V(1u << (BITS - 1u));
  return select(element, V({{nan}}u), magnitude > V(0x7f800000u)) << V(32u - BITS);
}`,
  "width-1": `alias V = u32;
alias I = i32;
alias F = f32;
alias B = bool;
alias T = u32;`,
  "width-2": `alias V = vec2<u32>;
alias B = vec2<bool>;
alias T = vec4<u32>;`,
  "width-4": `alias V = vec4<u32>;
alias I = vec4<i32>;
alias F = vec4<f32>;
alias B = vec4<bool>;
alias T = vec4<u32>;`,
  "width-f16": `alias V = vec4<f16>;
alias T = vec4<f16>;`,
} as const;
