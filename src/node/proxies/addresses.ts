/** Addresses of IP in the forms in which they are written, and the one form in which they are compared. */
import { isIP } from "node:net";

/**
 * The address that `text` is, with or without a port behind it: an IPv4 address as four numbers, also where it is written as an
 * IPv6 one, and an IPv6 address as short as can be, in lower case. Null if it is none.
 */
export function addressIn(text: string): string | null {
  const [, inBrackets, four] = /^(?:\[([^\]]*)\]|(\d+\.\d+\.\d+\.\d+))(?::(?:\d{1,5}|_[\w.-]+))?$/.exec(text) ?? [];
  const address = inBrackets ?? four ?? text;
  const version = isIP(address);
  if (version === 4) return inBrackets === undefined ? address : null;
  // A zone has its meaning on one machine alone.
  return version === 6 && !address.includes("%") ? shortened(address) : null;
}

function shortened(address: string): string {
  const short = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [, high, low] = /^::ffff:([\da-f]{1,4}):([\da-f]{1,4})$/.exec(short) ?? [];
  if (high === undefined || low === undefined) return short;
  return [high, low].flatMap((part) => [Number.parseInt(part, 16) >> 8, Number.parseInt(part, 16) & 0xff]).join(".");
}
