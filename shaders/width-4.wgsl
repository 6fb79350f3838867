// Four words at a time. Every kernel is written with V, I, F and B, and so once for both widths.
alias V = vec4<u32>;
alias I = vec4<i32>;
alias F = vec4<f32>;
alias B = vec4<bool>;
alias T = vec4<u32>;
