// A user's operation: an expression over a and b, of the type {{element}}, on one element at a time.
fn expression(a: {{element}}, b: {{element}}) -> {{element}} {
  return {{expression}};
}

fn custom(a: {{lane}}, b: {{lane}}) -> {{lane}} {
  return from_element(expression(to_element(a), to_element(b)));
}
