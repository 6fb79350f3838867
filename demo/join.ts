/** The address under which others find this page: as a link, and as a QR code where another device can open it. */
import { byId } from "./display.ts";
import { qrCode } from "./qr.ts";
import { element } from "./svg.ts";

const QUIET_MODULES = 4;
const LOOPBACK = /\/\/(127\.|localhost[:/]|\[::1\])/;

/** What the command tells of itself. */
interface Place {
  /** The addresses of this page. */
  readonly urls: readonly string[];
  /** Where the documentation is; null if nobody has said. */
  readonly docs: string | null;
}

/** Fills the card; `command` starts the hub. */
export async function showJoin(command: string): Promise<void> {
  const { urls, docs }: Place = await (await fetch("./join.json")).json();
  // The address this page came from works here; one of the network's works for others too.
  const own = new URL(".", location.href).href;
  const url = (LOOPBACK.test(own) && urls.find((each) => !LOOPBACK.test(each))) || own;
  const isReachable = !LOOPBACK.test(url);
  const link = byId<HTMLAnchorElement>("join-link");
  link.href = url;
  link.textContent = url;
  byId("join-where").textContent = isReachable
    ? "Open this address in another tab, or on another device: a phone scans the code."
    : "Open this address in another tab of a browser on this machine:";
  byId("qr").hidden = !isReachable;
  if (isReachable) byId("qr").replaceChildren(picture(url));
  byId("join-phones").hidden = isReachable;
  byId("join-command").append(...unbroken(`${command} --host 0.0.0.0 --insecure`));
  byId("copy").addEventListener("click", async () => {
    await navigator.clipboard?.writeText(url);
    byId("copy").textContent = navigator.clipboard ? "Copied" : "Copy it from the line above";
  });
  const documentation = document.getElementById("docs") as HTMLAnchorElement | null;
  if (documentation && docs !== null) {
    documentation.href = docs;
    documentation.hidden = false;
  }
}

/** A command line that breaks between its flags alone. */
function unbroken(command: string): Node[] {
  return command.split(/ (?=--)/).flatMap((words, i) => {
    const part = document.createElement("span");
    part.textContent = words;
    return i === 0 ? [part] : [document.createTextNode(" "), part];
  });
}

function picture(url: string): SVGElement {
  const modules = qrCode(url);
  const size = modules.length + 2 * QUIET_MODULES;
  const svg = element("svg", { viewBox: `0 0 ${size} ${size}`, role: "img", "shape-rendering": "crispEdges" });
  svg.setAttribute("aria-label", `QR code of ${url}`);
  svg.append(element("rect", { width: size, height: size, fill: "#fff" }));
  const path = modules
    .flatMap((row, y) => row.map((dark, x) => (dark ? `M${x + QUIET_MODULES} ${y + QUIET_MODULES}h1v1h-1z` : "")))
    .join("");
  svg.append(element("path", { d: path, fill: "#000" }));
  return svg;
}
