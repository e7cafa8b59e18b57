// Package metrics shows what a gateway counts to Prometheus.
//
//	http.Handle("GET /metrics", g.Guard(metrics.Handler(g, metrics.Config{}), key))
//
// The command "zhongkong serve" does this at its admin listener. A program with a
// registry of its own registers a [Collector] in it. It is a package of its own so
// that programs that embed a gateway link Prometheus only if they ask for it.
//
// No metric holds a secret, and every label has few values: an appid and a client's
// name stand for one that the gateway has, and only up to Config.MaxSeries of
// them; an errcode is one that package platform/errcode knows, or "other". What
// docs/metrics.md says about each is what HELP says.
package metrics
