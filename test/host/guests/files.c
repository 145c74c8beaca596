/* files DATA OUT ROUNDS GO: waits in the middle until GO exists; open files across moves. DATA is read a little per round, through descriptors that share an offset (dup) and ones
 * that do not; OUT is written at an offset and, through another descriptor made to append later, at its end. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHECK(x) do { if (!(x)) { printf("FAILED line %d: %s\n", __LINE__, #x); fflush(stdout); _exit(1); } } while (0)

int main(int argc, char **argv) {
  if (argc < 4) return 99;
  int rounds = atoi(argv[3]);
  char expect[8], got[8], extra[4096];
  int in = open(argv[1], O_RDONLY), twin = dup(in), own = open(argv[1], O_RDONLY | O_CLOEXEC), high = fcntl(in, F_DUPFD, 100);
  CHECK(in >= 0 && twin >= 0 && own >= 0 && high == 100);
  int out = open(argv[2], O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(out >= 0);
  snprintf(extra, sizeof extra, "%s.extra", argv[2]);
  int append = open(extra, O_WRONLY | O_CREAT | O_EXCL, 0600), other = open(extra, O_WRONLY);
  CHECK(append >= 0 && other >= 0);
  CHECK(fcntl(append, F_SETFL, O_APPEND) == 0);
  int self = open("/proc/self/exe", O_RDONLY), program = open(argv[0], O_RDONLY);
  CHECK(self >= 0 && program >= 0);
  FILE *stream = fopen(argv[1], "r");
  DIR *dir = opendir("/proc/self/..");
  CHECK(stream && dir);
  CHECK(chdir("/usr/lib") == 0);
  for (int i = 0; i < rounds; i++) {
    while (argc > 4 && i == rounds / 2 && access(argv[4], F_OK) != 0) usleep(1000);
    /* in, twin and high share an offset: three numbers a round between them */
    int from[3] = {in, twin, high};
    for (int k = 0; k < 3; k++) {
      snprintf(expect, sizeof expect, "%05d\n", 3 * i + k);
      CHECK(read(from[k], got, 6) == 6 && memcmp(got, expect, 6) == 0);
    }
    snprintf(expect, sizeof expect, "%05d\n", i);
    CHECK(read(own, got, 6) == 6 && memcmp(got, expect, 6) == 0);
    int number = -1;
    CHECK(fscanf(stream, "%d", &number) == 1 && number == i);
    CHECK(write(out, expect, 6) == 6);
    /* whoever else writes at the end of the file must not be overwritten */
    CHECK(write(append, "aa\n", 3) == 3);
    CHECK(lseek(other, 0, SEEK_END) == 6 * i + 3);
    CHECK(write(other, "bb\n", 3) == 3);
    char a[64], b[64];
    CHECK(read(self, a, sizeof a) == sizeof a && read(program, b, sizeof b) == sizeof b && memcmp(a, b, sizeof a) == 0);
    CHECK((fcntl(own, F_GETFD) & FD_CLOEXEC) && !(fcntl(in, F_GETFD) & FD_CLOEXEC));
    CHECK((fcntl(append, F_GETFL) & O_APPEND) && (fcntl(out, F_GETFL) & O_ACCMODE) == O_RDWR);
    char cwd[256];
    CHECK(getcwd(cwd, sizeof cwd) && strcmp(cwd, "/usr/lib") == 0);
    CHECK(access("x86_64-linux-gnu", R_OK) == 0);
    CHECK(read(0, got, 1) == 0);
    fprintf(stderr, "e%d\n", i);
    printf("part of line %d, ", i);
    fflush(stdout);
    usleep(3000);
    printf("and the rest\n");
    fflush(stdout);
  }
  CHECK(lseek(out, 0, SEEK_CUR) == 6 * rounds);
  CHECK(close(twin) == 0 && read(in, got, 6) >= 0);
  return 0;
}
