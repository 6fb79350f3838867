// Tickets: a server whose pages join a group without knowing the hub's token. Open http://localhost:8080 in two tabs, and each shows
// the sum of both. Start it with npx tsx examples/tickets.ts
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createHub, mintTicket } from "webccl/hub";

const port = Number(process.env.PORT ?? 8080);
const token = randomBytes(32).toString("hex");
const hub = await createHub({ port: 0, token, origins: [`http://localhost:${port}`] });
/** The package, which the page imports by the name webccl. */
const dist = new URL("../", import.meta.resolve("webccl"));

const page = `<!doctype html>
<meta charset="utf-8"><title>Tickets</title><p id="sum">Waiting for another tab</p>
<script type="importmap">{ "imports": { "webccl": "/webccl/browser/index.js" } }</script>
<script type="module">
  import { initProcessGroup } from "webccl";
  const ticket = await (await fetch("/ticket", { method: "POST" })).text();
  const group = await initProcessGroup({ initMethod: "${hub.url}/tabs", worldSize: 2, ticket });
  const tensor = new Float32Array(4).fill(group.rank + 1);
  await group.allReduce(tensor);
  document.getElementById("sum").textContent = \`rank \${group.rank} has the sum \${tensor.join(" ")}\`;
  await group.destroy();
</script>`;

createServer(async ({ method, url = "/" }, response) => {
  if (method === "POST" && url === "/ticket") {
    // Who may join is yours to decide: ask here who is logged in.
    response.end(mintTicket(token, { group: "tabs", expiresAt: Date.now() + 60_000 }));
  } else if (/^\/webccl\/([\w-]+\/)*[\w.-]+\.js$/.test(url)) {
    response.setHeader("content-type", "text/javascript");
    response.end(await readFile(new URL(url.slice("/webccl/".length), dist)).catch(() => ""));
  } else {
    response.setHeader("content-type", "text/html");
    response.end(page);
  }
}).listen(port, "localhost", () => console.log(`http://localhost:${port}`));
