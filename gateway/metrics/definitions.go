package metrics

import "github.com/prometheus/client_golang/prometheus"

// definition is one metric.
type definition struct {
	name   string
	help   string
	labels []string
	desc   *prometheus.Desc
}

// definitions are all metrics, in the order in which documents show them.
var definitions []*definition

func define(name, help string, labels ...string) *definition {
	d := &definition{name, help, labels, prometheus.NewDesc(name, help, labels, nil)}
	definitions = append(definitions, d)
	return d
}

var (
	accountsCount = define("zhongkong_accounts",
		"Accounts of the gateway.")
	accountsWithout = define("zhongkong_accounts_without_token",
		"Accounts without a live token: calls for them fail now.")
	accountInfo = define("zhongkong_account_info",
		"1 for each account: its name, empty where it has none.", "appid", "name")
	clientInfo = define("zhongkong_client_info",
		"1 for each client: its title, empty where it has none.", "client", "title")
	subscriberInfo = define("zhongkong_subscriber_info",
		"1 for each subscriber: its title, empty where it has none.", "appid", "subscriber", "title")
	tokenLive = define("zhongkong_token_live",
		"1 when the account has a token that can be handed out, else 0.", "appid")
	tokenAge = define("zhongkong_token_age_seconds",
		"Time since the fetch that brought the token, or was answered with it again, whichever gateway made it, by the store's clock.", "appid")
	tokenLeft = define("zhongkong_token_left_seconds",
		"Time for which the token will still be handed out; 0 without one. WeChat's own end is up to 20 s later.", "appid")
	leastLeft = define("zhongkong_token_left_least_seconds",
		"The least zhongkong_token_left_seconds of all accounts.")

	renewals = define("zhongkong_renewals_total",
		"Values that this gateway fetched, by the kind of credential, the reason (ahead, expired, missing, refused, unreadable) and what became of them (saved, same, unsaved, overtaken).",
		"appid", "kind", "reason", "result")
	failures = define("zhongkong_renewal_failures_total",
		"Attempts of this gateway that brought no value, by class (transient, blocked, quota, fatal) and WeChat's errcode, 0 for none.",
		"appid", "kind", "class", "errcode")
	adoptions = define("zhongkong_adoptions_total",
		"Values taken over from the store: another gateway fetched them, or this one before it started.", "appid", "kind")
	refusals = define("zhongkong_refusals_total",
		"Refused values that were reported to this gateway, by result (renewed, newer, accepted: WeChat accepts the value when asked directly, no_other, abandoned). Calls that meet the same refusal count each.",
		"appid", "kind", "result")
	probes = define("zhongkong_probes_total",
		"Probes, with which this gateway asks WeChat directly whether it accepts a value, after a refusal was reported or a value was fetched because of one, by verdict (accepted, rejected, no_verdict).",
		"appid", "kind", "verdict")
	fetches = define("zhongkong_fetches_total",
		"Fetches that this gateway sent to WeChat, by mode (normal, forced).", "appid", "kind", "mode")
	fetchesLeft = define("zhongkong_fetches_left",
		"Fetches that the Beijing day still allows over all gateways of the store, as of this gateway's last fetch: others may have used some since.",
		"appid", "kind")
	fetchesLimit = define("zhongkong_fetches_limit",
		"Fetches that a Beijing day allows; absent without a limit and before this gateway's first fetch.", "appid", "kind")
	fetchTime = define("zhongkong_fetch_duration_seconds",
		"Time that WeChat took to answer fetches.")
	probeTime = define("zhongkong_probe_duration_seconds",
		"Time that WeChat took to answer probes.")

	calls = define("zhongkong_calls_total",
		"Calls of programs, by who answered (wechat, gateway) and errcode: the one with which WeChat's answer begins, or the gateway's own; 0 for none, other for those that nobody knows and for a status that is no success. Without appid: about no account of the gateway.",
		"appid", "answerer", "errcode")
	proxyTime = define("zhongkong_proxy_duration_seconds",
		"Time of calls that went to WeChat, from the program's first byte to the answer's last, renewals included.")
	clientCalls = define("zhongkong_client_calls_total",
		"Calls of a client, refused ones included.", "client")
	clientLast = define("zhongkong_client_last_call_timestamp_seconds",
		"When a client's last call ended; absent when there was none since this gateway started.", "client")
	wrongKeys = define("zhongkong_wrong_keys_total",
		"Calls with a key or a gateway token that is none, or none any more.")

	queueLength = define("zhongkong_queue_length",
		"Pushes that wait for a subscriber, over all gateways of the store.", "appid", "subscriber")
	queueOldest = define("zhongkong_queue_oldest_seconds",
		"The age of the oldest push that waits for a subscriber; 0 when none does.", "appid", "subscriber")
	subscriberDown = define("zhongkong_subscriber_down",
		"1 while a subscriber takes nothing from this gateway, else 0.", "appid", "subscriber")
	deliveries = define("zhongkong_deliveries_total",
		"What became of pushes to a subscriber at this gateway (delivered, failed: attempts, late: the follower got no answer, dropped: 3 days old or too many).",
		"appid", "subscriber", "result")

	storeTime = define("zhongkong_store_call_duration_seconds",
		"Time of calls of the store, by call (load and load_many: looks at the record of one and of many credentials, acquire, begin, save, release, shorten).", "call")
	storeCalls = define("zhongkong_store_calls_total",
		"Calls of the store by what came of them (ok, not_found, held, fenced, error). Only error is a failure.", "call", "outcome")
)
