/** Programs of the tests, each in one file with all of this repository that it imports: it starts several times faster so. */
import { rmSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";

/** As deep as a program in test/AREA/KIND, whose relative imports of what stays outside are kept as they are. */
const OUT = fileURLToPath(new URL(`../../test-results/programs/${process.pid}`, import.meta.url));
const known = new Map<string, Promise<string>>();

process.on("exit", () => rmSync(OUT, { recursive: true, force: true }));

/** Path of the file that holds `program`, the path of a module; modules in `external` are imported from where they are. */
export function bundled(program: string, external: string[] = []): Promise<string> {
  const name = `${basename(program, ".ts")}.mjs`;
  const made = known.get(program) ?? make(program, name, external);
  known.set(program, made);
  return made;
}

async function make(program: string, name: string, external: string[]): Promise<string> {
  await build({
    configFile: false,
    logLevel: "error",
    build: {
      ssr: program,
      outDir: OUT,
      emptyOutDir: false,
      minify: false,
      rolldownOptions: { external, output: { entryFileNames: name } },
    },
  });
  return join(OUT, name);
}
