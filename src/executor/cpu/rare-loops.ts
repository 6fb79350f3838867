/** Loops that few calls need: 8-bit floats and custom operations. Loaded when a call with one of them is admitted. */
export { fillSpan, foldCustom } from "./custom-loop.ts";
export { foldFloat8, scaleFloat8 } from "./float8.ts";
