/** The API reference: Markdown pages made from the docstrings of every entry of the package, by typedoc. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Application, type DeclarationReflection, LogLevel, type ProjectReflection, ReflectionKind } from "typedoc";

/** What must have a docstring. A type parameter, a parameter and an accessor's two halves are told by what they belong to. */
const DOCUMENTED = [
  ...["Enum", "EnumMember", "Variable", "Function", "Class", "Interface", "Property", "Method", "Accessor"],
  ...["TypeAlias", "Constructor"],
] as const;

/** The entries of package.json, by the name under which they are imported, and the source of each. */
function entries(root: string): Map<string, string> {
  const { name, exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const found = new Map<string, string>();
  for (const [path, entry] of Object.entries<{ types?: string }>(exports)) {
    if (!entry.types) continue;
    const source = entry.types.replace(/^\.\/dist\/(.*)\.d\.ts$/, "src/$1.ts");
    found.set(path === "." ? name : `${name}${path.slice(1)}`, join(root, source));
  }
  return found;
}

/** The public items of the package, and what typedoc complains of: an item without a docstring, a link that leads nowhere. */
export class Reference {
  readonly complaints: readonly string[];
  readonly #app: Application;
  readonly #project: ProjectReflection;

  private constructor(app: Application, project: ProjectReflection, complaints: readonly string[]) {
    this.#app = app;
    this.#project = project;
    this.complaints = complaints;
  }

  /** Reads the code of the repository in `root`. */
  static async read(root: string): Promise<Reference> {
    const names = entries(root);
    const complaints: string[] = [];
    const app = await Application.bootstrapWithPlugins({
      entryPoints: [...names.values()],
      tsconfig: join(root, "tsconfig.json"),
      plugin: ["typedoc-plugin-markdown"],
      out: join(root, "site/pages/api"),
      readme: "none",
      name: "API reference",
      skipErrorChecking: true,
      excludeInternal: true,
      excludePrivate: true,
      excludeExternals: true,
      disableSources: true,
      disableGit: true,
      gitRemote: "none",
      sort: ["source-order"],
      kindSortOrder: ["Class", "Function", "Interface", "TypeAlias", "Variable"],
      requiredToBeDocumented: [...DOCUMENTED],
      validation: {
        notDocumented: true,
        invalidLink: true,
        notExported: false,
        invalidPath: false,
        rewrittenLink: false,
      },
      logLevel: LogLevel.Warn,
      ...{
        hidePageHeader: true,
        hideBreadcrumbs: false,
        entryFileName: "index",
        useCodeBlocks: true,
        sanitizeComments: true,
      },
      ...{
        parametersFormat: "table",
        indexFormat: "table",
        pageTitleTemplates: { module: "{name}", member: "{name}" },
      },
    });
    app.logger.log = (message, level) => {
      // The members of an anonymous type are told by the item that has it.
      if (level >= LogLevel.Warn && !/__type\.\S* \(|__type\.\S+, /.test(message)) complaints.push(message);
    };
    const project = await app.convert();
    if (!project) throw new Error(`typedoc could not read the code: ${complaints.join("\n")}`);
    app.validate(project);
    for (const module of modulesOf(project)) {
      const source = [join(root, "src", `${module.name}.ts`), join(root, "src", module.name, "index.ts")];
      const [name] = [...names].find(([, file]) => source.includes(file)) ?? [];
      if (!name) throw new Error(`${module.name} is no entry of the package`);
      module.name = name;
    }
    return new Reference(app, project, complaints);
  }

  /** Writes the pages into site/pages/api/. */
  async write(): Promise<void> {
    await this.#app.generateOutputs(this.#project);
  }
}

function modulesOf(project: ProjectReflection): DeclarationReflection[] {
  return project.getChildrenByKind(ReflectionKind.Module);
}
