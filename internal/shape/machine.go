package shape

import (
	"fmt"
	"strconv"
	"strings"
)

// Port checks the value of a variable such as PORT, which is called name.
func Port(name, value string) error {
	if n, err := strconv.ParseUint(value, 10, 16); err == nil && strconv.FormatUint(n, 10) == value {
		return nil
	}
	return fmt.Errorf("%s is %s: it has to be the number of a port alone, such as 3100", name, Show(value))
}

// Path checks the path of a file, which is called name: a program takes a ~ for the name of a
// folder, where a shell would have put the home folder.
func Path(name, path string) error {
	if strings.HasPrefix(path, "~/") || strings.HasPrefix(path, `~\`) {
		return fmt.Errorf("%s begins with ~, which only a shell replaces: write the home folder's path in its place", name)
	}
	return nil
}

// Proxy returns what is wrong with the variables that name a proxy, "" for nothing. get
// returns the value of a variable. Go programs know HTTPS_PROXY, HTTP_PROXY and NO_PROXY.
func Proxy(get func(name string) string) string {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy"} {
		if get(name) != "" {
			return ""
		}
	}
	for _, name := range []string{"ALL_PROXY", "all_proxy"} {
		if get(name) != "" {
			return name + " is set and HTTPS_PROXY is not: this program uses HTTPS_PROXY alone, and makes its calls without a proxy; set HTTPS_PROXY to the same"
		}
	}
	return ""
}
