// Four f16 at a time, as the device's own type.
alias V = vec4<f16>;
alias T = vec4<f16>;
