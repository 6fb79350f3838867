// Memory in whole units.
alias U = V;

fn store(i: u32, value: U) {
  buffer{{outputBuffer}}[{{outputAt}} + i] = value;
}

{{#inputs}}
fn load{{n}}(i: u32) -> U {
  return buffer{{buffer}}[{{at}} + i];
}
{{/inputs}}
