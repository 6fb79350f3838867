// The one shape: output[i] = x0[i] op x1[i] op x2[i] …, folded from the left, for k >= 1 inputs in one pass over memory.
//
// A unit is a vec4 of words where everything is aligned to 16 bytes, else one word (two words for 64-bit types). A word is 32
// bits of memory: one f32, two f16, four u8.
//
//   {{bindings}}  one storage buffer for each separate stretch of memory
//   {{access}}    load0(i) … loadN(i) and store(i, value)
//   {{kernel}}    combine(a, b): the operation on two units; apply(a): what is done to the result
//   {{body}}      the fold of unit i, written out for k inputs
//
// Each invocation does one unit. A loop that strode over a smaller grid took llvmpipe more than twice as long. The grid has two
// dimensions, since one has 65,535 workgroups at most.

struct Params {
  units: u32,
  // Always 0, which no compiler knows: `x ^ zero` keeps two float operations apart (float.wgsl, pinned).
  zero: u32,
  // Bytes of the first and of the last word that belong to the output.
  first_mask: u32,
  last_mask: u32,
  // A factor's bits, or a value to fill with; low word first.
  factor: vec2<u32>,
  divisor: u32,
  // Where the output begins, then where each input does: in units, or in bytes where access is by bytes.
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
}
