/** A worker that writes where it is told to: whoever sent the memory sees the value if it is one memory. */
addEventListener("message", ({ data }: MessageEvent<SharedArrayBuffer>) => {
  Atomics.store(new Int32Array(data), 0, 1);
  postMessage("written");
});
