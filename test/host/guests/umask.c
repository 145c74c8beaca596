/* umask DIRECTORY GO: sets a mask by its rank (077, 0), waits until GO is there, and says what modes new files then get. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static unsigned mode(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 ? st.st_mode & 0777 : 07777;
}
int main(int argc, char **argv) {
  if (argc < 3 || chdir(argv[1]) != 0) return 99;
  const int rank = atoi(getenv("DMI_RANK"));
  umask(rank ? 0 : 077);
  printf("set\n");
  fflush(stdout);
  while (access(argv[2], F_OK) != 0) usleep(1000);
  char file[20], made[20], directory[20], name[100];
  snprintf(file, sizeof file, "file%d", rank), snprintf(made, sizeof made, "made%d", rank);
  snprintf(directory, sizeof directory, "directory%d", rank), snprintf(name, sizeof name, "%s/socket%d", argv[1], rank);
  close(open(file, O_CREAT | O_WRONLY, 0666));
  mkdir(made, 0777);
  mkdirat(AT_FDCWD, directory, 0777);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path, name);
  int s = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(s, (struct sockaddr *)&address, sizeof address) != 0) return 98;
  close(s);
  printf("%03o %03o %03o %03o, mask %03o\n", mode(file), mode(made), mode(directory), mode(name), umask(022));
  return 0;
}
