// f16 as the device's own type. An executor takes these kernels only after they gave the bits of small-float.wgsl.
fn is_nan(a: U) -> vec4<bool> {
  return (bitcast<vec4<i32>>(vec4<f32>(a)) & vec4<i32>(0x7fffffffi)) > vec4<i32>(0x7f800000i);
}

// The NaN comes from a uniform (factor's second word): a literal one is an error in WGSL.
fn canonical(a: U) -> U {
  return select(a, U(f16(bitcast<f32>(params.factor.y))), is_nan(a));
}

// See float.wgsl.
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

// Times the factor: computed in f32, rounded once.
fn apply(a: U) -> U {
  return canonical(U(vec4<f32>(a) * bitcast<f32>(params.factor.x)));
}
