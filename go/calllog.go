package trunkline

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"
)

// takeLogging takes the logging out of a configuration, checked and with every field set: calls are logged here, where
// [slog.Default] is. Nil if there is none.
func takeLogging(config *ConnectionConfig) (*CallLogConfig, error) {
	if config.Interceptors.Logging == nil {
		return nil, nil
	}
	complete, err := config.Complete()
	if err != nil {
		return nil, err
	}
	config.Interceptors.Logging = nil
	return complete.Interceptors.Logging, nil
}

// logCalls logs the calls of a channel.
func logCalls(target string, config CallLogConfig) Interceptor {
	slow, hasLimit := config.Slow.Duration()
	begin := func(ctx context.Context, call *Beginning) error {
		logger := slog.Default()
		if slices.Contains(config.Skip, call.Method) || !logger.Enabled(ctx, slog.LevelDebug) {
			return nil
		}
		shown := shownMetadata(call, config.ShowMetadata)
		logger.DebugContext(ctx, "call begins", "target", target, "method", call.Method, "metadata", shown)
		return nil
	}
	end := func(ctx context.Context, end Ending) {
		if slices.Contains(config.Skip, end.Method) {
			return
		}
		logger := slog.With("target", target, "method", end.Method, "took", end.Took.Round(time.Microsecond))
		switch {
		case end.Err != nil:
			var failed *Error
			if errors.As(end.Err, &failed) && failed.Kind == KindRPC {
				logger = logger.With("code", failed.Code)
			}
			logger.WarnContext(ctx, "call failed", "why", end.Err.Error())
		case hasLimit && end.Took >= slow:
			logger.WarnContext(ctx, "call was slow")
		default:
			logger.InfoContext(ctx, "call ended")
		}
	}
	return Interceptor{Begin: begin, End: end}
}

// maxShown is how many bytes of metadata are shown of a call.
const maxShown = 4096

// shownMetadata is every name, and the values of those that are shown; those of credentials never are.
func shownMetadata(call *Beginning, names []string) string {
	var text strings.Builder
	add := func(name, value string) {
		switch {
		case text.Len()+len(name)+len(value) <= maxShown:
			text.WriteString(" " + name + "=" + value)
		case !strings.HasSuffix(text.String(), "…"):
			text.WriteString(" …")
		}
	}
	for _, pair := range call.Metadata {
		value := "redacted"
		if slices.Contains(names, pair.Name) {
			value = strconv.Quote(string(pair.Value))
			if strings.HasSuffix(pair.Name, "-bin") {
				value = strconv.Itoa(len(pair.Value)) + " bytes"
			}
		}
		add(pair.Name, value)
	}
	for _, pair := range call.Credentials {
		add(pair.Name, "redacted")
	}
	return strings.TrimPrefix(text.String(), " ")
}
