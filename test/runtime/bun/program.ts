/** The rank of a Node process: does the job in the variable JOB and prints the outcome. */
import { initProcessGroup } from "../../../src/bun/index.ts";
import { perform } from "../perform.ts";

console.log(JSON.stringify(await perform(JSON.parse(process.env.JOB!), initProcessGroup)));
