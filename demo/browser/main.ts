/** The page of `webccl info --browsers`: tries what this browser has, shows it, and tells the command. */
import { FACT_NAMES, FACTS } from "../../src/cli/info/browser-facts.ts";
import { browserName } from "../../src/cli/info/browser-name.ts";
import { byId, cell, status } from "../display.ts";
import { probe } from "./probe.ts";

const facts = await probe();
const rows = FACT_NAMES.map((name) => {
  const { has, note } = facts[name];
  const row = document.createElement("tr");
  const here = cell(has ? "✓ yes" : "no", "td", has ? "good wide" : "wide");
  if (note !== null) {
    const why = document.createElement("span");
    why.className = "gpu";
    why.textContent = note;
    here.append(why);
  }
  const label = cell(FACTS[name], "th");
  label.scope = "row";
  row.append(label, here);
  return row;
});
byId("facts").replaceChildren(...rows);
const name = new URLSearchParams(location.search).get("name") ?? "";
const answer = await fetch(`./report/${name}`, { method: "POST", body: JSON.stringify(facts) }).catch(() => null);
const told = answer?.ok ? "The command has been told." : "The command has ended and was not told.";
status(`${browserName(navigator.userAgent)}. ${told}`, answer?.ok ? "ready" : "ended");
