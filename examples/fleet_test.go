//go:build unix

package examples_test

import (
	"regexp"
	"strings"
	"testing"
)

// TestFleetStory runs the example to its end: whatever happens to its processes, no
// call fails, and WeChat issues no token that was not needed.
func TestFleetStory(t *testing.T) {
	t.Parallel()
	out, err := fleet.command(t).CombinedOutput()
	text := string(out)
	if err != nil || strings.Contains(text, "failed:") {
		t.Fatalf("%v\n%s", err, text)
	}
	tokens := map[string]bool{}
	for _, called := range regexp.MustCompile(`called with token …(\d+)`).FindAllStringSubmatch(text, -1) {
		tokens[called[1]] = true
	}
	issued := regexp.MustCompile(`issued (\d+) tokens to the fleet in (\d+) fetches`).FindStringSubmatch(text)
	if issued == nil || issued[1] != issued[2] || len(tokens) < 4 || !strings.Contains(text, "A  called") ||
		!strings.Contains(text, "B  called") {
		t.Errorf("%d tokens in use; the story:\n%s", len(tokens), text)
	}
}
