/* A pool of real connections, by hiredis and libpq, under load while their server is killed and comes back.
 *
 *   pool redis|postgres SERVER    SERVER is the script that starts and kills the server
 */
#include "../c/check.h"

#include <hiredis/hiredis.h>
#include <libpq-fe.h>
#include <sys/wait.h>

#define CALLERS 8
#define CONNECTIONS 4

/* What the program knows of a database. */
typedef struct Driver {
  const char *name;
  void *(*connect)(int port);
  int (*ask)(void *connection); /* one round trip; 0 if it failed */
  void (*close)(void *connection);
} Driver;

static void *redis_connect(int port) {
  struct timeval limit = { 2, 0 };
  redisContext *redis = redisConnectWithTimeout("127.0.0.1", port, limit);
  if (redis != NULL && redis->err == 0 && redisSetTimeout(redis, limit) == REDIS_OK) return redis;
  redisFree(redis);
  return NULL;
}

static int redis_ask(void *connection) {
  redisReply *reply = (redisReply *)redisCommand((redisContext *)connection, "INCR asked");
  int good = reply != NULL && reply->type == REDIS_REPLY_INTEGER;
  freeReplyObject(reply);
  return good;
}

static void redis_close(void *connection) { redisFree((redisContext *)connection); }

/* That the server goes is what the test is about. */
static void say_nothing(void *argument, const char *message) {
  (void)argument;
  (void)message;
}

static void *postgres_connect(int port) {
  char info[128];
  PGconn *postgres;
  snprintf(info, sizeof info, "host=127.0.0.1 port=%d user=trunkline dbname=postgres connect_timeout=2", port);
  postgres = PQconnectdb(info);
  PQsetNoticeProcessor(postgres, say_nothing, NULL);
  if (PQstatus(postgres) == CONNECTION_OK) return postgres;
  PQfinish(postgres);
  return NULL;
}

static int postgres_ask(void *connection) {
  PGresult *result = PQexec((PGconn *)connection, "select 1");
  int good = PQresultStatus(result) == PGRES_TUPLES_OK;
  PQclear(result);
  return good;
}

static void postgres_close(void *connection) { PQfinish((PGconn *)connection); }

static const Driver DRIVERS[] = {
  { "redis", redis_connect, redis_ask, redis_close },
  { "postgres", postgres_connect, postgres_ask, postgres_close },
};

/* A connection, and the life of the server in which it was made. */
typedef struct Connection {
  void *handle;
  int life;
} Connection;

typedef struct Test {
  const Driver *driver;
  const char *server;
  int port;
  trunkline_pool_t pool;
  trunkline_cq_t jobs;
  pthread_mutex_t mutex;
  int life, stops, served, broken, refused, timeouts, stale, made, closed;
} Test;

static void pause_ms(long ms) {
  struct timespec pause = { 0, ms * 1000000 };
  nanosleep(&pause, NULL);
}

static int life_of(Test *test, int *stops) {
  int life;
  pthread_mutex_lock(&test->mutex);
  life = test->life;
  if (stops != NULL) *stops = test->stops;
  pthread_mutex_unlock(&test->mutex);
  return life;
}

static void count(Test *test, int *counter) {
  pthread_mutex_lock(&test->mutex);
  ++*counter;
  pthread_mutex_unlock(&test->mutex);
}

static void fail(trunkline_job_t job, const char *why) {
  trunkline_job_done(job, 0, trunkline_error_new(TRUNKLINE_E_CONNECTION_FAILED, why, strlen(why), NULL));
}

static void make(Test *test, trunkline_job_t job) {
  Connection *made = (Connection *)malloc(sizeof *made);
  made->life = life_of(test, NULL);
  made->handle = test->driver->connect(test->port);
  if (made->handle == NULL) {
    free(made);
    fail(job, "the server does not answer");
    return;
  }
  count(test, &test->made);
  OK(trunkline_job_done(job, (uint64_t)(uintptr_t)made, NULL));
}

/* Does what the pool asks for, on threads of the program's own, which may block. */
static void *work(void *argument) {
  Test *test = (Test *)argument;
  trunkline_event_t event;
  size_t n;
  while (trunkline_cq_wait(test->jobs, &event, 1, NEVER, &n) == TRUNKLINE_OK) {
    trunkline_job_t job;
    Connection *connection;
    if (n == 0) continue;
    job.h = event.handle;
    connection = (Connection *)(uintptr_t)event.about;
    switch ((uint32_t)event.value) {
      case TRUNKLINE_JOB_CONNECT: make(test, job); break;
      case TRUNKLINE_JOB_CHECK:
        if (test->driver->ask(connection->handle)) OK(trunkline_job_done(job, 0, NULL));
        else fail(job, "it does not answer any more");
        break;
      case TRUNKLINE_JOB_CLOSE:
        test->driver->close(connection->handle);
        free(connection);
        count(test, &test->closed);
        trunkline_job_done(job, 0, NULL);
        break;
      default: CHECK(0, "no other job is asked for");
    }
  }
  return NULL;
}

static void use(Test *test, trunkline_leased_t leased, int life) {
  Connection *connection = (Connection *)(uintptr_t)leased.value;
  int is_stale = connection->life < life && life_of(test, NULL) == life;
  int works = test->driver->ask(connection->handle);
  if (is_stale) count(test, &test->stale);
  count(test, works ? &test->served : &test->broken);
  OK(trunkline_pool_release(test->pool, leased.lease, works ? 0 : TRUNKLINE_POOL_DISCARD));
}

static void *ask_again_and_again(void *argument) {
  Test *test = (Test *)argument;
  int stops = 0;
  while (!stops) {
    trunkline_leased_t leased;
    int life = life_of(test, &stops);
    trunkline_status_t status = trunkline_pool_acquire(test->pool, in_ms(20000), TEXT("a caller"), &leased, NULL);
    switch (status) {
      case TRUNKLINE_OK: use(test, leased, life); break;
      case TRUNKLINE_E_LIMIT_EXCEEDED: /* the circuit is open: the server is down */
        count(test, &test->refused);
        pause_ms(5);
        break;
      case TRUNKLINE_E_TIMEOUT: count(test, &test->timeouts); break;
      default: GIVES(TRUNKLINE_OK, status);
    }
  }
  return NULL;
}

static void server(const Test *test, const char *action) {
  pid_t child = fork();
  int status = -1;
  CHECK(child >= 0, "a fork works");
  if (child == 0) {
    execl(test->server, test->server, action, test->driver->name, (char *)NULL);
    _exit(127);
  }
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0, action);
}

static int port_of(const Test *test) {
  char command[512];
  FILE *pipe;
  int port = 0;
  snprintf(command, sizeof command, "%s port %s", test->server, test->driver->name);
  pipe = popen(command, "r");
  CHECK(pipe != NULL && fscanf(pipe, "%d", &port) == 1, "the server has a port");
  pclose(pipe);
  return port;
}

static int counted(Test *test, const int *counter) {
  int found;
  pthread_mutex_lock(&test->mutex);
  found = *counter;
  pthread_mutex_unlock(&test->mutex);
  return found;
}

/* Waits until so many more were served; the alarm of begin() ends a test in which that never happens. */
static void let_serve(Test *test, int more) {
  int target = counted(test, &test->served) + more;
  while (counted(test, &test->served) < target) pause_ms(1);
}

static void kill_and_restart(Test *test) {
  server(test, "kill");
  pause_ms(300);
  pthread_mutex_lock(&test->mutex);
  test->life++; /* what was made before is of no use from here on */
  pthread_mutex_unlock(&test->mutex);
  server(test, "start");
  let_serve(test, 200);
}

int main(int argc, char **argv) {
  static const char JSON[] =
      "{\"name\": \"peers\", \"max_size\": 4, \"check_after\": \"0s\", \"breaker\": {\"open\": \"200ms\", \"max_open\": "
      "\"200ms\"}}";
  trunkline_job_host_t host = { { 0 }, 0, NULL, NULL, NULL };
  trunkline_pool_stats_t stats = TRUNKLINE_POOL_STATS_INIT;
  pthread_t callers[CALLERS], workers[1];
  Test test;
  size_t i;
  uint64_t left = 9;
  begin();
  CHECK(argc == 3, "wants a database and the script that runs it");
  memset(&test, 0, sizeof test);
  for (i = 0; i < 2; i++)
    if (strcmp(DRIVERS[i].name, argv[1]) == 0) test.driver = &DRIVERS[i];
  CHECK(test.driver != NULL, "the database is known");
  test.server = argv[2];
  pthread_mutex_init(&test.mutex, NULL);
  server(&test, "start");
  test.port = port_of(&test);
  test.jobs = host.queue = new_queue();
  OK(trunkline_pool_new(default_runtime(), TEXT(JSON), &host, TRUNKLINE_POOL_CHECKS, &test.pool, NULL));
  pthread_create(&workers[0], NULL, work, &test);
  for (i = 0; i < CALLERS; i++) pthread_create(&callers[i], NULL, ask_again_and_again, &test);
  let_serve(&test, 500);
  kill_and_restart(&test);
  kill_and_restart(&test);
  pthread_mutex_lock(&test.mutex);
  test.stops = 1;
  pthread_mutex_unlock(&test.mutex);
  for (i = 0; i < CALLERS; i++) pthread_join(callers[i], NULL);
  OK(trunkline_pool_stats(test.pool, &stats));
  CHECK(stats.used == 0 && stats.waiting == 0, "nobody is stranded");
  CHECK(stats.idle <= CONNECTIONS, "never more than there may be");
  CHECK(test.timeouts == 0, "nobody waited in vain while the server was there again");
  CHECK(test.stale == 0, "no connection of a killed server is lent");
  CHECK(test.broken > 0 && stats.create_failed > 0, "the kills were noticed");
  OK(trunkline_pool_close(test.pool, in_ms(20000), &left, NULL));
  CHECK(left == 0 && test.made == test.closed, "each connection is closed once");
  OK(trunkline_pool_free(test.pool));
  OK(trunkline_cq_shutdown(test.jobs));
  pthread_join(workers[0], NULL);
  OK(trunkline_cq_free(test.jobs));
  printf("%s: %d served, %d broken by two kills, %d refused while it was down, %d connections made, all closed\n",
         test.driver->name, test.served, test.broken, test.refused, test.made);
  leave();
  return 0;
}
