/** The variables of `env://` where Slurm's `srun` started the ranks, and nobody set them. */

/** Slurm's name of each; those of the step come before those of the job, of which the step may be a part. */
const SLURM_NAMES: Readonly<Record<string, readonly string[]>> = {
  RANK: ["SLURM_PROCID"],
  WORLD_SIZE: ["SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"],
  LOCAL_RANK: ["SLURM_LOCALID"],
  MASTER_ADDR: ["SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST"],
};

/** The variable `name` of `environment`, or what Slurm says in its place if RANK is absent. */
export function variableOf(environment: NodeJS.ProcessEnv, name: string): string | undefined {
  const own = environment[name];
  if (own !== undefined || !SLURM_NAMES[name] || environment.RANK !== undefined) return own;
  if (environment.SLURM_PROCID === undefined) return undefined;
  const value = SLURM_NAMES[name].map((slurm) => environment[slurm]).find((text) => text !== undefined);
  return name === "MASTER_ADDR" && value !== undefined ? firstHostOf(value) : value;
}

/** The first host of a list such as `node[03-05,9],login`: node03. */
function firstHostOf(list: string): string {
  const [first = ""] = /^(?:[^,[]|\[[^\]]*\])+/.exec(list) ?? [];
  return first.replace(/\[([^\],-]*)[^\]]*\]/g, "$1");
}
