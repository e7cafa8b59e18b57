package lang

import (
	"context"
	"os/exec"
	"strings"
	"time"
)

// system returns the user's locale, such as zh_CN; "" where it cannot be learned.
func system() string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "/usr/bin/defaults", "read", "-g", "AppleLocale").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
