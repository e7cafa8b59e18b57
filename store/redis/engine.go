package redis

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/internal/columns"
	"github.com/zhongkong-go/zhongkong/store/internal/remote"
)

// format is that of the records this program writes. A release that changes what
// they mean counts it up, so that an older program does not take one for damaged.
const format = 1

// engine implements [remote.Engine].
type engine struct {
	settings
	db      goredis.UniversalClient
	channel string // of the notices
}

func newEngine(address string, options Options) (*engine, error) {
	s, err := read(address, options)
	if err != nil {
		return nil, err
	}
	return &engine{settings: s, db: goredis.NewUniversalClient(s.client), channel: s.prefix + "notices"}, nil
}

// Close implements [remote.Engine].
func (e *engine) Close() error { return e.db.Close() }

// Prepare implements [remote.Engine].
func (e *engine) Prepare(ctx context.Context) error {
	secure := e.client.TLSConfig != nil
	if secure && !e.speaksTLS(ctx) && e.answersPlainly(ctx) { // which waits for the end of a line, and not for a handshake
		return &remote.FaultError{Server: e.server, What: "does not speak TLS", Remedy: "begin the URL with redis://, or switch TLS on"}
	}
	err := probeScript.Run(ctx, e.db, []string{e.record("probe")}).Err()
	switch {
	case err != nil && !secure && codeOf(err) == "" && e.speaksTLS(ctx):
		return &remote.FaultError{Server: e.server, What: "speaks TLS", Err: err, Remedy: "begin the URL with rediss://"}
	case err != nil:
		return e.misaddressed(ctx, err)
	case !e.client.IsClusterMode && e.client.MasterName == "" && e.db.Do(ctx, "CLUSTER", "KEYSLOT", "x").Err() == nil:
		return e.isCluster(nil)
	}
	return nil
}

// lookTime bounds a look at what listens at an address.
const lookTime = time.Second

// misaddressed explains an error of a first call, by what listens at the address where the
// error itself does not say it.
func (e *engine) misaddressed(ctx context.Context, err error) error {
	switch {
	case strings.Contains(err.Error(), "unknown command") && e.isSentinel(ctx):
		return &remote.FaultError{
			Server: e.server, What: "is a sentinel", Err: err,
			Remedy: "add master_name= with the name that it knows the master by to the URL",
		}
	case errors.Is(err, goredis.Nil) && e.client.MasterName != "":
		return &remote.FaultError{
			Server: e.server, What: "is not known to them",
			Remedy: "correct master_name in the URL; SENTINEL MASTERS lists the names",
		}
	}
	return e.explain(err)
}

func (e *engine) isSentinel(ctx context.Context) bool {
	role, err := e.db.Do(ctx, "ROLE").Slice()
	return err == nil && len(role) > 0 && role[0] == "sentinel"
}

// answersPlainly reports whether a server answers at the address without TLS.
func (e *engine) answersPlainly(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", e.client.Addrs[0])
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(lookTime))
	if _, err = io.WriteString(conn, "PING\r\n"); err != nil {
		return false
	}
	first := make([]byte, 1)
	_, err = conn.Read(first)
	return err == nil && (first[0] == '+' || first[0] == '-')
}

// speaksTLS reports whether a server at the address takes a TLS handshake.
func (e *engine) speaksTLS(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	dialer := &tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // nothing is sent, only whether it speaks TLS is asked
	conn, err := dialer.DialContext(ctx, "tcp", e.client.Addrs[0])
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// record and journal are the keys of a credential. The braces make them one slot.
func (e *engine) record(name string) string  { return e.prefix + "{" + name + "}" }
func (e *engine) journal(name string) string { return e.record(name) + ":journal" }

// Read implements [remote.Engine].
func (e *engine) Read(ctx context.Context, names []string) ([]remote.State, error) {
	keys := make([]string, len(names))
	for i, name := range names {
		keys[i] = e.record(name)
	}
	if !e.client.IsClusterMode || len(names) == 1 {
		return e.states(readScript.Run(ctx, e.db, keys))
	}
	// The keys lie in many slots: one call for each, sent together. A script that
	// a server does not know would be an error here, so they carry its text.
	answers, err := e.db.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for _, key := range keys {
			readScript.Eval(ctx, p, []string{key})
		}
		return nil
	})
	if err != nil {
		return nil, e.explain(err)
	}
	states := make([]remote.State, 0, len(names))
	for _, answer := range answers {
		some, err := e.states(answer.(*goredis.Cmd))
		if err != nil {
			return nil, err
		}
		states = append(states, some...)
	}
	return states, nil
}

// states takes the answer of readScript apart.
func (e *engine) states(answer *goredis.Cmd) ([]remote.State, error) {
	values, err := answer.Slice()
	if err != nil {
		return nil, e.explain(err)
	}
	us, ok := values[0].(int64)
	if !ok || len(values)%3 != 1 {
		return nil, e.explain(fmt.Errorf("the script for reading answers %d values, the first of them a %T", len(values), values[0]))
	}
	now := time.UnixMicro(us)
	states := make([]remote.State, 0, len(values)/3)
	for fields := range slices.Chunk(values[1:], 3) {
		state := remote.State{Now: now}
		version, _ := fields[0].(string)
		if version != "" {
			state.Found = true
			state.Version, err = strconv.ParseInt(version, 10, 64)
			if err != nil || state.Version == 0 {
				state.Version, state.Damage = 0, errors.New("its key holds something else")
			} else {
				state.Row, state.Damage, err = e.decode(fields[1], fields[2])
				if err != nil {
					return nil, err
				}
			}
		}
		states = append(states, state)
	}
	return states, nil
}

// decode reads a row, and distrusts it.
func (e *engine) decode(row, written any) (r store.Row, damage, err error) {
	text, _ := row.(string)
	number, _ := written.(string)
	if n, err := strconv.Atoi(number); err == nil && n > format {
		return r, nil, &remote.FaultError{
			Server: e.server,
			What:   fmt.Sprintf("holds records of the format %d, and this program knows %d", n, format),
			Remedy: "a newer release wrote them: update this program, or give it another prefix",
		}
	}
	if json.Unmarshal([]byte(text), &r) != nil {
		return store.Row{}, errors.New("the field row is no record"), nil // the cause would quote it
	}
	r, damage = columns.Read(columns.Of("", &r).Values())
	return r, damage, nil
}

// encode is the way there, with all times in UTC.
func encode(row store.Row) ([]byte, error) {
	for _, t := range []*time.Time{&row.End, &row.LeaseEnd, &row.Begun, &row.Unfinished} {
		if !t.IsZero() {
			*t = t.UTC()
		}
	}
	return json.Marshal(row)
}

// line is an entry as the journal keeps it.
type line struct {
	AtUS    int64         `json:"at_us"`
	Event   custody.Event `json:"event"`
	Fence   int64         `json:"fence"`
	Attempt string        `json:"attempt,omitempty"`
	Detail  string        `json:"detail,omitempty"`
}

// Swap implements [remote.Engine].
func (e *engine) Swap(ctx context.Context, c remote.Change) (bool, error) {
	row, err := encode(c.Row)
	if err != nil {
		return false, err
	}
	var entry, notice []byte
	if c.Entry != nil {
		entry, err = json.Marshal(line{c.Entry.At.UnixMicro(), c.Entry.Event, c.Entry.Fence, c.Entry.Attempt, c.Entry.Detail})
		if err != nil {
			return false, err
		}
	}
	if c.Tell != nil {
		if notice, err = json.Marshal(c.Tell); err != nil {
			return false, err
		}
	}
	old := ""
	if c.Found {
		old = strconv.FormatInt(c.Old, 10)
	}
	n, err := swapScript.Run(ctx, e.db, []string{e.record(c.Name), e.journal(c.Name)},
		old, c.New, row, format, c.Until.UnixMicro(),
		entry, remote.JournalLines, remote.JournalAge.Milliseconds(), e.channel, notice).Int()
	return n == 1, e.explain(err)
}

// Lines implements [remote.Engine].
func (e *engine) Lines(ctx context.Context, name string, limit int) ([]custody.Entry, error) {
	if limit == 0 { // LRANGE 0 -1 would be all
		return nil, nil
	}
	values, err := linesScript.Run(ctx, e.db, []string{e.journal(name)}, limit).Slice()
	if err != nil {
		return nil, e.explain(err)
	}
	us, _ := values[0].(int64)
	texts, _ := values[1].([]any)
	oldest := us - remote.JournalAge.Microseconds()
	entries := make([]custody.Entry, 0, len(texts))
	for _, value := range texts {
		text, _ := value.(string)
		var l line
		if json.Unmarshal([]byte(text), &l) != nil || l.AtUS < oldest {
			continue // not a line, or one that has ended
		}
		entries = append(entries, custody.Entry{
			At: time.UnixMicro(l.AtUS), Event: l.Event, Fence: l.Fence, Attempt: l.Attempt, Detail: l.Detail,
		})
	}
	return entries, nil
}

// Trim implements [remote.Engine]. Swap does it.
func (e *engine) Trim(context.Context, string, time.Time) error { return nil }
