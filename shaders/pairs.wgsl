// 64-bit integers as two words.
fn same(a: U) -> U {
  return a;
}

fn sum(a: U, b: U) -> U {
  let low = a.low + b.low;
  return U(low, a.high + b.high + select(V(0u), V(1u), low < a.low));
}

// The full product of two words, from products of their halves.
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

// By a divisor below 2^22: long division, in digits of 10 bits, so that remainder and digit fit into a word.
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
}
