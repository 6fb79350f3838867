// The value to fill with, in place of memory.
fn load0(i: u32) -> U {
  return {{value}};
}
