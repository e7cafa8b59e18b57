//go:build unix

package main

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"

	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
)

// composeFile is what the tests read of one.
type composeFile struct {
	Services map[string]composeService `yaml:"services"`
	Volumes  map[string]any            `yaml:"volumes"`
	Secrets  map[string]struct {
		Environment string `yaml:"environment"`
	} `yaml:"secrets"`
}

type composeService struct {
	Build       string            `yaml:"build"`
	Image       string            `yaml:"image"`
	Command     any               `yaml:"command"`
	Environment map[string]string `yaml:"environment"`
	DependsOn   map[string]any    `yaml:"depends_on"`
	Ports       []string          `yaml:"ports"`
	Volumes     []string          `yaml:"volumes"`
	Secrets     []string          `yaml:"secrets"`
	ReadOnly    bool              `yaml:"read_only"`
	Tmpfs       any               `yaml:"tmpfs"`
	CapDrop     []string          `yaml:"cap_drop"`
	Security    []string          `yaml:"security_opt"`
	Healthcheck struct {
		Test any `yaml:"test"`
	} `yaml:"healthcheck"`
}

// repository reads a file of the repository's root.
func repository(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func readCompose(t *testing.T, name string) composeFile {
	t.Helper()
	var file composeFile
	if err := yaml.Unmarshal([]byte(repository(t, name)), &file); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestComposeGateway: what deploy/compose.gateway.yaml says is what the program understands.
// Its commands parse and their settings are taken; each variable is one that they read;
// addresses lead to where another service listens.
func TestComposeGateway(t *testing.T) {
	t.Parallel()
	file := readCompose(t, "deploy/compose.gateway.yaml")
	image := readDockerfile(t, "Dockerfile")
	listens := map[string]string{"redis": "6379"} // by service: the port in its container
	gateways := 0
	for name, s := range file.Services {
		if s.Build == "" {
			continue
		}
		asked := map[string]bool{}
		env := func(variable string) (string, bool) {
			asked[variable] = true
			value, there := s.Environment[variable]
			if strings.HasPrefix(value, "${ZHONGKONG_SEAL_KEY:?") {
				value = testSeal
			}
			return value, there
		}
		terminal := newTerminal(strings.NewReader(""), io.Discard, io.Discard, env)
		cli := new(commands)
		parser, err := kong.New(cli, kong.Name("zhongkong"))
		if err != nil {
			t.Fatal(err)
		}
		var args []string
		for _, word := range s.Command.([]any) {
			args = append(args, fmt.Sprint(word))
		}
		chosen, err := parser.Parse(args)
		if err != nil {
			t.Errorf("%s: %v: %v", name, args, err)
			continue
		}
		var listen string
		switch chosen.Command() {
		case "serve":
			gateways++
			settings, err := cli.Serve.settings(terminal)
			if err != nil {
				t.Fatal(name, err)
			}
			keys, err := sealKeys(terminal.env)
			if err != nil || len(keys) != 1 {
				t.Error(name, err)
			}
			if _, err := newLogger(terminal, gateway.Log{}); err != nil {
				t.Error(name, err)
			}
			listen = settings.Listen
			if !cli.Serve.PlainHTTP {
				t.Errorf("%s: it would refuse to listen at %s", name, listen)
			}
			if _, port, _ := net.SplitHostPort(defaultListen); !strings.HasSuffix(listen, ":"+port) || image["EXPOSE"] != port {
				t.Errorf("%s listens at %s, the program by itself at %s, and the image exposes %s", name, listen, defaultListen, image["EXPOSE"])
			}
			if health := fmt.Sprint(s.Healthcheck.Test); health != "[CMD zhongkong healthcheck]" {
				t.Errorf("%s: the health check asks elsewhere: %s", name, health)
			}
			if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.Security, "no-new-privileges:true") ||
				!strings.Contains(fmt.Sprint(s.Tmpfs), "/tmp:size=") {
				t.Errorf("%s may do more than it needs, or cannot write bodies to /tmp", name)
			}
		case "simulate":
			accounts, names, err := cli.Simulate.accounts(terminal)
			if err != nil || len(accounts) != 1 || len(names) != 1 || accounts[0].AppID == "" || accounts[0].Secret == "" {
				t.Errorf("%s: %+v %v %v", name, accounts, names, err)
			}
			listen = cli.Simulate.Listen
		default:
			t.Errorf("%s runs %s", name, chosen.Command())
		}
		for variable := range s.Environment {
			if !asked[variable] {
				t.Errorf("%s: %s does not read %s", name, chosen.Command(), variable)
			}
		}
		_, listens[name], _ = net.SplitHostPort(listen)
	}
	if gateways != 2 {
		t.Errorf("%d gateways, want 2", gateways)
	}

	taken := map[string]string{}
	for name, s := range file.Services {
		for other := range s.DependsOn {
			if _, there := file.Services[other]; !there {
				t.Errorf("%s depends on %s, which is not there", name, other)
			}
		}
		for _, variable := range []string{"ZHONGKONG_STORE", "WECHAT_API_BASE"} {
			text := s.Environment[variable]
			u, err := url.Parse(text)
			if text != "" && (err != nil || listens[u.Hostname()] != u.Port() || s.DependsOn[u.Hostname()] == nil) {
				t.Errorf("%s: %s leads to %s, where nothing listens that it waits for", name, variable, text)
			}
		}
		for _, mapping := range s.Ports {
			part := strings.Split(mapping, ":")
			if len(part) != 3 || part[0] != "127.0.0.1" || part[2] != listens[name] || taken[part[1]] != "" {
				t.Errorf("%s: the port %s is not one of loopback's own that leads to %s", name, mapping, listens[name])
				continue
			}
			taken[part[1]] = name
		}
		for _, mapping := range s.Volumes {
			volume, _, _ := strings.Cut(mapping, ":")
			if _, there := file.Volumes[volume]; !there {
				t.Errorf("%s: there is no volume %s", name, volume)
			}
		}
	}
	// An account that the gateways have is one that the simulator has.
	one, wechat := file.Services["gateway-1"].Environment, file.Services["wechat"].Environment
	for _, variable := range []string{"WECHAT_APPID", "WECHAT_APPSECRET"} {
		if one[variable] == "" || one[variable] != wechat[variable] {
			t.Errorf("%s is %q for the gateways and %q for the simulator", variable, one[variable], wechat[variable])
		}
	}
}

// TestComposeComments: the lines to paste from the files' heads are right.
func TestComposeComments(t *testing.T) {
	t.Parallel()
	text := repository(t, "deploy/compose.gateway.yaml")
	for _, line := range regexp.MustCompile(`(?m)run --rm (\S+) (.*)$`).FindAllStringSubmatch(text, -1) {
		if _, there := readCompose(t, "deploy/compose.gateway.yaml").Services[line[1]]; !there {
			t.Errorf("there is no service %s", line[1])
		}
		parser, err := kong.New(new(commands), kong.Name("zhongkong"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse(strings.Fields(line[2])); err != nil {
			t.Errorf("%s: %v", line[2], err)
		}
	}
	text = repository(t, "deploy/compose.yaml")
	servers := readCompose(t, "deploy/compose.yaml").Services
	exported := regexp.MustCompile(`(?m)export (ZHONGKONG_TEST_\w+)='([^']+)'`).FindAllStringSubmatch(text, -1)
	if len(exported) != len(testserver.Engines) {
		t.Errorf("%d servers are exported, want %d", len(exported), len(testserver.Engines))
	}
	for _, line := range exported {
		if !slices.ContainsFunc(testserver.Engines, func(e testserver.Engine) bool { return e.Variable() == line[1] }) {
			t.Errorf("no test reads %s", line[1])
		}
		u, err := url.Parse(line[2])
		if err != nil {
			t.Fatal(err)
		}
		password, _ := u.User.Password()
		found := false
		for _, s := range servers {
			found = found || slices.ContainsFunc(s.Ports, func(mapping string) bool { return strings.HasPrefix(mapping, u.Host+":") }) &&
				strings.Contains(fmt.Sprint(s.Command, s.Environment), password)
		}
		if !found {
			t.Errorf("%s: no service listens at %s with that password", line[1], u.Host)
		}
	}
}

// readDockerfile checks what holds the image's stages together and returns the last
// stage's instructions, the last of each kind.
func readDockerfile(t *testing.T, name string) map[string]string {
	t.Helper()
	stages, last := map[string]bool{}, map[string]string{}
	for line := range strings.Lines(strings.ReplaceAll(repository(t, name), "\\\n", " ")) {
		instruction, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch instruction {
		case "", "#":
			continue
		case "FROM":
			clear(last)
			image, name, named := strings.Cut(rest, " AS ")
			stages[name] = named
			if strings.HasSuffix(image, ":latest") || !strings.Contains(image, ":") {
				t.Errorf("%s is another image every day", image)
			}
		case "COPY":
			if from, there := strings.CutPrefix(strings.Fields(rest)[0], "--from="); there && !stages[from] {
				t.Errorf("there is no stage %s", from)
			}
		}
		last[instruction] = rest
	}
	return last
}

// TestDockerfile: the image runs the program, as a user without rights, in a folder that
// is kept; and it is built by a Go that go.mod allows.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	image := readDockerfile(t, "Dockerfile")
	if !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(image["USER"]) {
		t.Errorf("it runs as %q: Kubernetes wants a number to see that it is not root", image["USER"])
	}
	if image["VOLUME"] != image["WORKDIR"] || image["VOLUME"] == "" {
		t.Errorf("the folder %s is not kept: %s", image["WORKDIR"], image["VOLUME"])
	}
	if !strings.HasSuffix(image["HEALTHCHECK"], ` CMD ["zhongkong", "healthcheck"]`) {
		t.Errorf("its health check is %q", image["HEALTHCHECK"])
	}
	if image["ENTRYPOINT"] != `["zhongkong"]` || image["CMD"] != `["serve"]` || !strings.HasSuffix(image["COPY"], " /usr/local/bin/zhongkong") {
		t.Errorf("it runs %s %s", image["ENTRYPOINT"], image["CMD"])
	}
	text := repository(t, "Dockerfile")
	said := regexp.MustCompile(`(?m)^FROM golang:(\d+\.\d+)`).FindStringSubmatch(text)
	want := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(repository(t, "go.mod"))
	if said == nil || want == nil || said[1] != want[1] {
		t.Errorf("it is built with Go %v, and go.mod says %v", said, want)
	}
	line := regexp.MustCompile(`(?m)^#\s+docker run .* zhongkong (serve .*)$`).FindStringSubmatch(text)
	if line == nil {
		t.Fatal("there is no line to try")
	}
	cli := new(commands)
	parser, err := kong.New(cli, kong.Name("zhongkong"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(strings.Fields(line[1])); err != nil || !strings.HasSuffix(cli.Serve.Listen, ":"+image["EXPOSE"]) ||
		!cli.Serve.PlainHTTP {
		t.Errorf("%s: %v", line[1], err)
	}
}

// TestDockerfileRelease: the image of a release runs as the one that people build.
func TestDockerfileRelease(t *testing.T) {
	t.Parallel()
	built, released := readDockerfile(t, "Dockerfile"), readDockerfile(t, "Dockerfile.release")
	for _, instruction := range []string{"USER", "WORKDIR", "VOLUME", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"} {
		if built[instruction] == "" || built[instruction] != released[instruction] {
			t.Errorf("%s is %q there and %q here", instruction, released[instruction], built[instruction])
		}
	}
	if released["RUN"] != "" || !strings.HasPrefix(released["COPY"], "--chmod=755 ${TARGETOS}/${TARGETARCH}/zhongkong ") {
		t.Errorf("its last stage runs or copies something else: %q %q", released["RUN"], released["COPY"])
	}
}
