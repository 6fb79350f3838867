/**
 * Preloaded into every rank of Node and Deno: ends it when its launcher is gone, however the launcher died. The channel
 * between the two closes with the launcher; listening to it does not keep a rank alive that has nothing else to do.
 */
if (process.connected) {
  process.once("disconnect", () => process.exit(143));
  process.channel?.unref();
} else {
  // The launcher died before this rank could listen.
  process.exit(143);
}
