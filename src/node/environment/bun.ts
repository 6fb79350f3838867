/** Why nothing begins on Bun: its own `ws` cannot hold back a sender, and ranks wait there for ever. */
export const ON_BUN = "webccl does not run on Bun: run this program with Node 20 or later, or Deno 2";
