/*
 * Open MPI's side of the comparison: one collective at the sizes given, f32 sum, timed as `webccl bench` times.
 *
 *   open-mpi <collective> <warmups> <iterations> <bytes>...
 *
 * `bytes` is the larger of a rank's input and output. Rank 0 prints a line per size: bytes, the median over the iterations
 * of the slowest rank's microseconds, and how many elements were wrong on all ranks, before and after the timed runs.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int rank, ranks;

static void fill(float *data, size_t count, int who) {
  for (size_t i = 0; i < count; i++) data[i] = (float)((i * 7 + (size_t)who * 3) % 4);
}

static float element(size_t i, int who) { return (float)((i * 7 + (size_t)who * 3) % 4); }

static float sum(size_t i) {
  float total = 0;
  for (int who = 0; who < ranks; who++) total += element(i, who);
  return total;
}

static void run(const char *name, float *in, float *out, size_t block) {
  if (!strcmp(name, "all_reduce")) MPI_Allreduce(MPI_IN_PLACE, in, block, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
  else if (!strcmp(name, "reduce_scatter")) MPI_Reduce_scatter_block(in, out, block, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
  else if (!strcmp(name, "all_gather")) MPI_Allgather(in, block, MPI_FLOAT, out, block, MPI_FLOAT, MPI_COMM_WORLD);
  else if (!strcmp(name, "broadcast")) MPI_Bcast(in, block, MPI_FLOAT, 0, MPI_COMM_WORLD);
  else if (!strcmp(name, "all_to_all")) MPI_Alltoall(in, block, MPI_FLOAT, out, block, MPI_FLOAT, MPI_COMM_WORLD);
  else MPI_Abort(MPI_COMM_WORLD, 2);
}

/* One run on fresh input; how many elements came out wrong here. */
static long check(const char *name, float *in, float *out, size_t block) {
  int in_place = !strcmp(name, "all_reduce") || !strcmp(name, "broadcast");
  int scattered = !strcmp(name, "reduce_scatter") || !strcmp(name, "all_to_all");
  fill(in, scattered ? block * ranks : block, rank);
  run(name, in, out, block);
  long wrong = 0;
  size_t results = in_place || !strcmp(name, "reduce_scatter") ? block : block * ranks;
  for (size_t i = 0; i < results; i++) {
    float expected = 0;
    if (!strcmp(name, "all_reduce")) expected = sum(i);
    else if (!strcmp(name, "broadcast")) expected = element(i, 0);
    else if (!strcmp(name, "reduce_scatter")) expected = sum(rank * block + i);
    else if (!strcmp(name, "all_gather")) expected = element(i % block, i / block);
    else expected = element(rank * block + i % block, i / block);
    if ((in_place ? in : out)[i] != expected) wrong++;
  }
  return wrong;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int argc, char **argv) {
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  const char *name = argv[1];
  int warmups = atoi(argv[2]), iterations = atoi(argv[3]);
  int in_place = !strcmp(name, "all_reduce") || !strcmp(name, "broadcast");
  double *times = malloc(iterations * sizeof(double)), *slowest = malloc(iterations * sizeof(double));
  for (int arg = 4; arg < argc; arg++) {
    size_t bytes = strtoull(argv[arg], NULL, 10);
    size_t block = bytes / 4 / (in_place ? 1 : ranks);
    if (block == 0) block = 1;
    float *in = calloc(block * ranks, 4), *out = calloc(block * ranks, 4);
    long wrong = check(name, in, out, block), all = 0;
    memset(in, 0, block * ranks * 4);
    for (int i = 0; i < warmups; i++) run(name, in, out, block);
    MPI_Barrier(MPI_COMM_WORLD);
    for (int i = 0; i < iterations; i++) {
      double start = MPI_Wtime();
      run(name, in, out, block);
      times[i] = (MPI_Wtime() - start) * 1e6;
    }
    wrong += check(name, in, out, block);
    MPI_Reduce(times, slowest, iterations, MPI_DOUBLE, MPI_MAX, 0, MPI_COMM_WORLD);
    MPI_Reduce(&wrong, &all, 1, MPI_LONG, MPI_SUM, 0, MPI_COMM_WORLD);
    if (rank == 0) {
      qsort(slowest, iterations, sizeof(double), ascending);
      printf("%zu %.3f %ld\n", bytes, slowest[iterations / 2], all);
      fflush(stdout);
    }
    free(in);
    free(out);
  }
  MPI_Finalize();
  return 0;
}
