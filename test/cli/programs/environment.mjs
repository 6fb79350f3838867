// Prints what a rank was given, as one line of JSON.
import { readFileSync } from "node:fs";

const names = ["RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "WEBCCL_TOKEN"];
const env = Object.fromEntries(names.map((name) => [name, process.env[name]]));
const commandLine = process.platform === "linux" ? readFileSync("/proc/self/cmdline", "utf8") : process.argv.join("\0");
console.log(JSON.stringify({ env, args: process.argv.slice(2), commandLine }));
