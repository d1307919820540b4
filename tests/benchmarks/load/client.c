/* Load client: N server-sent event streams in one thread, told what to do by lines on standard input.
 *
 *   client HOST PORT REQUESTS OPENED_BY [in-flight=64] [per-second=0] [sources=4] [first-source=1] [retry=0] [reconnect=0]
 *          [nap=0] [backoff=0]
 *
 * REQUESTS is a file of records, a 32-bit length in the machine's order and as many bytes: one whole HTTP request a
 * connection. A connection is open when its body has shown OPENED_BY. An event counts when its data carries a marker
 *
 *   @@SEQUENCE:MICROSECONDS@
 *
 * where MICROSECONDS since 1970 is the instant of publication. Commands, and the JSON lines that answer:
 *
 *   open                       {"type":"opened",...} when every connection is open or has failed
 *   expect FIRST COUNT STRICT  {"type":"expecting"}; then {"type":"arrived","sequence":k,...} whenever an event has
 *                              reached every connection. STRICT 0: events may be meant for others, gaps are no losses
 *   report                     {"type":"report",...}: everything since `expect`
 *   opens MICROSECONDS         {"type":"opens",...}: how long after that instant each connection (re)opened
 *   resumed MICROSECONDS       {"type":"resumed",...}: how long each connection that was cut waited for its first event,
 *                              from its own connect, or that instant if it is later
 *   allow N                    {"type":"allowed"}: from now on N opens in flight
 *   jitter EVERY AWAY          {"type":"jitter"}: from now on each connection is cut every EVERY milliseconds, by RST, all of
 *                              them evenly spread, and comes back after AWAY; EVERY 0 ends that. Needs reconnect=1
 *   replayed                   {"type":"replayed",...}: how long each that was cut so took, from when it came back, until it
 *                              had all that any connection here had seen by then
 *   end of input               the end
 *
 * After each look at its sockets that finds less than 512 ready it sleeps `nap` microseconds.
 *
 * With retry=1 an open that is refused is tried again after RETRY_US. With reconnect=1 a connection that is lost or
 * refused comes back after RETRY_US; the text `"since":null` in its request, followed by at least CURSOR spaces, is
 * overwritten with the `id:` of the last event it has seen. With backoff=1 they come back as the product's own client
 * does: after FIRST_US + U(0, min(MOST_US, STEP_US * 2^n)), where n counts the attempts that have failed since.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

enum {
  BUFFER = 1 << 18,        /* one read; shared by all connections */
  LONGEST_LINE = 1 << 16,  /* a longer one is an error of the server */
  LONGEST_HEAD = 8192,
  CURSOR = 40,
  RETRY_US = 50000,
  FIRST_US = 250000, STEP_US = 1000000, MOST_US = 30000000,
  MOST_SEQUENCES = 1 << 16,
  OCTAVES = 40, STEPS = 32, BUCKETS = OCTAVES * STEPS, /* latencies, 3 % apart at most */
};

enum state { CLOSED, CONNECTING, HEAD, SIZE, BODY, AFTER, TRAILER };

struct connection {
  int fd;
  enum state state;
  bool chunked, open, failed, queued;
  uint32_t request_length, sent, rest_length;
  char *request;
  char *rest;            /* an unfinished line or head, from earlier reads */
  char *words;           /* the last comment or data of a stream that is not open: why it ends, perhaps */
  uint64_t chunk_left;
  uint64_t began_at, opened_at, resumed_at; /* microseconds since 1970; of the last connect, of an event after a cut */
  bool resuming;         /* it was cut, and has seen no event since */
  bool replaying;        /* it was cut by `jitter`, and does not have all before `missed` */
  uint64_t back_at;      /* when it was to come back, 0 once it has begun to; microseconds since 1970 */
  uint64_t returned_at;  /* when it came back */
  uint32_t missed;       /* the last sequence number that anybody had seen by then */
  uint32_t failures;     /* since it was open */
  uint32_t next;         /* the sequence number that comes next */
  uint32_t received, duplicates, missing;
  char event_id[CURSOR], cursor[CURSOR];
};

static struct connection *connections;
static uint32_t count;
static int epoll_fd;
static struct sockaddr_in server;
static const char *opened_by;
static uint32_t most_in_flight = 64, per_second, sources = 4, first_source = 1, reconnect, retry, nap, backoff;

static struct waiting { uint32_t index; uint64_t due; } *queue; /* to open: a heap by `due`, each connection once */
static uint32_t queue_length, in_flight, open_now, failed, refused, lost, reopened, opened_this_second;
static uint64_t second_started, opening_since, last_opened_at;
static bool opening;

static uint64_t cut_every, cut_away, cutting_since, cuts_done; /* see `jitter`; the n-th cut is connection n's */
static uint32_t cuts_made, replayed, unfinished, nothing_missed, newest, replays[BUCKETS];
static char first_failure[512];

static uint32_t first_sequence, sequence_count, arrivals[MOST_SEQUENCES];
static uint64_t first_arrival[MOST_SEQUENCES], first_at, last_at, deliveries, bytes_read, reads, latest;
static uint32_t histogram[BUCKETS];
static bool strict = true;
static struct rusage usage_before;

static uint64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (uint64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

/* Bucket of a value: exact below STEPS, then STEPS equal steps an octave. */
static int bucket(uint64_t value) {
  if (value < STEPS) return (int)value;
  int octave = 63 - __builtin_clzll(value) - 5; /* 2^5 == STEPS */
  int found = (octave + 1) * STEPS + (int)((value >> octave) - STEPS);
  return found < BUCKETS ? found : BUCKETS - 1;
}

static void print_histogram(const uint32_t *of) {
  printf("\"histogram\":[");
  const char *comma = "";
  for (int k = 0; k < BUCKETS; k++)
    if (of[k]) {
      int octave = k / STEPS - 1;
      uint64_t low = octave < 0 ? (uint64_t)k : (uint64_t)(STEPS + k % STEPS) << octave;
      printf("%s[%llu,%u]", comma, (unsigned long long)low, of[k]);
      comma = ",";
    }
  printf("]");
}

static void print_text(const char *text) {
  putchar('"');
  for (; *text; text++) {
    if (*text == '"' || *text == '\\') putchar('\\');
    putchar((unsigned char)*text < ' ' ? ' ' : *text);
  }
  putchar('"');
}

static void enqueue(struct connection *c, uint64_t due) {
  if (c->queued) return;
  c->queued = true;
  uint32_t at = queue_length++;
  for (; at && queue[(at - 1) / 2].due > due; at = (at - 1) / 2) queue[at] = queue[(at - 1) / 2];
  queue[at] = (struct waiting){(uint32_t)(c - connections), due};
}

/* Take out who is due first. */
static struct connection *dequeue(void) {
  struct connection *first = &connections[queue[0].index];
  struct waiting last = queue[--queue_length];
  uint32_t at = 0;
  for (uint32_t child; (child = 2 * at + 1) < queue_length; at = child) {
    if (child + 1 < queue_length && queue[child + 1].due < queue[child].due) child++;
    if (queue[child].due >= last.due) break;
    queue[at] = queue[child];
  }
  queue[at] = last;
  first->queued = false;
  return first;
}

static uint64_t delay(uint32_t failures) {
  if (!backoff) return RETRY_US;
  uint64_t most = failures < 5 ? (uint64_t)STEP_US << failures : MOST_US;
  return FIRST_US + (uint64_t)(drand48() * (double)most);
}

static void put_cursor(struct connection *c) {
  static const char needle[] = "\"since\":null";
  size_t room = strlen(c->cursor) + 2;
  char *at = c->cursor[0] ? memmem(c->request, c->request_length, "\"since\":", 8) : NULL;
  if (!at) return;
  char *value = at + 8, *end = c->request + c->request_length, *p = value;
  bool fresh = (size_t)(end - at) >= sizeof needle - 1 && !memcmp(at, needle, sizeof needle - 1);
  p += fresh ? 4 : 1;
  if (!fresh) while (p < end && *p++ != '"');
  while (p < end && *p == ' ') p++;
  if ((size_t)(p - value) < room) { fprintf(stderr, "no room for a cursor in the request\n"); exit(1); }
  memset(value, ' ', p - value);
  *value = '"';
  memcpy(value + 1, c->cursor, room - 2);
  value[room - 1] = '"';
}

static void begin(struct connection *c) {
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (c->fd < 0) die("socket");
  int one = 1;
  setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  uint32_t source = first_source + (uint32_t)(c - connections) % sources;
  struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000u | 1u << 16 | source)};
  if (bind(c->fd, (struct sockaddr *)&from, sizeof from)) die("bind");
  if (connect(c->fd, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS) die("connect");
  struct epoll_event event = {.events = EPOLLOUT, .data.u32 = (uint32_t)(c - connections)};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event)) die("epoll_ctl");
  put_cursor(c);
  c->state = CONNECTING;
  c->sent = 0;
  c->chunked = false;
  c->event_id[0] = 0;
  c->began_at = now_us();
  if (c->back_at) { /* the first attempt after a cut; waiting for its turn here counts too */
    c->returned_at = c->back_at;
    c->back_at = 0;
    c->missed = newest;
    c->replaying = c->next <= newest;
    nothing_missed += !c->replaying;
  }
  in_flight++;
}

static void tell_if_opened(void) {
  if (!opening || open_now + failed < count) return;
  opening = false;
  printf("{\"type\":\"opened\",\"open\":%u,\"failed\":%u,\"refused\":%u,\"seconds\":%.6f,\"failure\":", open_now, failed,
         refused, (last_opened_at - opening_since) / 1e6);
  print_text(first_failure);
  printf("}\n");
}

static void end(struct connection *c, const char *why) {
  close(c->fd);
  if (c->open) { open_now--; lost++; } else in_flight--;
  if (!first_failure[0])
    snprintf(first_failure, sizeof first_failure, "%.64s; %s", why, c->open ? "it was open" : c->words ? c->words : "");
  free(c->rest);
  free(c->words);
  c->rest = c->words = NULL;
  c->rest_length = 0;
  c->state = CLOSED;
  bool was_open = c->open;
  c->open = false;
  refused += !was_open;
  c->resuming |= was_open;
  if (reconnect || (retry && !was_open)) enqueue(c, now_us() + delay(was_open ? 0 : ++c->failures));
  else if (!was_open) { c->failed = true; failed++; tell_if_opened(); }
}

/* Cut a connection the way a network does: nothing more comes from it, and what it had not read is lost. */
static void cut(struct connection *c, uint64_t now) {
  if (!c->open) return; /* it has not come back since the last time */
  struct linger at_once = {.l_onoff = 1, .l_linger = 0};
  setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close(c->fd);
  open_now--;
  lost++;
  cuts_made++;
  free(c->rest);
  c->rest = NULL;
  c->rest_length = 0;
  c->state = CLOSED;
  c->open = false;
  c->resuming = true;
  unfinished += c->replaying;
  c->replaying = false;
  c->back_at = now + cut_away;
  enqueue(c, c->back_at);
}

/* Cut who is due. Returns the milliseconds until the next is, -1 for never. */
static int cut_due(void) {
  if (!cut_every) return -1;
  uint64_t now = now_us();
  for (uint64_t due; (due = cutting_since + cuts_done * cut_every / count) <= now; cuts_done++)
    cut(&connections[cuts_done % count], now);
  return (int)((cutting_since + cuts_done * cut_every / count - now) / 1000) + 1;
}

static void keep(struct connection *c, const char *data, size_t length) {
  if (!length) return;
  c->rest = realloc(c->rest, c->rest_length + length);
  if (!c->rest) die("realloc");
  memcpy(c->rest + c->rest_length, data, length);
  c->rest_length += (uint32_t)length;
}

static void opened(struct connection *c) {
  c->open = true;
  c->failures = 0;
  free(c->words);
  c->words = NULL;
  c->opened_at = last_opened_at = now_us();
  open_now++;
  in_flight--;
  if (lost) reopened++;
  tell_if_opened();
}

static void deliver(struct connection *c, uint32_t sequence, uint64_t published, uint64_t at) {
  if (sequence < c->next) { c->duplicates++; return; }
  if (strict) c->missing += sequence - c->next;
  c->next = sequence + 1;
  if (sequence > newest) newest = sequence;
  if (c->resuming) { c->resuming = false; c->resumed_at = at; }
  if (c->replaying && c->next > c->missed) {
    c->replaying = false;
    replays[bucket(at > c->returned_at ? at - c->returned_at : 0)]++;
    replayed++;
  }
  if (sequence < first_sequence || sequence >= first_sequence + sequence_count) return;
  c->received++;
  if (!deliveries++) first_at = at;
  last_at = at;
  histogram[bucket(at > published ? at - published : 0)]++;
  uint32_t k = sequence - first_sequence;
  if (!arrivals[k]) first_arrival[k] = at;
  if (++arrivals[k] == count)
    printf("{\"type\":\"arrived\",\"sequence\":%u,\"published\":%llu,\"first\":%llu,\"last\":%llu}\n", sequence,
           (unsigned long long)published, (unsigned long long)first_arrival[k], (unsigned long long)at);
}

static void remember(struct connection *c, const char *text, size_t length) {
  free(c->words);
  c->words = strndup(text, length < 400 ? length : 400);
}

/* One line of the event stream, without its end. */
static void line(struct connection *c, const char *text, size_t length) {
  if (length && text[length - 1] == '\r') length--;
  if (!c->open && memmem(text, length, opened_by, strlen(opened_by))) opened(c);
  if (!length) {
    if (c->event_id[0]) memcpy(c->cursor, c->event_id, CURSOR); /* an event counts when its blank line is there */
  } else if (text[0] == ':' && !c->open) {
    remember(c, text, length);
  } else if (length > 4 && length < 4 + CURSOR && !memcmp(text, "id: ", 4)) {
    memcpy(c->event_id, text + 4, length - 4);
    c->event_id[length - 4] = 0;
  } else if (length > 5 && !memcmp(text, "data:", 5)) {
    const char *mark = memmem(text, length, "@@", 2), *end = text + length;
    if (!mark) {
      if (!c->open) remember(c, text, length);
      return;
    }
    uint64_t sequence = 0, published = 0;
    for (mark += 2; mark < end && *mark >= '0' && *mark <= '9'; mark++) sequence = sequence * 10 + (*mark - '0');
    if (mark == end || *mark++ != ':') return;
    for (; mark < end && *mark >= '0' && *mark <= '9'; mark++) published = published * 10 + (*mark - '0');
    deliver(c, (uint32_t)sequence, published, latest);
  }
}

/* A piece of the body. False: a line that never ends. */
static bool body(struct connection *c, const char *data, size_t length) {
  const char *end = data + length, *feed;
  while (data < end && (feed = memchr(data, '\n', end - data))) {
    if (c->rest_length) {
      keep(c, data, feed - data);
      line(c, c->rest, c->rest_length);
      free(c->rest);
      c->rest = NULL;
      c->rest_length = 0;
    } else
      line(c, data, feed - data);
    data = feed + 1;
  }
  keep(c, data, end - data);
  return c->rest_length <= LONGEST_LINE;
}

/* A head that is complete, or more of one. Returns what of `data` it used, -1 for an answer that is no stream. */
static ssize_t head(struct connection *c, const char *data, size_t length) {
  size_t before = c->rest_length;
  keep(c, data, length);
  char *finish = memmem(c->rest, c->rest_length, "\r\n\r\n", 4);
  if (!finish) return c->rest_length > LONGEST_HEAD ? -1 : (ssize_t)length;
  size_t size = finish + 4 - c->rest;
  if (size < 12 || memcmp(c->rest + 8, " 200", 4)) {
    if (!first_failure[0]) snprintf(first_failure, sizeof first_failure, "%.*s", (int)c->rest_length, c->rest);
    return -1;
  }
  c->rest[size - 1] = 0;
  c->chunked = strcasestr(c->rest, "\ntransfer-encoding: chunked") != NULL;
  c->state = c->chunked ? SIZE : BODY;
  free(c->rest);
  c->rest = NULL;
  c->rest_length = 0;
  return (ssize_t)(size - before);
}

/* Bytes of one connection. False: the stream is over. */
static bool received(struct connection *c, const char *data, size_t length) {
  const char *end = data + length;
  while (data < end) {
    switch (c->state) {
    case HEAD: {
      ssize_t used = head(c, data, end - data);
      if (used < 0) return false;
      data += used;
      c->chunk_left = 0;
      break;
    }
    case SIZE: { /* hexadecimal, then perhaps an extension, then CR LF */
      char digit = *data++;
      int value = digit >= '0' && digit <= '9' ? digit - '0' : (digit | 32) >= 'a' && (digit | 32) <= 'f' ? (digit | 32) - 'a' + 10 : -1;
      if (value >= 0) c->chunk_left = c->chunk_left * 16 + value;
      else if (digit == '\n') {
        if (!c->chunk_left) return false;
        c->state = BODY;
      } else if (digit != '\r') c->state = TRAILER;
      break;
    }
    case TRAILER:
      if (*data++ == '\n') {
        if (!c->chunk_left) return false;
        c->state = BODY;
      }
      break;
    case BODY: {
      size_t piece = end - data;
      if (c->chunked && piece > c->chunk_left) piece = c->chunk_left;
      if (!body(c, data, piece)) return false;
      data += piece;
      if (c->chunked && !(c->chunk_left -= piece)) c->state = AFTER;
      break;
    }
    case AFTER: /* the CR LF behind a chunk */
      if (*data++ == '\n') c->state = SIZE;
      break;
    default: return false;
    }
  }
  return true;
}

static void writable(struct connection *c) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error) { end(c, strerror(error)); return; }
  ssize_t wrote = send(c->fd, c->request + c->sent, c->request_length - c->sent, MSG_NOSIGNAL);
  if (wrote < 0) {
    if (errno != EAGAIN) end(c, strerror(errno));
    return;
  }
  c->sent += (uint32_t)wrote;
  if (c->sent < c->request_length) return;
  c->state = HEAD;
  struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)(c - connections)};
  epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
}

static void readable(struct connection *c) {
  static char buffer[BUFFER];
  ssize_t length = recv(c->fd, buffer, sizeof buffer, 0);
  if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (length <= 0) { end(c, length ? strerror(errno) : "closed by the server"); return; }
  latest = now_us();
  reads++;
  bytes_read += length;
  if (!received(c, buffer, length)) end(c, "the stream ended");
}

/* Open what is due. Returns the milliseconds until there may be more to open, -1 for never. */
static int begin_due(void) {
  uint64_t now = now_us();
  if (now - second_started >= 1000000) { second_started = now; opened_this_second = 0; }
  while (queue_length && in_flight < most_in_flight) {
    if (queue[0].due > now) return (int)((queue[0].due - now) / 1000) + 1;
    /* The allowance grows through the second: no bursts at its start. */
    if (per_second && opened_this_second > (now - second_started) * per_second / 1000000) return 1;
    opened_this_second++;
    begin(dequeue());
  }
  return -1;
}

static void expect(uint32_t first, uint32_t sequences, bool exact) {
  if (sequences > MOST_SEQUENCES) sequences = MOST_SEQUENCES;
  first_sequence = first;
  sequence_count = sequences;
  strict = exact;
  newest = first ? first - 1 : 0;
  deliveries = bytes_read = reads = first_at = last_at = 0;
  memset(arrivals, 0, sizeof arrivals);
  memset(histogram, 0, sizeof histogram);
  for (uint32_t k = 0; k < count; k++) {
    struct connection *c = &connections[k];
    c->next = first;
    c->replaying = false;
    c->received = c->duplicates = c->missing = 0;
  }
  getrusage(RUSAGE_SELF, &usage_before);
  printf("{\"type\":\"expecting\"}\n");
}

static double seconds(struct timeval t) { return t.tv_sec + t.tv_usec / 1e6; }

static void report(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  uint64_t missing = 0, duplicates = 0;
  uint32_t incomplete = 0;
  for (uint32_t k = 0; k < count; k++) {
    struct connection *c = &connections[k];
    uint32_t end = first_sequence + sequence_count;
    uint32_t absent = strict ? c->missing + (c->next < end ? end - c->next : 0) : 0;
    missing += absent;
    duplicates += c->duplicates;
    incomplete += absent > 0;
  }
  printf("{\"type\":\"report\",\"connections\":%u,\"open\":%u,\"lost\":%u,\"reopened\":%u,\"deliveries\":%llu,"
         "\"first\":%llu,\"last\":%llu,\"missing\":%llu,\"duplicates\":%llu,\"incomplete\":%u,\"bytes\":%llu,"
         "\"reads\":%llu,\"cpu\":%.6f,\"failure\":",
         count, open_now, lost, reopened, (unsigned long long)deliveries, (unsigned long long)first_at,
         (unsigned long long)last_at, (unsigned long long)missing, (unsigned long long)duplicates, incomplete,
         (unsigned long long)bytes_read, (unsigned long long)reads,
         seconds(u.ru_utime) + seconds(u.ru_stime) - seconds(usage_before.ru_utime) - seconds(usage_before.ru_stime));
  print_text(first_failure);
  printf(",");
  print_histogram(histogram);
  printf("}\n");
}

static void opens(uint64_t since) {
  static uint32_t of[BUCKETS];
  memset(of, 0, sizeof of);
  for (uint32_t k = 0; k < count; k++)
    if (connections[k].open) {
      uint64_t at = connections[k].opened_at;
      of[bucket(at > since ? at - since : 0)]++;
    }
  printf("{\"type\":\"opens\",\"open\":%u,\"reopened\":%u,", open_now, reopened);
  print_histogram(of);
  printf("}\n");
}

static void resumed(uint64_t since) {
  static uint32_t of[BUCKETS];
  memset(of, 0, sizeof of);
  uint32_t found = 0;
  for (uint32_t k = 0; k < count; k++) {
    const struct connection *c = &connections[k];
    if (!c->resumed_at || c->resuming) continue;
    uint64_t from = c->began_at > since ? c->began_at : since;
    of[bucket(c->resumed_at > from ? c->resumed_at - from : 0)]++;
    found++;
  }
  printf("{\"type\":\"resumed\",\"open\":%u,", found);
  print_histogram(of);
  printf("}\n");
}

static void jitter(uint64_t every, uint64_t away) {
  if (every) {
    cutting_since = now_us();
    cuts_done = 0;
    cuts_made = replayed = unfinished = nothing_missed = 0;
    memset(replays, 0, sizeof replays);
  }
  cut_every = every * 1000;
  cut_away = away * 1000;
  printf("{\"type\":\"jitter\"}\n");
}

static void tell_replayed(void) {
  uint32_t waiting = unfinished;
  for (uint32_t k = 0; k < count; k++) waiting += connections[k].replaying;
  printf("{\"type\":\"replayed\",\"open\":%u,\"cuts\":%u,\"nothing\":%u,\"waiting\":%u,", replayed, cuts_made,
         nothing_missed, waiting);
  print_histogram(replays);
  printf("}\n");
}

static void command(const char *text) {
  unsigned first, sequences, exact;
  unsigned long long since, away;
  if (!strcmp(text, "open")) {
    opening = true;
    opening_since = last_opened_at = now_us();
    for (uint32_t k = 0; k < count; k++) enqueue(&connections[k], 0);
  } else if (sscanf(text, "expect %u %u %u", &first, &sequences, &exact) == 3) expect(first, sequences, exact);
  else if (!strcmp(text, "report")) report();
  else if (sscanf(text, "opens %llu", &since) == 1) opens(since);
  else if (sscanf(text, "resumed %llu", &since) == 1) resumed(since);
  else if (sscanf(text, "jitter %llu %llu", &since, &away) == 2) jitter(since, away);
  else if (!strcmp(text, "replayed")) tell_replayed();
  else if (sscanf(text, "allow %u", &most_in_flight) == 1) printf("{\"type\":\"allowed\"}\n");
  else { fprintf(stderr, "no such command: %s\n", text); exit(2); }
}

static void commands(void) {
  static char text[256];
  static size_t length;
  ssize_t got = read(0, text + length, sizeof text - 1 - length);
  if (got <= 0) exit(0);
  length += got;
  char *feed;
  while ((feed = memchr(text, '\n', length))) {
    *feed = 0;
    command(text);
    length -= feed + 1 - text;
    memmove(text, feed + 1, length);
  }
}

static void load(const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file) die(path);
  uint32_t length, room = 0;
  while (fread(&length, sizeof length, 1, file) == 1) {
    if (count == room) {
      room = room ? room * 2 : 1024;
      connections = realloc(connections, room * sizeof *connections);
      if (!connections) die("realloc");
    }
    struct connection *c = memset(&connections[count++], 0, sizeof *c);
    c->request = malloc(length);
    c->request_length = length;
    if (!c->request || fread(c->request, 1, length, file) != length) die(path);
  }
  fclose(file);
  if (!count || !(queue = calloc(count, sizeof *queue))) die("no requests");
}

static void option(const char *text) {
  static const struct { const char *name; uint32_t *value; } options[] = {
    {"in-flight=", &most_in_flight}, {"per-second=", &per_second}, {"sources=", &sources},
    {"first-source=", &first_source}, {"reconnect=", &reconnect}, {"retry=", &retry},
    {"nap=", &nap}, {"backoff=", &backoff},
  };
  for (size_t k = 0; k < sizeof options / sizeof *options; k++) {
    size_t length = strlen(options[k].name);
    if (!strncmp(text, options[k].name, length)) { *options[k].value = (uint32_t)atoi(text + length); return; }
  }
  fprintf(stderr, "no such option: %s\n", text);
  exit(2);
}

int main(int argc, char **argv) {
  if (argc < 5) { fprintf(stderr, "usage: client HOST PORT REQUESTS OPENED_BY [name=value]...\n"); return 2; }
  setvbuf(stdout, NULL, _IOLBF, 1 << 16);
  server.sin_family = AF_INET;
  server.sin_port = htons((uint16_t)atoi(argv[2]));
  if (inet_pton(AF_INET, argv[1], &server.sin_addr) != 1) die(argv[1]);
  opened_by = argv[4];
  for (int k = 5; k < argc; k++) option(argv[k]);
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  load(argv[3]);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  enum { STDIN = UINT32_MAX };
  struct epoll_event events[512], input = {.events = EPOLLIN, .data.u32 = (uint32_t)STDIN};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, 0, &input)) die("standard input must be a pipe");
  for (;;) {
    int until_cut = cut_due(), wait = begin_due();
    if (until_cut >= 0 && (wait < 0 || until_cut < wait)) wait = until_cut;
    int ready = epoll_wait(epoll_fd, events, 512, wait);
    if (ready < 0 && errno != EINTR) die("epoll_wait");
    if (nap && ready < 512) usleep(nap);
    for (int k = 0; k < ready; k++) {
      if (events[k].data.u32 == (uint32_t)STDIN) { commands(); continue; }
      struct connection *c = &connections[events[k].data.u32];
      if (c->state == CONNECTING) writable(c);
      else if (c->state != CLOSED) readable(c);
    }
  }
}
