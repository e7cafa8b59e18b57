package metrics

import (
	"os"
	"regexp"
	"strings"
	"testing"
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
	byName := map[string]*definition{}
	for _, d := range definitions {
		byName[d.name] = d
	}
	found := 0
	for _, match := range regexp.MustCompile(`(zhongkong_[a-z_]+)(?:\{([^}]*)\})?`).FindAllStringSubmatch(read(t, "alerts.yaml"), -1) {
		found++
		d := byName[match[1]]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if d == nil {
				d = byName[strings.TrimSuffix(match[1], suffix)]
			}
		}
		if d == nil {
			t.Errorf("docs/alerts.yaml names %s, which does not exist", match[1])
			continue
		}
		for _, label := range regexp.MustCompile(`([a-z]+)(?:=|!)`).FindAllStringSubmatch(match[2], -1) {
			if !strings.Contains(" "+strings.Join(d.labels, " ")+" ", " "+label[1]+" ") {
				t.Errorf("docs/alerts.yaml asks %s for the label %s, which it has not", d.name, label[1])
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d metrics were found in docs/alerts.yaml", found)
	}
}
