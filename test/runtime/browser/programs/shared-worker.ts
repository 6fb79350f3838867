/** A shared worker that is a rank: does the job in its location's fragment, and gives whoever connects the outcome. */
import { initProcessGroup } from "../../../../src/browser/index.ts";
import { perform } from "../../perform.ts";

const outcome = perform(JSON.parse(decodeURIComponent(location.hash.slice(1))), initProcessGroup);
addEventListener("connect", (event) => {
  const [port] = (event as MessageEvent).ports;
  void outcome.then((value) => port?.postMessage(value));
});
