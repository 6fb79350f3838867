// Sums and products of floats: a lane becomes f32, one operation is done, and its result is rounded back to the lane's type.

// A result whose origin the compiler cannot see, for use in another operation. Without this `a * s + b * s` became
// `(a + b) * s`, and `(a - b) + b` became `a`; casting to u32 and back alone was seen through as well.
fn pinned(value: V) -> V {
  return value ^ V(params.zero);
}

// Compared as signed integers, for which processors have an instruction.
fn is_nan_f32(bits: V) -> B {
  return bitcast<I>(bits & V(0x7fffffffu)) > I(0x7f800000i);
}

fn sum(a: V, b: V) -> V {
  return narrow(widen(a) + widen(b));
}

fn product(a: V, b: V) -> V {
  return narrow(widen(a) * widen(b));
}

// The factor is an f32 for every type: rounded to f16 it would add an error of its own.
fn scale(a: V) -> V {
  return narrow(widen(a) * F(bitcast<f32>(params.factor.x)));
}
