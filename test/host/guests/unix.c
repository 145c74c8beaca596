/* unix DIRECTORY: sockets whose names are relative to a directory that is only this program's own; "ok", or what was not as it should be. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define HOLDS(condition) \
  do { errno = 0; if (!(condition)) printf("not: %s (%s)\n", #condition, strerror(errno)); } while (0)

static struct sockaddr_un name;
static struct sockaddr *named(const char *path) {
  memset(&name, 0, sizeof name);
  name.sun_family = AF_UNIX;
  strncpy(name.sun_path, path, sizeof name.sun_path - 1);
  return (struct sockaddr *)&name;
}

/* In the directory where it is. */
static void sockets(void) {
  char text[8] = "";
  struct stat st;
  int server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
  HOLDS(bind(server, named("name"), sizeof name) == 0 && listen(server, 4) == 0);
  HOLDS(lstat("name", &st) == 0 && S_ISSOCK(st.st_mode));
  socklen_t size = sizeof name;
  HOLDS(getsockname(server, (struct sockaddr *)&name, &size) == 0 && !strcmp(name.sun_path, "name"));
  HOLDS(bind(client, named("name"), sizeof name) == -1 && errno == EADDRINUSE);
  HOLDS(connect(client, named("another"), sizeof name) == -1 && errno == ENOENT);
  HOLDS(connect(client, named("name"), sizeof name) == 0);
  HOLDS(mkdir("inner", 0700) == 0 && chdir("inner") == 0);
  int second = socket(AF_UNIX, SOCK_STREAM, 0), datagrams = socket(AF_UNIX, SOCK_DGRAM, 0), from = socket(AF_UNIX, SOCK_DGRAM, 0);
  HOLDS(connect(second, named("name"), sizeof name) == -1 && errno == ENOENT);
  HOLDS(connect(second, named("../name"), sizeof name) == 0);
  HOLDS(bind(datagrams, named("name"), sizeof name) == 0 && sendto(from, "one", 3, 0, named("name"), sizeof name) == 3);
  struct iovec v = {"two", 3};
  struct msghdr m = {.msg_name = named("./name"), .msg_namelen = sizeof name, .msg_iov = &v, .msg_iovlen = 1};
  HOLDS(sendmsg(from, &m, 0) == 3);
  HOLDS(recv(datagrams, text, 8, 0) == 3 && !memcmp(text, "one", 3) && recv(datagrams, text, 8, 0) == 3 && !memcmp(text, "two", 3));
  HOLDS(unlink("name") == 0 && chdir("..") == 0 && rmdir("inner") == 0 && unlink("name") == 0);
  close(server), close(client), close(second), close(datagrams), close(from);
}

int main(int argc, char **argv) {
  char directory[200];
  if (argc < 2) return 99;
  /* Instances of the program in one host have one each. */
  snprintf(directory, sizeof directory, "%s/of-%s", argv[1], getenv("DMI_RANK") ? getenv("DMI_RANK") : "it");
  HOLDS(mkdir(directory, 0700) == 0 && chdir(directory) == 0);
  sockets();
  memset(directory, 'x', 150), directory[150] = 0; /* longer than a socket's name may be */
  HOLDS(mkdir(directory, 0700) == 0 && chdir(directory) == 0);
  sockets();
  HOLDS(bind(socket(AF_UNIX, SOCK_STREAM, 0), named("/no/such/place"), sizeof name) == -1 && errno == ENOENT);
  HOLDS(bind(open("/dev/null", O_RDONLY), named("name"), sizeof name) == -1 && errno == ENOTSOCK);
  printf("ok\n");
  return 0;
}
