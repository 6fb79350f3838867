// Two 64-bit elements at a time.
alias V = vec2<u32>;
alias B = vec2<bool>;
alias T = vec4<u32>;
