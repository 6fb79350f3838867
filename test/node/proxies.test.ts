/** Whose word a server takes for an address: headers as proxies write them, behind whatever a client had written there. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { addressIn } from "../../src/node/proxies/addresses.ts";
import { hopsOfForwarded } from "../../src/node/proxies/forwarded.ts";
import { publicUrlOf } from "../../src/node/proxies/public-url.ts";
import { TrustedProxies } from "../../src/node/proxies/trusted-proxies.ts";

const NETWORK = "10.0.0.0/8";
const proxies = new TrustedProxies(["loopback", NETWORK, "2001:db8::7"]);

/** An address of a trusted proxy, and one of a client. */
const trusted = fc.oneof(
  fc.constantFrom("127.0.0.1", "::1", "127.9.9.9", "2001:db8::7", "::ffff:10.1.2.3"),
  fc.ipV4().map((address) => address.replace(/^\d+/, "10")),
);
const outside = fc
  .oneof(fc.ipV4(), fc.ipV6())
  .map((address) => addressIn(address))
  .filter((address) => address !== null)
  .filter((address) => new TrustedProxies([NETWORK, "loopback", "2001:db8::7"]).clientOf(address, {}) === address)
  .filter((address) => !/^(10|127)\.|^(::1|2001:db8::7)$/.test(address));

/** Text that a client can put into a header: also whole elements, cut anywhere, with addresses that it would like to have. */
const spoofed = fc.oneof(
  fc.constantFrom("", "unknown", "203.0.113.9", "203.0.113.9, 127.0.0.1", 'for="', "for=203.0.113.9;by=x", 'for="\\'),
  fc
    .array(fc.constantFrom(...'for=",;\\ []:.1', "203.0.113.9", "127.0.0.1", "for=", '"', ", "), { maxLength: 12 })
    .map((parts) => parts.join("")),
  fc.string({ unit: "grapheme-ascii", maxLength: 20 }),
);

/** An address as a proxy writes it, now and then with a port. */
const written = (address: string, port: number | null) =>
  port === null ? address : address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
const port = fc.option(fc.integer({ min: 1, max: 65_535 }));

/** A client, the proxies through which its request comes (the last one is whom the server sees), and what it sends itself. */
const way = fc.record({
  client: outside,
  chain: fc.array(trusted, { minLength: 1, maxLength: 4 }),
  said: spoofed,
  port,
});

/** The header X-Forwarded-For of such a request. */
const listOf = ({
  client,
  chain,
  said,
  port,
}: {
  client: string;
  chain: string[];
  said: string;
  port: number | null;
}) => [...(said === "" ? [] : [said]), written(client, port), ...chain.slice(0, -1)].join(", ");

/** Its header Forwarded. */
const forwardedOf = ({ client, chain, said, port }: Parameters<typeof listOf>[0]) =>
  [
    ...(said === "" ? [] : [said]),
    ...[written(client, port), ...chain.slice(0, -1)].map((address) => {
      const text =
        address.includes(":") && !address.includes(".") && !address.startsWith("[") ? `[${address}]` : address;
      return `for=${/^[\w.]+$/.test(text) ? text : `"${text}"`};proto=https`;
    }),
  ].join(", ");

const NUM_RUNS = 2_000;

describe("TrustedProxies", () => {
  it("finds the client by X-Forwarded-For, whatever the client wrote there", () => {
    fc.assert(
      fc.property(way, (request) => {
        const found = proxies.clientOf(request.chain.at(-1)!, { "x-forwarded-for": listOf(request) });
        expect(found).toBe(request.client);
      }),
      { numRuns: NUM_RUNS },
    );
  });

  it("finds the client by Forwarded, or believes nothing where the client spoilt it, and never what the client wrote", () => {
    let found = 0;
    fc.assert(
      fc.property(way, (request) => {
        const last = request.chain.at(-1)!;
        const client = proxies.clientOf(last, { forwarded: forwardedOf(request) });
        expect([request.client, last]).toContain(client);
        if (request.said === "") expect(client).toBe(request.client);
        if (client === request.client) found++;
      }),
      { numRuns: NUM_RUNS },
    );
    expect(found).toBeGreaterThan(NUM_RUNS / 10);
  });

  it("believes no header that the proxy only passed on: what differs from its own is nothing", () => {
    fc.assert(
      fc.property(way, spoofed, fc.boolean(), (request, other, isList) => {
        const last = request.chain.at(-1)!;
        const headers = isList
          ? { "x-forwarded-for": listOf(request), forwarded: other }
          : { forwarded: forwardedOf({ ...request, said: "" }), "x-forwarded-for": other };
        expect([request.client, last]).toContain(proxies.clientOf(last, headers));
      }),
      { numRuns: NUM_RUNS },
    );
  });

  it("takes nobody else's word", () => {
    fc.assert(
      fc.property(way, outside, (request, stranger) => {
        const headers = { "x-forwarded-for": listOf(request), forwarded: forwardedOf(request) };
        expect(proxies.clientOf(stranger, headers)).toBe(stranger);
        expect(new TrustedProxies().clientOf(request.chain[0]!, headers)).toBe(request.chain[0]);
      }),
    );
  });

  it.each([
    ["203.0.113.9", "203.0.113.9"],
    ["198.51.100.1, 203.0.113.9, 10.0.0.1, ::1", "203.0.113.9"],
    ["10.0.0.1, 127.0.0.1", "10.0.0.1"],
    ["203.0.113.9, unknown, 10.0.0.1", "10.0.0.1"],
    ["203.0.113.9, fe80::1%eth0", "127.0.0.1"],
    ["203.0.113.9,", "127.0.0.1"],
    ["[2001:DB8:0::1]:99", "2001:db8::1"],
    ["::ffff:203.0.113.9", "203.0.113.9"],
    ["[203.0.113.9]", "127.0.0.1"],
    ["", "127.0.0.1"],
  ])("reads X-Forwarded-For: %s as %s", (header, client) => {
    expect(proxies.clientOf("127.0.0.1", { "x-forwarded-for": header })).toBe(client);
  });

  it("refuses what is no proxy, and names it", () => {
    for (const entry of [
      "",
      "localhost",
      "10.0.0.0/33",
      "::/129",
      "10.0.0.0/8/8",
      "10.0.0.0/",
      "[::1]",
      "1.2.3.4:5",
      "*",
    ]) {
      expect(() => new TrustedProxies([entry])).toThrow(RangeError);
      expect(() => new TrustedProxies([entry])).toThrow(`"${entry}" is no proxy`);
    }
  });
});

describe("hopsOfForwarded()", () => {
  it.each([
    ['for="_gazonk"', ["_gazonk"]],
    ['For="[2001:db8:cafe::17]:4711"', ["[2001:db8:cafe::17]:4711"]],
    ["for=192.0.2.60;proto=http;by=203.0.113.43", ["192.0.2.60"]],
    ["for=192.0.2.43, for=198.51.100.17", ["192.0.2.43", "198.51.100.17"]],
    ["proto=https, for=a;;host=b", ["", "a"]],
    ['host="a,b;c=\\"d";for=e', ["e"]],
    ["for=a;for=b", ["unknown"]],
  ])("reads %s", (header, hops) => {
    expect(hopsOfForwarded(header)).toEqual(hops);
  });

  it.each(['for="a', "for=a b", "for", "for=", "=a", 'for="a"b', "for=[::1]", "for= a", 'for="x, for="[2001:db8::1]"'])(
    "reads nothing of %s",
    (header) => {
      expect(hopsOfForwarded(header)).toBeNull();
    },
  );
});

describe("publicUrlOf()", () => {
  it.each([
    ["wss://hub.example.org", "wss://hub.example.org", "https://hub.example.org/"],
    ["https://example.org:8443/a/hub/", "wss://example.org:8443/a/hub", "https://example.org:8443/a/hub/"],
    ["http://[::1]/hub", "ws://[::1]/hub", "http://[::1]/hub/"],
    ["wss://example.org:443/", "wss://example.org", "https://example.org/"],
  ])("takes %s", (text, ws, http) => {
    const url = publicUrlOf(text);
    expect(url).toEqual({ ws, http, host: new URL(http).hostname, origin: new URL(http).origin });
  });

  it.each(["", "example.org", "ftp://example.org", "https://a:b@example.org", "wss://example.org/?x", "wss://h/#x"])(
    "refuses %j",
    (text) => {
      expect(() => publicUrlOf(text)).toThrow(/is no public address such as/);
    },
  );
});
