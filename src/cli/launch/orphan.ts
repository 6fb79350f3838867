/**
 * Preloaded into every rank: ends it when its launcher is gone, however the launcher died. The channel between the two
 * closes with the launcher; listening to it does not keep a rank alive that has nothing else to do.
 */
if (process.channel) {
  process.once("disconnect", () => process.exit(143));
  process.channel.unref();
}
