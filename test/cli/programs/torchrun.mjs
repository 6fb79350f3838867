// Prints the variables that torchrun sets, as one line of JSON, and says on stderr which rank this is.
const names =
  /^(RANK|WORLD_SIZE|MASTER_ADDR|MASTER_PORT|(LOCAL|GROUP|ROLE|TORCHELASTIC)_.*|WEBCCL_JOIN|WEBCCL_INIT_METHOD)$/;
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => names.test(name)));
console.log(JSON.stringify(env));
console.error(`error stream of ${env.RANK}`);
if (process.argv[2] === env.RANK && !env.WEBCCL_JOIN) process.exit(9);
