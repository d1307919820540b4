/* A server that does nothing but write: how much the load client can take.
 *
 *   blaster FRAME        prints its port; FRAME is one event's data, in which @@ is followed by the marker
 *
 * Every connection gets a head and the comment `: hi`. A line `FIRST COUNT` on standard input sends COUNT events to
 * each of them, one `send` an event and connection. The end of input is the end.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 20000, LISTENER = -1, INPUT = -2 };
static const char HEAD[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n: hi\n\n";
static int connections[MOST], count;

static void blast(const char *data, unsigned first, unsigned frames) {
  for (unsigned k = first; k < first + frames; k++) {
    char frame[4096];
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    const char *mark = strstr(data, "@@");
    int length = snprintf(frame, sizeof frame, "id: 1795527974982-%u\nevent: next\ndata: %.*s@@%u:%llu@%s\n\n", k,
                          (int)(mark - data), data, k,
                          (unsigned long long)t.tv_sec * 1000000 + t.tv_nsec / 1000, mark + 2);
    for (int c = 0; c < count; c++)
      while (send(connections[c], frame, length, MSG_NOSIGNAL) < 0 && errno == EAGAIN) {
        struct pollfd full = {.fd = connections[c], .events = POLLOUT};
        poll(&full, 1, -1);
      }
  }
}

static void commands(const char *data) {
  char text[128];
  unsigned first, frames;
  if (!fgets(text, sizeof text, stdin)) exit(0);
  if (sscanf(text, "%u %u", &first, &frames) != 2) exit(2);
  blast(data, first, frames);
}

int main(int argc, char **argv) {
  if (argc != 2 || !strstr(argv[1], "@@")) return 2;
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  setvbuf(stdin, NULL, _IONBF, 0);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), queue = epoll_create1(0), one = 1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 4096)) return 1;
  getsockname(listener, (struct sockaddr *)&address, &size);
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  struct epoll_event wanted = {.events = EPOLLIN, .data.fd = LISTENER}, events[64];
  epoll_ctl(queue, EPOLL_CTL_ADD, listener, &wanted);
  wanted.data.fd = INPUT;
  epoll_ctl(queue, EPOLL_CTL_ADD, 0, &wanted);
  for (;;) {
    int ready = epoll_wait(queue, events, 64, -1);
    for (int k = 0; k < ready; k++) {
      int fd = events[k].data.fd;
      char request[8192];
      if (fd == INPUT) commands(argv[1]);
      else if (fd == LISTENER) {
        int peer = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (peer < 0) continue;
        setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        wanted.data.fd = peer;
        epoll_ctl(queue, EPOLL_CTL_ADD, peer, &wanted);
      } else if (recv(fd, request, sizeof request, 0) <= 0 || count == MOST) {
        epoll_ctl(queue, EPOLL_CTL_DEL, fd, NULL); /* its place in `connections` stays: the end is near */
      } else { /* requests are small: the first read has all of it */
        epoll_ctl(queue, EPOLL_CTL_DEL, fd, NULL);
        connections[count++] = fd;
        send(fd, HEAD, sizeof HEAD - 1, MSG_NOSIGNAL);
      }
    }
  }
}
