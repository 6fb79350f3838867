/**
 * The system packages that the tests need beyond npm's: `npx tsx scripts/system-packages.ts` installs it, `npm test` does so first.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** A Debian package, and a file by which it is known to be here. */
interface SystemPackage {
  name: string;
  file: string;
  purpose: string;
  /** `npm run matrix` alone needs it. */
  inMatrix?: true;
}

const PACKAGES: readonly SystemPackage[] = [
  {
    name: "chromium",
    file: "/usr/lib/chromium/vk_swiftshader_icd.json",
    purpose: "the browser, and SwiftShader, the GPU in software of tests in Node",
  },
  {
    name: "firefox-esr",
    file: "/usr/bin/firefox-esr",
    purpose: "the second browser",
    inMatrix: true,
  },
  {
    name: "webkit2gtk-driver",
    file: "/usr/bin/WebKitWebDriver",
    purpose: "WebKit, the third browser",
    inMatrix: true,
  },
  {
    name: "xvfb",
    file: "/usr/bin/Xvfb",
    purpose: "a display for browsers with windows",
    inMatrix: true,
  },
  {
    name: "mesa-vulkan-drivers",
    file: "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json",
    purpose: "llvmpipe, the GPU in software of tests in Deno",
  },
  {
    name: "g++",
    file: "/usr/bin/g++",
    purpose: "builds the NCCL addon and its stand-ins",
  },
  {
    name: "g++-aarch64-linux-gnu",
    file: "/usr/bin/aarch64-linux-gnu-g++",
    purpose: "builds the NCCL addon for arm64",
    inMatrix: true,
  },
  {
    name: "iproute2",
    file: "/usr/sbin/ip",
    purpose: "network namespaces, the several hosts of a test",
  },
  {
    name: "redis-server",
    file: "/usr/bin/redis-server",
    purpose: "the server of RedisStore's tests",
  },
  {
    name: "systemd",
    file: "/usr/bin/systemd-analyze",
    purpose: "checks the unit of a hub",
  },
  {
    name: "nginx-light",
    file: "/usr/sbin/nginx",
    purpose: "a proxy with TLS in front of a hub",
    inMatrix: true,
  },
  {
    name: "caddy",
    file: "/usr/bin/caddy",
    purpose: "another one",
    inMatrix: true,
  },
];

/**
 * Installs the packages that `command` needs and are missing; without the right to do so, says how.
 * @throws Error naming the command that installs them, if they are not here at the end.
 */
export function ensureSystemPackages(command: "tests" | "matrix" = "matrix"): void {
  const missing = PACKAGES.filter(({ file, inMatrix }) => !existsSync(file) && (command === "matrix" || !inMatrix));
  if (missing.length === 0) return;
  const names = missing.map(({ name }) => name);
  const commands = [
    ["apt-get", "update"],
    ["apt-get", "install", "-y", "--no-install-recommends", ...names],
  ];
  if (process.getuid?.() === 0) {
    for (const [command, ...args] of commands) {
      const { status } = spawnSync(command!, args, {
        stdio: "inherit",
        env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
      });
      if (status !== 0) break;
    }
  }
  const left = missing.filter(({ file }) => !existsSync(file));
  if (left.length === 0) return;
  const wanted = left.map(({ name, purpose }) => `${name} (${purpose})`).join(", ");
  throw new Error(
    `missing: ${wanted}. Install with: sudo apt-get update && sudo apt-get install -y ${left.map(({ name }) => name).join(" ")}`,
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) ensureSystemPackages();
