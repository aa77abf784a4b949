/* Configurations: presets, JSON, the environment, and every field by its path. */
#include "check.h"

#define SECOND INT64_C(1000000000)

static trunkline_config_t *preset(const char *name) {
  trunkline_config_t *config = NULL;
  OK(trunkline_config_preset(name, strlen(name), &config, NULL));
  CHECK(config != NULL, "a preset gives a configuration");
  return config;
}

static int64_t duration(const trunkline_config_t *config, const char *path) {
  int64_t ns = -1;
  OK(trunkline_config_get_duration(config, path, strlen(path), &ns));
  return ns;
}

static double number(const trunkline_config_t *config, const char *path) {
  double value = -1;
  OK(trunkline_config_get_number(config, path, strlen(path), &value));
  return value;
}

static void the_presets_have_their_figures(void) {
  trunkline_config_t *production = preset("production"), *development = preset("development");
  trunkline_config_t *high = preset("high_throughput");
  CHECK(duration(production, "connect_timeout") == 30 * SECOND, "production is patient");
  CHECK(duration(development, "connect_timeout") == 5 * SECOND, "development is not");
  CHECK(duration(high, "keepalive.time") == 30 * SECOND, "nested fields have dotted paths");
  CHECK(duration(high, "idle_timeout") == TRUNKLINE_NEVER, "never is a value of its own");
  CHECK(duration(production, "idle_timeout") == 1800 * SECOND, "and not the default");
  CHECK(number(production, "max_message_size") == 4 << 20, "numbers are numbers");
  CHECK(number(high, "pooling.enabled") == 1 && number(production, "pooling.enabled") == 0, "booleans are 0 or 1");
  trunkline_config_free(production);
  trunkline_config_free(development);
  trunkline_config_free(high);
}

static void json_goes_in_and_comes_out(void) {
  static const char JSON[] = "{\"preset\": \"development\", \"connect_timeout\": \"1500ms\", \"idle_timeout\": \"0s\","
                             " \"pooling\": {\"enabled\": true, \"size\": null}}";
  trunkline_config_t *config = NULL, *again = NULL;
  const char *text;
  size_t length = 0;
  OK(trunkline_config_from_json(TEXT(JSON), &config, NULL));
  CHECK(duration(config, "connect_timeout") == 3 * SECOND / 2, "what is said holds");
  CHECK(duration(config, "idle_timeout") == 0, "zero is not unset");
  CHECK(duration(config, "backoff.max_delay") == 10 * SECOND, "what is not said is the preset's");
  CHECK(number(config, "pooling.size") == 5, "null is not said");
  text = trunkline_config_json(config, &length);
  CHECK(strlen(text) == length && length > 100, "every field is written");
  OK(trunkline_config_from_json(text, length, &again, NULL));
  CHECK(strcmp(trunkline_config_json(again, NULL), text) == 0, "and read back unchanged");
  trunkline_config_free(config);
  trunkline_config_free(again);
}

static void is_refused(const char *json, const char *names) {
  trunkline_config_t *config = (trunkline_config_t *)0x1;
  trunkline_error_t *err = NULL;
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_config_from_json(json, strlen(json), &config, &err));
  CHECK(config == NULL, "no configuration came of it");
  CHECK(strstr(trunkline_error_message(err, NULL), names) != NULL, names);
  CHECK(trunkline_error_step(err) == TRUNKLINE_STEP_CONFIGURE, "the step is configure");
  trunkline_error_free(err);
}

static void what_is_wrong_is_named(void) {
  is_refused("{\"keepalive\": {\"time\": \"1s\"}}", "keepalive.time");
  is_refused("{\"pooling\": {\"size\": 101}}", "pooling.size");
  is_refused("{\"conect_timeout\": \"1s\"}", "conect_timeout");
  is_refused("{\"connect_timeout\": 5}", "connect_timeout");
  is_refused("{\"preset\": \"fast\"}", "preset");
  is_refused("no json", "json");
  is_refused("", "json");
}

static void paths_that_lead_nowhere_are_told_from_other_kinds(void) {
  trunkline_config_t *config = preset("production");
  int64_t ns = 9;
  double value = 9;
  GIVES(TRUNKLINE_E_NOT_FOUND, trunkline_config_get_duration(config, TEXT("keepalive.thyme"), &ns));
  GIVES(TRUNKLINE_E_NOT_FOUND, trunkline_config_get_duration(config, NULL, 0, &ns));
  GIVES(TRUNKLINE_E_NOT_FOUND, trunkline_config_get_number(config, TEXT("max_message_size.bytes"), &value));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_config_get_duration(config, TEXT("max_message_size"), &ns));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_config_get_number(config, TEXT("connect_timeout"), &value));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_config_get_number(config, TEXT("keepalive"), &value));
  CHECK(ns == 0 && value == 0, "outputs are blank after a failure");
  trunkline_config_free(config);
}

static void the_environment_chooses(void) {
  static const struct {
    const char *environment;
    int64_t connect_timeout;
  } CASES[] = { { NULL, 30 }, { "development", 5 }, { "high-throughput", 10 }, { "production", 30 }, { "staging", 30 } };
  size_t i;
  for (i = 0; i < sizeof CASES / sizeof *CASES; i++) {
    trunkline_config_t *config = NULL;
    if (CASES[i].environment == NULL) {
      unsetenv("ENVIRONMENT");
    } else {
      setenv("ENVIRONMENT", CASES[i].environment, 1);
    }
    OK(trunkline_config_from_env(&config, NULL));
    CHECK(duration(config, "connect_timeout") == CASES[i].connect_timeout * SECOND, "as the environment says");
    trunkline_config_free(config);
  }
}

static void null_is_an_error_and_never_a_crash(void) {
  trunkline_config_t *config = preset("production"), *none = (trunkline_config_t *)0x1;
  size_t length = 9;
  int64_t ns;
  double value;
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_config_preset(NULL, 0, &none, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_config_preset(NULL, 3, &none, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_config_preset(TEXT("production"), NULL, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_config_from_json(NULL, 3, &none, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_config_from_json(TEXT("{}"), NULL, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_config_from_env(NULL, NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_config_get_duration(NULL, TEXT("connect_timeout"), &ns));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_config_get_number(NULL, TEXT("max_message_size"), &value));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_config_get_duration(config, TEXT("connect_timeout"), NULL));
  GIVES(TRUNKLINE_E_INVALID_ARGUMENT, trunkline_config_get_number(config, TEXT("max_message_size"), NULL));
  CHECK(none == NULL, "outputs are blank after a failure");
  CHECK(trunkline_config_json(NULL, &length) == NULL && length == 0, "NULL has no JSON");
  trunkline_config_free(config);
  trunkline_config_free(NULL);
}

int main(void) {
  begin();
  the_presets_have_their_figures();
  json_goes_in_and_comes_out();
  what_is_wrong_is_named();
  paths_that_lead_nowhere_are_told_from_other_kinds();
  the_environment_chooses();
  null_is_an_error_and_never_a_crash();
  leave();
  return 0;
}
