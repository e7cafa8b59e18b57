package metrics

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
)

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile("../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// TestDocuments: both tables have each metric with its labels, and no other; the
// English one says what HELP says.
func TestDocuments(t *testing.T) {
	for name, help := range map[string]bool{"metrics.md": true, "metrics.zh-CN.md": false} {
		text := read(t, name)
		for _, d := range definitions {
			row := "| `" + d.name + "` | "
			if len(d.labels) > 0 {
				row += "`" + strings.Join(d.labels, "`, `") + "` "
			}
			row += "| "
			if help {
				row += d.help + " |\n"
			}
			if !strings.Contains(text, row) {
				t.Errorf("docs/%s has no line %s", name, row)
			}
		}
		if rows := strings.Count(text, "\n| `zhongkong_"); rows != len(definitions) {
			t.Errorf("docs/%s has %d metrics, the code %d", name, rows, len(definitions))
		}
	}
}

// TestAlertsKnowTheMetrics: each metric in an alert exists, with the labels that the
// alert names.
func TestAlertsKnowTheMetrics(t *testing.T) {
	if found := known(t, "docs/alerts.yaml", read(t, "alerts.yaml")); found < 10 {
		t.Errorf("only %d metrics were found in docs/alerts.yaml", found)
	}
}

// known checks that each metric of ours in a text exists, with the labels that it is asked
// for, and returns how many were found.
func known(t *testing.T, name, text string) (found int) {
	t.Helper()
	byName := map[string]*definition{}
	for _, d := range definitions {
		byName[d.name] = d
	}
	for _, match := range regexp.MustCompile(`(zhongkong_[a-z_]+)(?:\{([^}]*)\})?`).FindAllStringSubmatch(text, -1) {
		found++
		d := byName[match[1]]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if d == nil {
				d = byName[strings.TrimSuffix(match[1], suffix)]
			}
		}
		if d == nil {
			t.Errorf("%s names %s, which does not exist", name, match[1])
			continue
		}
		for _, label := range regexp.MustCompile(`([a-z]+)(?:=|!)`).FindAllStringSubmatch(match[2], -1) {
			if label[1] != "instance" && !slices.Contains(d.labels, label[1]) { // Prometheus adds instance
				t.Errorf("%s asks %s for the label %s, which it has not", name, d.name, label[1])
			}
		}
		for _, by := range regexp.MustCompile(`\bby \(([^)]*)\)`).FindAllStringSubmatch(text, -1) {
			for label := range strings.SplitSeq(by[1], ", ") {
				if strings.Count(text, "zhongkong_") == 1 && label != "instance" && label != "le" && !slices.Contains(d.labels, label) {
					t.Errorf("%s groups %s by %s, which it has not", name, d.name, label)
				}
			}
		}
	}
	return found
}

// dashboard is what the tests read of deploy/grafana.json.
type dashboard struct {
	Panels []struct {
		ID      int    `json:"id"`
		Title   string `json:"title"`
		Type    string `json:"type"`
		GridPos struct{ H, W, X, Y int }
		Targets []struct {
			Expr         string `json:"expr"`
			LegendFormat string `json:"legendFormat"`
		} `json:"targets"`
	} `json:"panels"`
	Templating struct {
		List []struct {
			Name       string `json:"name"`
			Definition string `json:"definition"`
		} `json:"list"`
	} `json:"templating"`
}

// TestDashboard: each metric in the dashboard exists, with the labels that it is asked for;
// Prometheus can read each expression; panels do not overlap; a legend names labels that
// the expression keeps.
func TestDashboard(t *testing.T) {
	content, err := os.ReadFile("../../deploy/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(content, &d); err != nil {
		t.Fatal(err)
	}
	variables := []string{"$datasource"}
	for _, v := range d.Templating.List {
		variables = append(variables, "$"+v.Name)
		known(t, "the variable "+v.Name, v.Definition)
	}
	shown, taken, ids := map[string]bool{}, map[[2]int]string{}, map[int]bool{}
	rules := strings.Builder{}
	rules.WriteString("groups:\n  - name: dashboard\n    rules:\n")
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("%s has the number of another panel", p.Title)
		}
		ids[p.ID] = true
		for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				if other := taken[[2]int{x, y}]; other != "" || x > 23 {
					t.Fatalf("%s is where %s is, or beyond the edge", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("%s shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			known(t, "the panel "+p.Title, target.Expr)
			for _, name := range regexp.MustCompile(`zhongkong_[a-z_]+`).FindAllString(target.Expr, -1) {
				shown[strings.TrimSuffix(name, "_bucket")] = true
			}
			plain := target.Expr
			for _, v := range variables {
				plain = strings.ReplaceAll(plain, v, ".*")
			}
			if strings.Contains(plain, "$") {
				t.Errorf("%s uses a variable that is not there: %s", p.Title, target.Expr)
			}
			for _, label := range regexp.MustCompile(`\{\{(\w+)\}\}`).FindAllStringSubmatch(target.LegendFormat, -1) {
				if strings.Contains(plain, " by (") && !regexp.MustCompile(`by \([^)]*\b`+label[1]+`\b`).MatchString(plain) {
					t.Errorf("%s: the legend names %s, which %s does not keep", p.Title, label[1], target.Expr)
				}
			}
			fmt.Fprintf(&rules, "      - {record: 'panel:p%d:x', expr: '%s'}\n", len(shown)*1000+p.ID, plain)
		}
	}
	if len(shown) < 15 {
		t.Errorf("only %d metrics are shown", len(shown))
	}
	t.Run("promtool", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "rules.yaml")
		if err := os.WriteFile(path, []byte(rules.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), testserver.Promtool(t), "check", "rules", path).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s\n%s", err, out, rules.String())
		}
	})
}
