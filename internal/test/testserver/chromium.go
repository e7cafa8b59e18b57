package testserver

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// ChromiumVariable names the Chromium that tests of pages drive, where it is not
// found automatically.
const ChromiumVariable = "ZHONGKONG_TEST_CHROMIUM"

// ChromiumPackage is what apt installs it by.
const ChromiumPackage = "chromium"

// FindChromium returns the path of a Chromium, or ErrNotInstalled.
func FindChromium() (string, error) {
	if path := os.Getenv(ChromiumVariable); path != "" {
		return path, nil
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: there is no Chromium here", ErrNotInstalled)
}

// ChromiumVersion returns what a Chromium says it is: "Chromium 140.0.7339.80".
func ChromiumVersion(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	version, _, _ := strings.Cut(strings.TrimSpace(string(out)), " built on ")
	return version, err
}

// ChromiumLeftOut says that there is none and how to get one.
func ChromiumLeftOut() string {
	return fmt.Sprintf("there is no Chromium here: install %s, or set %s, or let ZHONGKONG_TEST_INSTALL=1 make test install it", ChromiumPackage, ChromiumVariable)
}
