/** Remedies for a bind that is not safe, as a user of `initProcessGroup` has them. */
import type { BindRemedies } from "../platform.ts";

/** How a user of `initProcessGroup` gives what a bind beyond loopback needs. */
export const BIND_REMEDIES: BindRemedies = {
  token: "token (or set WEBCCL_TOKEN)",
  tls: "listen: { tls: { cert, key } }",
  insecure: "listen: { insecure: true }",
};
