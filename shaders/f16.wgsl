// f16 by integer arithmetic: sign 1, exponent 5 (bias 15), fraction 10, against f32's 1, 8 (bias 127), 23. Not by
// pack2x16float, whose result for values beyond f16 is the device's own.
fn widen(a: V) -> F {
  let sign = a & V(0x80000000u);
  let magnitude = (a & V(0x7fff0000u)) >> V(3u);
  // Exponents differ by 112; Inf and NaN have 31 of 31, and need 255 of 255.
  let normal = magnitude + select(V(0x38000000u), V(0x70000000u), magnitude >= V(0x0f800000u));
  // Subnormals count in units of 2^-24, which is far from f32's own subnormals.
  let small = bitcast<V>(F(magnitude >> V(13u)) * F(5.9604644775390625e-8));
  return bitcast<F>(sign | select(normal, small, magnitude < V(0x00800000u)));
}

// To nearest, ties to even.
fn narrow(value: F) -> V {
  let bits = bitcast<V>(value);
  let magnitude = bits & V(0x7fffffffu);
  // 2^-14 and more. What rounds up to 2^16 becomes Inf by itself.
  let rebased = magnitude - V(0x38000000u);
  let normal = (rebased + V(0xfffu) + ((rebased >> V(13u)) & V(1u))) >> V(13u);
  // Less: in units of 2^-24. A shift of 25 leaves nothing, which is right for all that is below half a unit.
  let shift = min(V(126u) - min(magnitude >> V(23u), V(125u)), V(25u));
  let significand = (magnitude & V(0x7fffffu)) | V(0x800000u);
  let odd = (significand >> shift) & V(1u);
  let small = (significand + (V(1u) << (shift - V(1u))) - V(1u) + odd) >> shift;
  var half = select(normal, small, magnitude < V(0x38800000u));
  half = select(half, V(0x7c00u), magnitude >= V(0x47800000u));
  half |= (bits >> V(16u)) & V(0x8000u);
  return select(half, V(0x7e00u), magnitude > V(0x7f800000u)) << V(16u);
}
