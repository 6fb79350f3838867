import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bareHost, isLoopback, urlHost } from "../../src/support/host.ts";

describe("isLoopback()", () => {
  it.each([
    ...[
      "localhost",
      "LOCALHOST",
      "a.localhost",
      "127.0.0.1",
      "127.1",
      "127.255.0.9",
      "::1",
      "[::1]",
      "0:0:0:0:0:0:0:1",
    ],
    ...["[0::0:1]", "::ffff:127.0.0.1", "[::ffff:127.8.9.1]", "::ffff:7f00:1"],
  ])("is true of %s, as every machine has it", (host) => {
    expect(isLoopback(host)).toBe(true);
  });

  it.each([
    ...["localhost.example.org", "notlocalhost", "127.example.org", "128.0.0.1", "10.127.0.1", "0.0.0.0", "::", "[::]"],
    ...["::2", "::ffff:128.0.0.1", "fe80::1%eth0", "fe80::1", "", " ", "a b", "2001:db8::127.0.0.1"],
  ])("is false of %j", (host) => {
    expect(isLoopback(host)).toBe(false);
  });

  it("is the same with and without brackets, which urlHost() adds and bareHost() takes away", () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain()), (host) => {
        expect(isLoopback(urlHost(host))).toBe(isLoopback(host));
        expect(bareHost(urlHost(host))).toBe(host);
        expect(urlHost(urlHost(host))).toBe(urlHost(host));
        expect(new URL(`ws://${urlHost(host)}:29500`).port).toBe("29500");
      }),
    );
  });
});
