// Two copies of the library in one program, as when two of its plugins each bring their own: each serves on its own.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <inferlay.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(condition) \
  do { \
    if (!(condition)) { \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      exit(1); \
    } \
  } while (0)

typedef inferlay_status *(*server_new_fn)(uint32_t, const inferlay_options *, inferlay_server **);
typedef bool (*server_is_live_fn)(const inferlay_server *);
typedef void (*server_free_fn)(inferlay_server *);

// The copy that lies beside this program.
static void *open_copy(void) {
  char path[4096] = {0};
  CHECK(readlink("/proc/self/exe", path, sizeof path - 16) > 0);
  strcpy(strrchr(path, '/'), "/libcopy.so");
  void *copy = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  CHECK(copy != NULL);
  return copy;
}

// A function of a library; POSIX says that a pointer to an object may hold one.
static void find(void *library, const char *name, void *function) {
  void *found = dlsym(library, name);
  CHECK(found != NULL);
  memcpy(function, &found, sizeof found);
}

int main(void) {
  void *copy = open_copy();
  server_new_fn copy_new;
  server_is_live_fn copy_is_live;
  server_free_fn copy_free;
  find(copy, "inferlay_server_new", &copy_new);
  find(copy, "inferlay_server_is_live", &copy_is_live);
  find(copy, "inferlay_server_free", &copy_free);
  CHECK(copy_new != inferlay_server_new);

  inferlay_server *ours = NULL, *theirs = NULL;
  CHECK(inferlay_server_new(INFERLAY_API_VERSION, NULL, &ours) == NULL);
  CHECK(copy_new(INFERLAY_API_VERSION, NULL, &theirs) == NULL);
  CHECK(inferlay_server_is_live(ours) && copy_is_live(theirs));
  inferlay_server_free(ours);
  CHECK(copy_is_live(theirs));
  copy_free(theirs);
  printf("inferlay %s has a copy\n", inferlay_version());
  return 0;
}
