// f16, f8e4m3 and f8e5m2 by integer arithmetic, against f32's sign 1, exponent 8 (bias 127), fraction 23. An element lies in
// the upper bits of a lane, above zeros. Not by pack2x16float, whose result for values beyond f16 is the device's own.
const BITS = {{bits}}u;
const FRACTION = {{fraction}}u;
const BIAS = {{bias}}u;
const EXPONENT = BITS - 1u - FRACTION;
// How much longer f32's fraction is.
const GAP = 23u - FRACTION;
const REBIAS = (127u - BIAS) << 23u;

fn widen(a: V) -> F {
  let sign = a & V(0x80000000u);
  // With the exponent and the fraction where f32 has them.
  let magnitude = (a & V(0x7fffffffu)) >> V(8u - EXPONENT);
  // Inf and NaN have f32's largest exponent, too: an exponent of all ones becomes 255.
  let gap = select(V(REBIAS), V((256u - (1u << EXPONENT)) << 23u), magnitude >= V({{firstSpecial}}u << GAP));
  // Subnormals count in units of the smallest one, which is far from f32's own subnormals.
  let small = bitcast<V>(F(magnitude >> V(GAP)) * bitcast<F>(V((128u - BIAS - FRACTION) << 23u)));
  return bitcast<F>(sign | select(magnitude + gap, small, magnitude < V(0x00800000u)));
}

// To nearest, ties to even.
fn narrow(value: F) -> V {
  let bits = bitcast<V>(value);
  let magnitude = bits & V(0x7fffffffu);
  // What rounds up beyond the largest finite f16 or f8e5m2 becomes Inf by itself.
  let rebased = magnitude - V(REBIAS);
  let normal = (rebased + V((1u << (GAP - 1u)) - 1u) + ((rebased >> V(GAP)) & V(1u))) >> V(GAP);
  // Subnormals: in units of the smallest one. A shift of 25 leaves nothing, which is right for all below half a unit.
  let shift = min(V(151u - BIAS - FRACTION) - min(magnitude >> V(23u), V(150u - BIAS - FRACTION)), V(25u));
  let significand = (magnitude & V(0x7fffffu)) | V(0x800000u);
  let odd = (significand >> shift) & V(1u);
  let small = (significand + (V(1u) << (shift - V(1u))) - V(1u) + odd) >> shift;
  var element = select(normal, small, magnitude < V((128u - BIAS) << 23u));
  // The f32 from which on everything becomes the largest number: 2^16 becomes Inf, and 448, where f8e4m3 saturates, 448.
  element = select(element, V({{largest}}u), magnitude >= V({{limit}}u));
  element |= (bits >> V(32u - BITS)) & V(1u << (BITS - 1u));
  return select(element, V({{nan}}u), magnitude > V(0x7f800000u)) << V(32u - BITS);
}
