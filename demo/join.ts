/** The address under which other devices find this page, as a link and as a QR code. */
import { element } from "./chart.ts";
import { byId } from "./display.ts";
import { qrCode } from "./qr.ts";

const QUIET_MODULES = 4;

/** Fills the card; `command` starts the hub. */
export async function showJoin(command: string): Promise<void> {
  const { urls }: { urls: string[] } = await (await fetch("./join.json")).json();
  // The address this page came from works here; one of the network's works for others too.
  const isLocal = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  const url =
    (isLocal && urls.find((each) => !/\/\/(127\.|localhost|\[::1\])/.test(each))) || new URL(".", location.href).href;
  const link = byId<HTMLAnchorElement>("join-link");
  link.href = url;
  link.textContent = url;
  byId("qr").replaceChildren(picture(url));
  const reachable = !/\/\/(127\.|localhost|\[::1\])/.test(url);
  byId("join-note").textContent = reachable
    ? "Phones: scan the code."
    : `Only this machine reaches this address. For phones: ${command} --host 0.0.0.0 --insecure, or with --token-file, --cert and --key.`;
  byId("copy").addEventListener("click", async () => {
    await navigator.clipboard?.writeText(url);
    byId("copy").textContent = navigator.clipboard ? "Copied" : "Copy it from the line above";
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
