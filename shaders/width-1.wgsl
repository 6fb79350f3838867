// One word at a time.
alias V = u32;
alias I = i32;
alias F = f32;
alias B = bool;
alias T = u32;
