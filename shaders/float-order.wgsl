// Minimum and maximum of floats, on their bits: f32, or a shorter one in the upper bits of a lane. Compilers turn `x != x` into
// false and flush subnormals even in min(); whole numbers they leave alone.
//
// With the magnitude of negative values inverted, the bits are ordered as signed integers, −0 before +0.
fn order(a: V) -> I {
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
}
