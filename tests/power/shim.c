/* Preloaded into the server by the power-loss test: writes down every change of a file under POWER_ROOT, and every
 * sync of one, to the file POWER_JOURNAL, in the order in which they happened. The test then builds what a disk
 * would hold that lost its power: see tests/src/process/power/disk.rs.
 *
 * One record: kind(1) number(8) number(8) length(4) bytes(length), numbers in the machine's order:
 *
 *   O  file, 0,          path           opened (made, if the path was none)
 *   W  file, offset,     bytes written  written
 *   T  file, size,                      cut or grown
 *   S  file, ticket,                    a sync of the file begins     s  0, ticket   it ended well
 *   D  0,    ticket,     path           a sync of a folder begins     s  0, ticket   it ended well
 *   M  0, 0, path                       a folder made
 *   R  0, 0, old \0 new                 renamed
 *   U  0, 0, path                       removed (a file or an empty folder)
 *
 * A lock is held from each change to its record, so the order is exact; not while something is synced. What is not
 * seen: writes through mmap and through stdio (RocksDB's text log), which count as lost. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES_MAX 65536

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static char root[PATH_MAX];
static size_t root_length;
static int journal = -1;
static uint64_t tickets;
/* What is open, by descriptor: its path, while it is one of ours. */
static char *paths[FILES_MAX];

static void begin(void) {
    const char *at = getenv("POWER_ROOT"), *to = getenv("POWER_JOURNAL");
    if (!at || !to) return;
    snprintf(root, sizeof root, "%s", at);
    root_length = strlen(root);
    journal = syscall(SYS_openat, AT_FDCWD, to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

static void note(char kind, uint64_t a, uint64_t b, const void *bytes, uint32_t length) {
    char head[21];
    head[0] = kind;
    memcpy(head + 1, &a, 8);
    memcpy(head + 9, &b, 8);
    memcpy(head + 17, &length, 4);
    struct iovec parts[2] = {{head, sizeof head}, {(void *)bytes, length}};
    ssize_t whole = (ssize_t)(sizeof head + length);
    if (syscall(SYS_writev, journal, parts, 2) != whole) abort();
}

/* The path below a folder's descriptor, if it is one of ours. */
static const char *ours(int folder, const char *path, char *whole) {
    pthread_once(&once, begin);
    if (journal < 0 || !path) return NULL;
    if (path[0] == '/') {
        snprintf(whole, PATH_MAX, "%s", path);
    } else if (folder == AT_FDCWD) {
        char here[PATH_MAX];
        if (!getcwd(here, sizeof here)) return NULL;
        snprintf(whole, PATH_MAX, "%.2000s/%.2000s", here, path);
    } else if (folder >= 0 && folder < FILES_MAX && paths[folder]) {
        snprintf(whole, PATH_MAX, "%.2000s/%.2000s", paths[folder], path);
    } else {
        return NULL;
    }
    size_t length = strlen(whole);
    while (length > 1 && whole[length - 1] == '/') whole[--length] = 0;
    if (strncmp(whole, root, root_length) != 0) return NULL;
    return whole[root_length] == '/' || whole[root_length] == 0 ? whole : NULL;
}

/* Whether a descriptor is still the file of ours that it was opened as. */
static int is_ours(int fd, struct stat *found) {
    pthread_once(&once, begin);
    if (journal < 0 || fd < 0 || fd >= FILES_MAX || !paths[fd]) return 0;
    return fstat(fd, found) == 0 && (S_ISREG(found->st_mode) || S_ISDIR(found->st_mode));
}

static void opened(int fd, const char *path, int flags) {
    struct stat found;
    if (fd < 0 || fd >= FILES_MAX) return;
    free(paths[fd]);
    paths[fd] = path ? strdup(path) : NULL;
    if (!path || fstat(fd, &found) != 0 || !S_ISREG(found.st_mode)) return;
    note('O', found.st_ino, 0, path, strlen(path));
    if (flags & O_TRUNC) note('T', found.st_ino, 0, NULL, 0);
}

static int open_any(int folder, const char *path, int flags, mode_t mode) {
    char whole[PATH_MAX];
    const char *mine = ours(folder, path, whole);
    pthread_mutex_lock(&turn);
    int fd = syscall(SYS_openat, folder, path, flags, mode);
    int failed = errno;
    opened(fd, mine, flags);
    pthread_mutex_unlock(&turn);
    errno = failed;
    return fd;
}

#define MODE(last) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, last); mode = va_arg(more, mode_t); va_end(more); }

int open(const char *path, int flags, ...) { MODE(flags) return open_any(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return open_any(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE(flags) return open_any(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE(flags) return open_any(folder, path, flags | O_LARGEFILE, mode); }
int creat(const char *path, mode_t mode) { return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int close(int fd) {
    pthread_mutex_lock(&turn);
    if (fd >= 0 && fd < FILES_MAX) { free(paths[fd]); paths[fd] = NULL; }
    int answer = syscall(SYS_close, fd);
    pthread_mutex_unlock(&turn);
    return answer;
}

/* After a write of `count` bytes that ended where the descriptor stands, or at a given place. */
static void written(int fd, const struct iovec *parts, int many, ssize_t count, off_t at) {
    struct stat found;
    int failed = errno;
    if (count > 0 && is_ours(fd, &found)) {
        off_t place = at >= 0 ? at : lseek(fd, 0, SEEK_CUR) - count;
        for (int part = 0; part < many && count > 0; part++) {
            size_t length = parts[part].iov_len < (size_t)count ? parts[part].iov_len : (size_t)count;
            note('W', found.st_ino, place, parts[part].iov_base, length);
            place += length;
            count -= length;
        }
    }
    errno = failed;
}

#define TURN(call, parts, many, at) \
    pthread_mutex_lock(&turn); \
    ssize_t count = call; \
    written(fd, parts, many, count, at); \
    pthread_mutex_unlock(&turn); \
    return count;

ssize_t write(int fd, const void *bytes, size_t length) {
    struct iovec part = {(void *)bytes, length};
    /* Sockets and pipes may wait: they have no turn. */
    pthread_once(&once, begin);
    if (fd < 0 || fd >= FILES_MAX || !paths[fd]) return syscall(SYS_write, fd, bytes, length);
    TURN(syscall(SYS_write, fd, bytes, length), &part, 1, -1)
}

ssize_t writev(int fd, const struct iovec *parts, int many) {
    pthread_once(&once, begin);
    if (fd < 0 || fd >= FILES_MAX || !paths[fd]) return syscall(SYS_writev, fd, parts, many);
    TURN(syscall(SYS_writev, fd, parts, many), parts, many, -1)
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
    struct iovec part = {(void *)bytes, length};
    TURN(syscall(SYS_pwrite64, fd, bytes, length, at), &part, 1, at)
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) { return pwrite(fd, bytes, length, at); }

int ftruncate(int fd, off_t size) {
    struct stat found;
    pthread_mutex_lock(&turn);
    int answer = syscall(SYS_ftruncate, fd, size);
    if (answer == 0 && is_ours(fd, &found)) note('T', found.st_ino, size, NULL, 0);
    pthread_mutex_unlock(&turn);
    return answer;
}

int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }

/* Ways to write that this does not follow: callers fall back to plain writes. */
ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t length, unsigned flags) {
    (void)from; (void)from_at; (void)to; (void)to_at; (void)length; (void)flags;
    errno = ENOSYS;
    return -1;
}

static int synced(int fd, long call) {
    struct stat found;
    uint64_t ticket = 0;
    pthread_mutex_lock(&turn);
    int mine = is_ours(fd, &found);
    if (mine) {
        ticket = ++tickets;
        if (S_ISDIR(found.st_mode)) note('D', 0, ticket, paths[fd], strlen(paths[fd]));
        else note('S', found.st_ino, ticket, NULL, 0);
    }
    pthread_mutex_unlock(&turn);
    int answer = syscall(call, fd);
    if (mine && answer == 0) {
        pthread_mutex_lock(&turn);
        note('s', 0, ticket, NULL, 0);
        pthread_mutex_unlock(&turn);
    }
    return answer;
}

int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

static int renamed(int from_folder, const char *from, int to_folder, const char *to) {
    char old[PATH_MAX], new[PATH_MAX], both[2 * PATH_MAX];
    const char *one = ours(from_folder, from, old), *two = ours(to_folder, to, new);
    pthread_mutex_lock(&turn);
    int answer = syscall(SYS_renameat, from_folder, from, to_folder, to);
    if (answer == 0 && one && two) {
        size_t first = strlen(one) + 1, second = strlen(two);
        memcpy(both, one, first);
        memcpy(both + first, two, second);
        note('R', 0, 0, both, first + second);
    }
    pthread_mutex_unlock(&turn);
    return answer;
}

int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to); }
int renameat(int a, const char *from, int b, const char *to) { return renamed(a, from, b, to); }

static int removed(int folder, const char *path, int flags) {
    char whole[PATH_MAX];
    const char *mine = ours(folder, path, whole);
    pthread_mutex_lock(&turn);
    int answer = syscall(SYS_unlinkat, folder, path, flags);
    if (answer == 0 && mine) note('U', 0, 0, mine, strlen(mine));
    pthread_mutex_unlock(&turn);
    return answer;
}

int unlink(const char *path) { return removed(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return removed(AT_FDCWD, path, AT_REMOVEDIR); }
int unlinkat(int folder, const char *path, int flags) { return removed(folder, path, flags); }

int mkdir(const char *path, mode_t mode) {
    char whole[PATH_MAX];
    const char *mine = ours(AT_FDCWD, path, whole);
    pthread_mutex_lock(&turn);
    int answer = syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    if (answer == 0 && mine) note('M', 0, 0, mine, strlen(mine));
    pthread_mutex_unlock(&turn);
    return answer;
}
