/* A disk whose flushes fail from the moment that a file appears: fdatasync(2) and fsync(2) of a preloaded program. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int broken(void) {
  const char *flag = getenv("FAILING_SYNC");
  return flag != NULL && access(flag, F_OK) == 0;
}

static int sync_by(const char *name, int file) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  if (broken()) {
    errno = EIO;
    return -1;
  }
  return real(file);
}

int fdatasync(int file) { return sync_by("fdatasync", file); }

int fsync(int file) { return sync_by("fsync", file); }
