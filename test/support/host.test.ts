import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bareHost, hostNameOf, isLoopback, originOf, urlHost } from "../../src/support/host.ts";

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

describe("originOf()", () => {
  it("is what browsers send of any address of a page, and nothing of an address that has more", () => {
    fc.assert(
      fc.property(
        fc.webUrl({ withFragments: true, withQueryParameters: true, validSchemes: ["http", "https"] }),
        (url) => {
          const { origin, href } = new URL(url);
          expect(originOf(origin)).toBe(origin);
          expect(originOf(`${origin}/`)).toBe(origin);
          expect(originOf(href)).toBe(href === `${origin}/` ? origin : null);
        },
      ),
    );
  });

  it.each([
    ["http://localhost:5173", "http://localhost:5173"],
    ["https://EXAMPLE.org:443/", "https://example.org"],
    ["http://[::1]:80", "http://[::1]"],
    ["chrome-extension://abcdefgh", "chrome-extension://abcdefgh"],
    ["localhost:5173", null],
    ["example.org", null],
    ["*", null],
    ["null", null],
    ["file:///tmp", null],
    ["https://user@example.org", null],
    ["", null],
  ])("of %j is %j", (text, origin) => {
    expect(originOf(text)).toBe(origin);
  });
});

describe("hostNameOf()", () => {
  it("is the name in any address, which has more than a name", () => {
    fc.assert(
      fc.property(fc.webUrl({ validSchemes: ["http"] }), (url) => {
        const { hostname, host, href } = new URL(url);
        expect(hostNameOf(hostname)).toBe(hostname);
        expect(hostNameOf(hostname.toUpperCase())).toBe(hostname);
        expect(hostNameOf(href)).toBe(null);
        if (host !== hostname) expect(hostNameOf(host)).toBe(null);
      }),
    );
  });

  it.each([
    ["hub", "hub"],
    ["::1", "[::1]"],
    ["[::1]", "[::1]"],
    ["10.0.0.1", "10.0.0.1"],
    ["example.org:443", null],
    ["https://example.org", null],
    ["example.org/", null],
    ["a b", null],
    ["", null],
  ])("of %j is %j", (text, name) => {
    expect(hostNameOf(text)).toBe(name);
  });
});
