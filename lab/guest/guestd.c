// SPDX-License-Identifier: GPL-2.0-or-later
// The one program of the lab's guest, and its pid 1. What it does is what the lab measures:
//
//   the disk writer   a numbered record every 50 ms to one fixed sector, past the page cache; the storage
//                     host reads these records to see two writers (migrationd_lab/witness.py)
//   port 80           a tiny HTTP server: boot id, uptime, counter; and the load and the faults below
//   port 7            TCP echo on connections that stay open
//   the power button  switches off in an orderly way, as `virsh shutdown` expects
//   the dirtier       while it runs it checks its memory, too: a page that does not hold what was last
//                     written to it is counted as lost (a migration that sent less than it should)
//
//   GET /                          boot_id=... uptime=... counter=... dirty=... lost=...
//   GET /dirty?mib=64&rate=80      dirty 64 MiB of memory at 80 MiB/s; mib=0 ends it
//   GET /poweroff /reboot /crash   what they say
//
// C and static, because starting a process takes tens of milliseconds in an emulated guest.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { http_port = 80, echo_port = 7, max_clients = 60, max_inputs = 4 };

// The record as the storage host reads it; little-endian, one sector.
struct record {
    char magic[8];     // "MIGRWIT1"
    char boot_id[40];  // text, zero-padded
    uint64_t counter;  // grows by one with each write of one boot
    uint64_t uptime_ns;
    char padding[512 - 64];
};
enum { record_offset = 1 << 20, record_interval_ms = 50 };

static char boot_id[40];
static volatile uint64_t *counter;  // shared by the writer and the server
static volatile uint64_t *lost;     // pages that lost a write; shared by the dirtier and the server
static pid_t dirtier = 0;
static long dirty_mib = 0;

static uint64_t uptime_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static void sleep_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static void read_boot_id(void)
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, boot_id, 36);
    boot_id[n < 0 ? 0 : n] = 0;
    close(fd);
}

// A failed write is not repeated under the same number: its first try may have reached the disk.
static void write_records(const char *device)
{
    int fd = open(device, O_WRONLY | O_DIRECT | O_SYNC);
    if (fd < 0) {
        printf("guestd: no disk (%s: %s), no records\n", device, strerror(errno));
        for (;;)
            pause();
    }
    struct record *r;
    if (posix_memalign((void **)&r, 4096, 4096))
        exit(1);
    memset(r, 0, 4096);
    memcpy(r->magic, "MIGRWIT1", 8);
    strcpy(r->boot_id, boot_id);
    int complained = 0;
    for (;;) {
        r->counter = ++*counter;
        r->uptime_ns = uptime_ns();
        if (pwrite(fd, r, 512, record_offset) != 512 && !complained++)
            printf("guestd: cannot write to %s: %s\n", device, strerror(errno));
        sleep_ms(record_interval_ms);
    }
}

// Writes the number of the round to every page, in slices of 10 ms so that the rate is even.
static void dirty_memory(long mib, long rate)
{
    size_t size = (size_t)mib << 20, at = 0;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        _exit(1);
    uint64_t start = uptime_ns(), done = 0;
    for (unsigned round = 1;;) {
        uint64_t due = (uptime_ns() - start) / 1000 * rate * 1048576 / 1000000;
        if (due > done + (uint64_t)rate * 1048576)  // we stood still: do not make up for it
            done = due - (uint64_t)rate * 10486;
        for (; done < due; done += 4096) {
            volatile unsigned *page = (volatile unsigned *)(memory + at);
            if (*page != round - 1 && !(*lost)++)
                printf("guestd: page %zu holds round %u in round %u\n", at >> 12, *page, round);
            *page = round;
            at += 4096;
            if (at == size) {
                at = 0;
                round++;
            }
        }
        sleep_ms(10);
    }
}

static void set_dirtier(long mib, long rate)
{
    if (dirtier > 0) {
        kill(dirtier, SIGKILL);
        waitpid(dirtier, NULL, 0);
    }
    dirtier = 0;
    dirty_mib = mib;
    if (mib > 0 && (dirtier = fork()) == 0)
        dirty_memory(mib, rate > 0 ? rate : 10);
}

static void power(int how)
{
    sync();
    reboot(how);
}

static void answer_http(int fd, const char *request)
{
    char body[400], reply[600];
    const char *mib = strstr(request, "mib="), *rate = strstr(request, "rate=");
    int how = 0;
    if (!strncmp(request, "GET /dirty", 10))
        set_dirtier(mib ? atol(mib + 4) : 0, rate ? atol(rate + 5) : 10);
    else if (!strncmp(request, "GET /poweroff", 13))
        how = RB_POWER_OFF;
    else if (!strncmp(request, "GET /reboot", 11))
        how = RB_AUTOBOOT;
    else if (!strncmp(request, "GET /crash", 10))
        how = -1;
    snprintf(body, sizeof body, "boot_id=%s\nuptime=%.3f\ncounter=%llu\ndirty=%ld\nlost=%llu\n", boot_id,
             uptime_ns() / 1e9, (unsigned long long)*counter, dirty_mib, (unsigned long long)*lost);
    int n = snprintf(reply, sizeof reply,
                     "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
                     "Connection: close\r\n\r\n%s",
                     strlen(body), body);
    if (write(fd, reply, n) != n)
        return;
    shutdown(fd, SHUT_WR);
    if (how == -1) {
        int trigger = open("/proc/sysrq-trigger", O_WRONLY);
        sleep_ms(50);
        if (write(trigger, "c", 1) != 1)
            puts("guestd: cannot crash");
    } else if (how) {
        sleep_ms(50);
        power(how);
    }
}

static int listen_on(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), yes = 1;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 64))
        printf("guestd: cannot listen on port %d: %s\n", port, strerror(errno));
    return fd;
}

// pfds: two listeners, the inputs, then the clients. Clients of port 7 are echoed, those of port 80 answered once.
static void serve(void)
{
    struct pollfd pfds[2 + max_inputs + max_clients];
    char is_http[2 + max_inputs + max_clients] = {0};
    const int first = 2 + max_inputs;
    int used = first, yes = 1;
    pfds[0] = (struct pollfd){listen_on(http_port), POLLIN, 0};
    pfds[1] = (struct pollfd){listen_on(echo_port), POLLIN, 0};
    for (int i = 0; i < max_inputs; i++) {
        char path[40];
        snprintf(path, sizeof path, "/dev/input/event%d", i);
        pfds[2 + i] = (struct pollfd){open(path, O_RDONLY | O_NONBLOCK), POLLIN, 0};
    }
    for (;;) {
        poll(pfds, used, -1);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        for (int i = 0; i < 2; i++) {
            int fd = pfds[i].revents ? accept4(pfds[i].fd, NULL, NULL, SOCK_NONBLOCK) : -1;
            if (fd < 0)
                continue;
            if (used == first + max_clients) {
                close(fd);
                continue;
            }
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
            setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
            is_http[used] = i == 0;
            pfds[used++] = (struct pollfd){fd, POLLIN, 0};
        }
        for (int i = 2; i < first; i++) {
            struct input_event e;
            while (pfds[i].revents && read(pfds[i].fd, &e, sizeof e) == sizeof e)
                if (e.type == EV_KEY && e.code == KEY_POWER && e.value == 1) {
                    puts("guestd: power button");
                    power(RB_POWER_OFF);
                }
        }
        for (int i = first; i < used;) {
            char buffer[2048];
            if (!pfds[i].revents) {
                i++;
                continue;
            }
            ssize_t n = read(pfds[i].fd, buffer, sizeof buffer - 1);
            int ended = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
            if (n > 0) {
                buffer[n] = 0;
                if (is_http[i])
                    answer_http(pfds[i].fd, buffer);
                else if (write(pfds[i].fd, buffer, n) < 0)
                    ended = errno != EAGAIN;
            }
            if (ended || (n > 0 && is_http[i])) {
                close(pfds[i].fd);
                pfds[i] = pfds[--used];
                is_http[i] = is_http[used];
            } else {
                i++;
            }
        }
    }
}

int main(void)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    signal(SIGPIPE, SIG_IGN);
    read_boot_id();
    counter = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    lost = counter + 1;
    if (fork() == 0)
        write_records("/dev/vda");
    printf("guestd: ready boot_id=%s uptime=%.2f\n", boot_id, uptime_ns() / 1e9);
    serve();
}
