package trunkline

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestThePresetsHaveTheirFigures(t *testing.T) {
	for profile, want := range map[Profile]struct {
		connect, base, idle, time TimeLimit
		size                      uint32
		pooled                    bool
		attempts                  uint32
	}{
		Production:     {After(30 * time.Second), After(time.Second), After(30 * time.Minute), After(10 * time.Second), 4 << 20, false, 5},
		Development:    {After(5 * time.Second), After(500 * time.Millisecond), After(5 * time.Minute), After(10 * time.Second), 4 << 20, false, 3},
		HighThroughput: {After(10 * time.Second), After(time.Second), Never, After(30 * time.Second), 16 << 20, true, 3},
	} {
		c, err := Preset(profile)
		if err != nil {
			t.Fatal(err)
		}
		pooled, isSet := c.Pooling.Enabled.Get()
		if c.ConnectTimeout != want.connect || c.Backoff.BaseDelay != want.base || c.IdleTimeout != want.idle ||
			c.Keepalive.Time != want.time || c.MaxMessageSize != want.size || pooled != want.pooled || !isSet ||
			c.ServiceConfig.RetryPolicy.MaxAttempts != want.attempts {
			t.Errorf("%s: %+v", profile, c)
		}
		if jitter, ok := c.Backoff.Jitter.Get(); jitter != 0.2 || !ok {
			t.Errorf("%s: jitter %v", profile, c.Backoff.Jitter)
		}
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", profile, err)
		}
	}
	if _, err := Preset("none"); kindOf(err) != KindConfig || !strings.Contains(err.Error(), "preset") {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsUnsetIsTheDefault(t *testing.T) {
	whole, err := ConnectionConfig{}.Complete()
	if err != nil {
		t.Fatal(err)
	}
	production, err := Preset(Production)
	if err != nil || !reflect.DeepEqual(whole, production) {
		t.Errorf("%+v is not %+v, %v", whole, production, err)
	}
	if text, err := json.Marshal(ConnectionConfig{}); string(text) != "{}" || err != nil {
		t.Errorf("%s, %v", text, err)
	}
}

func TestUnsetZeroAndNeverAreThreeValues(t *testing.T) {
	for _, c := range []struct{ given, whole TimeLimit }{
		{TimeLimit{}, After(30 * time.Minute)},
		{After(0), After(0)},
		{Never, Never},
	} {
		got, err := ConnectionConfig{IdleTimeout: c.given}.Complete()
		if err != nil || got.IdleTimeout != c.whole {
			t.Errorf("%v became %v, %v", c.given, got.IdleTimeout, err)
		}
	}
	for _, jitter := range []Optional[float64]{Set(0.0), {}} {
		got, err := ConnectionConfig{Backoff: BackoffConfig{Jitter: jitter}}.Complete()
		want := 0.2
		if !jitter.IsZero() {
			want = 0
		}
		if value, ok := got.Backoff.Jitter.Get(); err != nil || !ok || value != want {
			t.Errorf("%v became %v, %v", jitter, got.Backoff.Jitter, err)
		}
	}
	if Never.IsZero() || After(0).IsZero() || !(TimeLimit{}).IsZero() || !Never.IsNever() {
		t.Error("they are mixed up")
	}
}

func TestJSONIsTheFormOfEveryLanguage(t *testing.T) {
	c, err := FromJSON([]byte(`{"preset": "development", "connect_timeout": "1500ms", "idle_timeout": "never",
		"backoff": {"jitter": 0}, "service_config": {"retry_policy": {"retryable_status_codes": ["ABORTED"]}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if c.ConnectTimeout != After(1500*time.Millisecond) || c.IdleTimeout != Never || c.Backoff.MaxDelay != After(10*time.Second) ||
		!reflect.DeepEqual(c.ServiceConfig.RetryPolicy.RetryableStatusCodes, []string{"ABORTED"}) {
		t.Errorf("got %+v", c)
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	again, err := FromJSON(text)
	if err != nil || !reflect.DeepEqual(again, c) {
		t.Errorf("%s became %+v, %v", text, again, err)
	}
}

func TestAConfigOutOfRangeNamesTheField(t *testing.T) {
	for field, c := range map[string]ConnectionConfig{
		"connect_timeout":            {ConnectTimeout: After(0)},
		"idle_timeout":               {IdleTimeout: After(-time.Second)},
		"backoff.jitter":             {Backoff: BackoffConfig{Jitter: Set(1.5)}},
		"backoff.multiplier":         {Backoff: BackoffConfig{Multiplier: 0.5}},
		"keepalive.time":             {Keepalive: KeepaliveParams{Time: After(time.Second)}},
		"interceptors.caller.name":   {Interceptors: InterceptorsConfig{Caller: &CallerConfig{}}},
		"circuit.breaker.multiplier": {Circuit: CircuitConfig{Breaker: &BreakerConfig{Multiplier: 0.5}}},
		"pooling.size":               {Pooling: PoolingConfig{Size: 101}},
		"max_attempts":               {ServiceConfig: ServiceConfig{RetryPolicy: RetryPolicy{MaxAttempts: 6}}},
		"retryable_status_codes":     {ServiceConfig: ServiceConfig{RetryPolicy: RetryPolicy{RetryableStatusCodes: []string{"OK"}}}},
		"retryable_status_codes[0]":  {ServiceConfig: ServiceConfig{RetryPolicy: RetryPolicy{RetryableStatusCodes: []string{"NO_SUCH"}}}},
	} {
		err := c.Validate()
		if kindOf(err) != KindConfig || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, text := range []string{"", "[]", `{"no_such": 1}`, `{"connect_timeout": 5}`, `{"max_message_size": 0}`} {
		if _, err := FromJSON([]byte(text)); kindOf(err) != KindConfig {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestTheEnvironmentChoosesThePreset(t *testing.T) {
	for value, profile := range map[string]Profile{
		"development": Development, "high-throughput": HighThroughput, "production": Production, "moon": Production,
	} {
		t.Setenv("ENVIRONMENT", value)
		got, err := FromEnv()
		want, _ := Preset(profile)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", value, got, err)
		}
	}
	os.Unsetenv("ENVIRONMENT")
	got, err := FromEnv()
	if want, _ := Preset(Production); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("unset: %+v, %v", got, err)
	}
}

func TestLimitsReadWhatTheyWrite(t *testing.T) {
	for text, limit := range map[string]TimeLimit{
		"0s": After(0), "1s": After(time.Second), "1500ms": After(1500 * time.Millisecond), "2h": After(2 * time.Hour),
		"90m": After(90 * time.Minute), "3us": After(3 * time.Microsecond), "7ns": After(7), "never": Never, "-1s": After(-time.Second),
	} {
		if limit.String() != text {
			t.Errorf("%q is written %q", text, limit)
		}
		var again TimeLimit
		if err := again.UnmarshalText([]byte(text)); err != nil || again != limit {
			t.Errorf("%q is read as %v, %v", text, again, err)
		}
	}
	if (TimeLimit{}).String() != "default" {
		t.Error("an unset limit has a figure")
	}
	if _, err := (TimeLimit{}).MarshalText(); err == nil {
		t.Error("an unset limit has a text")
	}
	if err := new(TimeLimit).UnmarshalText([]byte("soon")); err == nil {
		t.Error("soon is a limit")
	}
	if d, ok := Never.Duration(); ok {
		t.Errorf("never is %v", d)
	}
}

func TestByteLimitsReadWhatTheyWrite(t *testing.T) {
	for text, limit := range map[string]ByteLimit{"0": AfterBytes(0), "1048576": AfterBytes(1 << 20), `"never"`: NeverBytes} {
		written, err := json.Marshal(limit)
		if err != nil || string(written) != text {
			t.Errorf("%v is written %q, %v", limit, written, err)
		}
		var again ByteLimit
		if err := json.Unmarshal([]byte(text), &again); err != nil || again != limit || again.IsZero() {
			t.Errorf("%s is read as %v, %v", text, again, err)
		}
		if strings.Trim(text, `"`) != limit.String() {
			t.Errorf("%s is printed as %v", text, limit)
		}
	}
	unset := AfterBytes(1)
	if err := json.Unmarshal([]byte("null"), &unset); err != nil || !unset.IsZero() || unset.String() != "default" {
		t.Errorf("got %v, %v", unset, err)
	}
	if _, err := json.Marshal(unset); err == nil {
		t.Error("an unset limit has a figure")
	}
	for _, text := range []string{"-1", "1.5", `"1"`, `"soon"`} {
		if err := json.Unmarshal([]byte(text), &unset); err == nil {
			t.Errorf("%s is a limit", text)
		}
	}
	if n, ok := NeverBytes.Bytes(); ok || !NeverBytes.IsNever() {
		t.Errorf("never is %v", n)
	}
	if n, ok := AfterBytes(7).Bytes(); !ok || n != 7 {
		t.Errorf("got %v, %v", n, ok)
	}
}

func FuzzConfig(f *testing.F) {
	for _, seed := range []string{"{}", `{"preset":"development"}`, `{"idle_timeout":"never"}`, `{"backoff":{"jitter":1e-9}}`, `{"connect_timeout":"1d 2h"}`, "null", "{"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := FromJSON([]byte(text))
		if err != nil {
			if kindOf(err) != KindConfig {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		whole, err := c.Complete()
		if err != nil || !reflect.DeepEqual(whole, c) {
			t.Errorf("%q: %+v became %+v, %v", text, c, whole, err)
		}
	})
}
