/** A hub in a process of any runtime. Prints its address, and its stats as a line of JSON whenever a line comes in. */
import { createHub } from "../../src/node/hub.ts";

const hub = await createHub({ port: 0, token: process.env.TOKEN, origins: ["https://good.example"] });
console.log(hub.url);
process.stdin.on("data", () => console.log(JSON.stringify(hub.stats)));
