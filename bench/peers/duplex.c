/*
 * What a socket can do: two processes on loopback, each sending its bytes to the other and receiving the other's at the same
 * time, with nothing else to do. As many bytes cross in each direction as in an all-reduce of two ranks.
 *
 *   duplex <collective> <warmups> <iterations> <bytes>...
 *
 * Arguments and output are those of open-mpi.c.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int rank, peer;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

static unsigned char element(size_t i, int who) { return (unsigned char)((i * 7 + (size_t)who * 3) % 251); }

/* Both ways at once: writes while there is room, reads while there is something, and waits only if there is neither. */
static void exchange(const char *out, char *in, size_t bytes) {
  size_t sent = 0, received = 0;
  while (sent < bytes || received < bytes) {
    ssize_t wrote = sent < bytes ? send(peer, out + sent, bytes - sent, MSG_NOSIGNAL) : 0;
    ssize_t got = received < bytes ? recv(peer, in + received, bytes - received, 0) : 0;
    if (wrote > 0) sent += wrote;
    if (got > 0) received += got;
    if (wrote > 0 || got > 0) continue;
    struct pollfd wait = {peer, (sent < bytes ? POLLOUT : 0) | (received < bytes ? POLLIN : 0), 0};
    if (poll(&wait, 1, 10000) <= 0 || wait.revents & (POLLERR | POLLHUP)) fail("the other side is gone");
  }
}

/* One run on fresh bytes; how many came out wrong here. */
static long check(char *out, char *in, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) out[i] = element(i, rank);
  exchange(out, in, bytes);
  long wrong = 0;
  for (size_t i = 0; i < bytes; i++) wrong += (unsigned char)in[i] != element(i, 1 - rank);
  return wrong;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void meet(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 1)) fail("listen");
  getsockname(listener, (struct sockaddr *)&address, &length);
  rank = fork() == 0;
  if (rank == 0) peer = accept(listener, NULL, NULL);
  else if (connect(peer = socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&address, length)) fail("connect");
  close(listener);
  int on = 1;
  setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (fcntl(peer, F_SETFL, O_NONBLOCK)) fail("fcntl");
}

int main(int argc, char **argv) {
  int warmups = atoi(argv[2]), iterations = atoi(argv[3]);
  size_t size = iterations * sizeof(double);
  double *times = malloc(size), *theirs = malloc(size);
  meet();
  for (int arg = 4; arg < argc; arg++) {
    size_t bytes = strtoull(argv[arg], NULL, 10);
    char *out = malloc(bytes), *in = malloc(bytes);
    long wrong = check(out, in, bytes), wrong_there;
    for (int i = 0; i < warmups; i++) exchange(out, in, bytes);
    for (int i = 0; i < iterations; i++) {
      double start = now();
      exchange(out, in, bytes);
      times[i] = now() - start;
    }
    wrong += check(out, in, bytes);
    exchange((char *)times, (char *)theirs, size);
    exchange((char *)&wrong, (char *)&wrong_there, sizeof wrong);
    if (rank == 0) {
      for (int i = 0; i < iterations; i++) if (theirs[i] > times[i]) times[i] = theirs[i];
      qsort(times, iterations, sizeof(double), ascending);
      printf("%zu %.3f %ld\n", bytes, times[iterations / 2], wrong + wrong_there);
      fflush(stdout);
    }
    free(out);
    free(in);
  }
  if (rank == 0) wait(NULL);
  return 0;
}
