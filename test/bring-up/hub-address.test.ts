import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { placeAtHub } from "../../src/bring-up/init-options.ts";
import { startHub } from "../../src/node/hub.ts";
import { AdmissionError, HubStore, initProcessGroup } from "../../src/node/index.ts";
import { pathProxy } from "../helpers/path-proxy.ts";
import { makeCertificate } from "../security/certificate.ts";

/** Text that may stand in a path when it is encoded. Segments of dots alone mean something else to a URL. */
const segment = fc
  .string({ unit: "binary", minLength: 1, maxLength: 12 })
  .filter((text) => !/^(\.|%2e)+$/i.test(text) && text.isWellFormed?.() !== false && !/\p{Surrogate}/u.test(text));

describe("the address of a hub", () => {
  it("is all that comes before the last slash; the group's name is what comes behind it", () => {
    fc.assert(
      fc.property(
        fc.constantFrom("ws", "wss"),
        fc.array(segment, { maxLength: 4 }),
        fc.oneof(segment, fc.constant("")),
        (scheme, path, name) => {
          const origin = `${scheme}://host:81`;
          const before = path.map((one) => `${encodeURIComponent(one)}/`).join("");
          const place = placeAtHub(new URL(`${origin}/${before}${encodeURIComponent(name)}`));
          expect(place.name).toBe(name);
          expect(place.hub).toBe(path.length > 0 ? new URL(`${origin}/${before}`).href : origin);
        },
      ),
    );
  });

  it("may have a path, at which ranks and stores reach it through a proxy", async () => {
    const hub = await startHub({ port: 0 });
    const proxy = await pathProxy(hub.port, (path) =>
      path.startsWith("/a/hub/") ? { path: path.slice("/a/hub".length) } : { status: 404 },
    );
    for (const [groupName, initMethod, name] of [
      [undefined, `${proxy}/a/hub/jobs`, "jobs"],
      [undefined, `${proxy}/a/hub/`, "default"],
      ["mine", `${proxy}/a/hub/`, "mine"],
      ["mine", `${proxy}/a/hub/jobs`, "mine"],
      [undefined, `${proxy}/a/hub/x%2Fy`, "x/y"],
    ] as const) {
      const options = { initMethod, worldSize: 2, timeoutMs: 20_000, ...(groupName && { groupName }) };
      const groups = await Promise.all([0, 1].map((rank) => initProcessGroup({ ...options, rank })));
      expect(groups.map((group) => group.name)).toEqual([name, name]);
      await Promise.all(groups.map((group) => group.destroy()));
    }
    const store = await HubStore.connect(`${proxy}/a/hub/keys`);
    await store.set("key", "value");
    const direct = await HubStore.connect(`${hub.url}/keys`);
    expect(new TextDecoder().decode(await direct.get("key"))).toBe("value");
    await Promise.all([store.close(), direct.close()]);
    await expect(initProcessGroup({ initMethod: `${proxy}/jobs`, rank: 0, worldSize: 1 })).rejects.toThrow(
      /answered HTTP 404: this is no webccl hub/,
    );
    await hub.close();
  });

  it("is told with the other scheme where one side has TLS and the other has none", async () => {
    const [plain, secure] = await Promise.all([startHub({ port: 0 }), startHub({ port: 0, tls: makeCertificate() })]);
    const join = (initMethod: string) => initProcessGroup({ initMethod, rank: 0, worldSize: 1, timeoutMs: 300 });
    const connect = (url: string) => HubStore.connect(url, { timeoutMs: 300 });
    for (const attempt of [join, connect]) {
      const { port } = plain;
      const refused = attempt(`wss://127.0.0.1:${port}/a`);
      await expect(refused).rejects.toThrow(AdmissionError);
      await expect(refused).rejects.toThrow(
        new RegExp(`wss://127.0.0.1:${port} answers without TLS: join ws://127.0.0.1:${port}, or .*--cert`),
      );
      // A hub that ends hangs up as well, so this one is tried again.
      await expect(attempt(`ws://127.0.0.1:${secure.port}/a`)).rejects.toThrow(
        new RegExp(
          `nothing answered at ws://.*; if the hub there has TLS, its address is wss://127.0.0.1:${secure.port}`,
        ),
      );
    }
    await Promise.all([plain.close(), secure.close()]);
  });
});
