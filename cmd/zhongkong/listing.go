package main

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/migrations"
)

// both is a name for people, if there is one, in front of what identifies its bearer.
func both(name, id string) string {
	if name == "" {
		return id
	}
	return name + " " + id
}

// jsonFlag is for commands that list something.
type jsonFlag struct {
	JSON bool `name:"json" help:"Print one JSON object, for programs."`
}

// json prints a value for programs.
func (t *terminal) json(v any) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := json.NewEncoder(t.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// table prints rows below their headings, each column as wide as it needs to be.
func (t *terminal) table(indent string, headings []string, rows [][]string) {
	headings = t.translated(headings)
	widths := make([]int, len(headings))
	for _, row := range append([][]string{headings}, rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], width(cell))
		}
	}
	line := func(row []string) string {
		var b strings.Builder
		for i, cell := range row {
			if i > 0 {
				b.WriteString("  ")
			}
			b.WriteString(pad(cell, widths[i]))
		}
		return strings.TrimRight(b.String(), " ")
	}
	t.say("%s%s", indent, t.dim(line(headings)))
	for _, row := range rows {
		t.say("%s%s", indent, line(row))
	}
}

// translated returns texts in the language of the terminal.
func (t *terminal) translated(texts []string) []string {
	all := make([]string, len(texts))
	for i, text := range texts {
		all[i] = t.T(text)
	}
	return all
}

// moment is a time for programs; nil is none.
func moment(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	at = at.UTC()
	return &at
}

// The JSON of zhongkong client list --json.
type (
	clientsJSON struct {
		Version int          `json:"version"` // of the shape
		Clients []clientJSON `json:"clients"`
	}
	clientJSON struct {
		Title    string     `json:"title,omitempty"` // for people
		Name     string     `json:"name"`
		Accounts []string   `json:"accounts"`
		Paths    []string   `json:"paths"` // none means all
		Rate     float64    `json:"rate"`  // calls a second at each gateway; 0 is no limit
		Real     bool       `json:"real"`
		Ends     *time.Time `json:"ends"`
		Returns  []string   `json:"returns,omitempty"` // where the users go whom it logs in
		Origins  []string   `json:"origins,omitempty"` // whose pages are signed without a key
	}
)

// listClients shows clients, to people or to programs.
func listClients(t *terminal, list []gateway.Client, asJSON bool) error {
	if asJSON {
		out := clientsJSON{Version: 1, Clients: []clientJSON{}}
		for _, c := range list {
			out.Clients = append(out.Clients, clientJSON{
				c.Title, c.Name, c.Accounts, append([]string{}, c.Paths...), c.Rate, c.Real, moment(c.Ends), c.Returns, c.Origins,
			})
		}
		return t.json(out)
	}
	headings, titled := []string{"NAME", "ACCOUNTS", "PATHS", "CALLS", "TOKENS", "ENDS"}, false
	var rows [][]string
	for _, c := range list {
		titled = titled || c.Title != ""
		row := []string{c.Name, strings.Join(c.Accounts, " "), t.T("all"), t.T("any"), t.T("gateway's"), t.T("never")}
		if len(c.Paths) > 0 {
			row[2] = strings.Join(c.Paths, " ")
		}
		if c.Rate > 0 {
			row[3] = number(c.Rate) + "/s"
		}
		if c.Real {
			row[4] = t.T("real")
		}
		if !c.Ends.IsZero() {
			row[5] = c.Ends.Format(time.DateOnly)
			if c.Ends.Before(time.Now()) {
				row[5] = t.red(t.T("ended %s", row[5]))
			}
		}
		rows = append(rows, row)
	}
	if titled { // in front of everything
		headings = append([]string{"TITLE"}, headings...)
		for i, c := range list {
			rows[i] = append([]string{c.Title}, rows[i]...)
		}
	}
	t.table("", headings, rows)
	for _, c := range list {
		listSites(t, c)
	}
	if len(list) == 0 {
		t.say("There is no client yet: zhongkong client add NAME --account APPID")
	}
	return nil
}

// listSites shows the sites of a client that has some.
func listSites(t *terminal, c gateway.Client) {
	var parts []string
	if len(c.Returns) > 0 {
		parts = append(parts, t.T("logs in for %s", strings.Join(c.Returns, " ")))
	}
	if len(c.Origins) > 0 {
		parts = append(parts, t.T("pages of %s", strings.Join(c.Origins, " ")))
	}
	if len(parts) > 0 {
		t.say("%s: %s", both(c.Title, c.Name), strings.Join(parts, ", "))
	}
}

// number is a number as people write it.
func number(f float64) string {
	text, _ := json.Marshal(f) // a number that is one has JSON
	return string(text)
}

// The JSON of zhongkong migrate … --json.
type (
	schemaJSON struct {
		Version int        `json:"version"` // of the shape
		Schema  int64      `json:"schema"`
		Newest  int64      `json:"newest"`
		Steps   []stepJSON `json:"steps"` // none: this kind of store has no schema
	}
	stepJSON struct {
		Name    string     `json:"name"`
		Applied *time.Time `json:"applied"` // null: it is missing
	}
)

// listSteps shows the steps of a schema.
func listSteps(t *terminal, status migrations.Status) {
	var rows [][]string
	for _, step := range status.Steps {
		if step.Applied.IsZero() {
			rows = append(rows, []string{t.T("missing %s", step.Name), ""})
		} else {
			rows = append(rows, []string{t.T("applied %s", step.Name), step.Applied.Local().Format(time.DateTime)})
		}
	}
	t.table("  ", []string{"STATE   MIGRATION", "WHEN"}, rows)
}

func stepsJSON(t *terminal, status migrations.Status) error {
	out := schemaJSON{Version: 1, Schema: status.Version, Newest: status.Newest, Steps: []stepJSON{}}
	for _, step := range status.Steps {
		out.Steps = append(out.Steps, stepJSON{step.Name, moment(step.Applied)})
	}
	return t.json(out)
}

// The JSON of zhongkong token status --json.
type (
	statusJSON struct {
		Version     int              `json:"version"`        // of the shape
		Name        string           `json:"name,omitempty"` // of the account, for people
		AppID       string           `json:"appid"`
		Place       string           `json:"place"` // of the store or the gateway
		Live        bool             `json:"live"`  // the token lives, and this process can open it
		Problem     string           `json:"problem,omitempty"`
		Credentials []credentialJSON `json:"credentials"`
		Journal     []entryJSON      `json:"journal"`
	}
	credentialJSON struct {
		Name      string     `json:"name"` // access_token/stable/APPID, or a ticket
		Live      bool       `json:"live"`
		ExpiresIn int64      `json:"expires_in"`         // seconds; less than 0 since its end
		Life      int64      `json:"life,omitempty"`     // seconds
		Ends      *time.Time `json:"ends,omitempty"`     // by the store's clock
		Renewal   int64      `json:"renewal"`            // grows with each
		SealKey   string     `json:"seal_key,omitempty"` // the name of the key that it is sealed with
	}
	entryJSON struct {
		At     time.Time `json:"at"`
		Event  string    `json:"event"`
		Detail string    `json:"detail,omitempty"`
	}
)

// add notes a record.
func (s *statusJSON) add(name string, record custody.Record) {
	c := credentialJSON{Name: name, Renewal: record.Fence, SealKey: record.SealKey}
	if record.Value != "" {
		left := record.End.Sub(record.Now)
		c.Live, c.ExpiresIn, c.Life, c.Ends = left > 0, int64(left/time.Second), int64(record.Life/time.Second), moment(record.End)
	}
	s.Credentials = append(s.Credentials, c)
}

// end prints what was noted, with what is wrong, and returns that.
func (s *statusJSON) end(t *terminal, problem error) error {
	s.Version = 1
	s.Live = problem == nil && len(s.Credentials) > 0 && s.Credentials[0].Live // the token is the first
	if problem != nil {
		s.Problem = printable(problem.Error())
	}
	if s.Credentials == nil {
		s.Credentials = []credentialJSON{}
	}
	if s.Journal == nil {
		s.Journal = []entryJSON{}
	}
	if err := t.json(s); err != nil {
		return err
	}
	return problem
}
