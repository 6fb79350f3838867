// Rank `argv[2]` ends as `argv[3]` says: an exit code, or a signal to itself. The others run until they are ended;
// with `argv[4]` "stubborn" they ignore SIGTERM. Everyone prints its process id first.
const [who, how, manner] = process.argv.slice(2);
if (manner === "stubborn") process.on("SIGTERM", () => {});
process.stdout.write(`pid ${process.pid}\n`, () => {
  if (process.env.RANK !== who) setInterval(() => {}, 60_000);
  else if (how.startsWith("SIG")) process.kill(process.pid, how);
  else process.exitCode = Number(how);
});
