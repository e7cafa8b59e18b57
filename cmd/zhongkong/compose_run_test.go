//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
)

// composed are the services of a compose file as processes of this machine: what is a
// service's own address there is one of loopback's here, what is mounted is a folder.
type composed struct {
	t         *testing.T
	file      composeFile
	variables map[string]string // of the shell that runs docker compose
	addresses map[string]string // here, by service:port there
	folder    string
	store     string // replaces the database's URL; "" leaves it as it is
}

func compose(t *testing.T, name string, variables map[string]string) *composed {
	t.Helper()
	return &composed{t: t, file: readCompose(t, name), variables: variables, addresses: map[string]string{}, folder: t.TempDir()}
}

// at returns where a port of a service is on this machine.
func (c *composed) at(service, port string) string {
	c.t.Helper()
	name := service + ":" + port
	if c.addresses[name] == "" {
		c.addresses[name] = testserver.FreeAddr(c.t)
	}
	return c.addresses[name]
}

var (
	everywhere = regexp.MustCompile(`\b0\.0\.0\.0:(\d+)\b`)
	variable   = regexp.MustCompile(`\$\{(\w+)(?::\?[^}]*)?\}`)
)

// moved puts a service's text from its container to this machine.
func (c *composed) moved(service, text string) string {
	c.t.Helper()
	text = variable.ReplaceAllStringFunc(text, func(found string) string {
		name := variable.FindStringSubmatch(found)[1]
		if c.variables[name] == "" {
			c.t.Errorf("%s needs the variable %s", service, name)
		}
		return c.variables[name]
	})
	text = everywhere.ReplaceAllStringFunc(text, func(found string) string {
		return c.at(service, everywhere.FindStringSubmatch(found)[1])
	})
	for other := range c.file.Services {
		named := regexp.MustCompile(`\b` + regexp.QuoteMeta(other) + `:(\d+)\b`)
		text = named.ReplaceAllStringFunc(text, func(found string) string { return c.at(other, named.FindStringSubmatch(found)[1]) })
	}
	for _, path := range c.mounted(service) {
		text = regexp.MustCompile(`(^|[\s=:"])`+regexp.QuoteMeta(path)+`\b`).ReplaceAllString(text, "${1}"+c.place(service, path))
	}
	return text
}

// place is where a path of a service's container is.
func (c *composed) place(service, path string) string { return filepath.Join(c.folder, service, path) }

// mounted are the paths in a service's container that come from outside.
func (c *composed) mounted(service string) (paths []string) {
	for _, mapping := range c.file.Services[service].Volumes {
		paths = append(paths, strings.Split(mapping, ":")[1])
	}
	for _, name := range c.file.Services[service].Secrets {
		paths = append(paths, "/run/secrets/"+name)
	}
	return paths
}

// mount writes what a service gets from outside. edit changes a file's text.
func (c *composed) mount(service string, edit func(string) string) {
	c.t.Helper()
	write := func(path, text string) {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			c.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
	for _, mapping := range c.file.Services[service].Volumes {
		part := strings.Split(mapping, ":")
		if !strings.HasPrefix(part[0], ".") {
			if err := os.MkdirAll(c.place(service, part[1]), 0o700); err != nil {
				c.t.Fatal(err)
			}
			continue
		}
		write(c.place(service, part[1]), edit(c.moved(service, repository(c.t, filepath.Join("deploy", part[0])))))
	}
	for _, name := range c.file.Services[service].Secrets {
		write(c.place(service, "/run/secrets/"+name), c.variables[c.file.Secrets[name].Environment])
	}
}

// words is the command of a service.
func (c *composed) words(service string) (words []string) {
	for _, word := range c.file.Services[service].Command.([]any) {
		words = append(words, c.moved(service, word.(string)))
	}
	return words
}

// environment is that of a service.
func (c *composed) environment(service string) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.folder, "TMPDIR=" + c.folder, "ZHONGKONG_DRAIN_GRACE=0s"}
	for name, value := range c.file.Services[service].Environment {
		if name == "ZHONGKONG_STORE" && c.store != "" {
			value = c.store
		}
		env = append(env, name+"="+c.moved(service, value))
	}
	return env
}

// start runs a program as a service, which ends with the test.
func (c *composed) start(service, program string, args ...string) {
	c.t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env, cmd.Dir = c.environment(service), c.folder
	testserver.Run(c.t, cmd)
}

// healthy waits until a service's health check says so.
func (c *composed) healthy(service, port string) {
	c.t.Helper()
	check, _ := c.file.Services[service].Healthcheck.Test.([]any)
	if len(check) != 3 || check[1] != "zhongkong" {
		c.t.Fatalf("the health check of %s is %v", service, check)
	}
	patience.Until(c.t, service+"'s health check", func() bool {
		_, _, err := command(c.t, nil, check[2].(string), c.at(service, port))
		return err == nil
	})
}

// called adds a client as the file's head says, and calls WeChat through each gateway.
func (c *composed) called(name string) {
	c.t.Helper()
	line := regexp.MustCompile(`(?m)run --rm gateway-1 (client add shop --account (\S+))$`).FindStringSubmatch(repository(c.t, name))
	if line == nil {
		c.t.Fatal("the head adds no client")
	}
	out, errs, err := command(c.t, c.environment("gateway-1"), strings.Fields(line[1])...)
	if err != nil {
		c.t.Fatal(err, errs)
	}
	key := strings.TrimSpace(out)
	for _, gateway := range []string{"gateway-1", "gateway-2"} {
		var answer string
		if !patience.Wait(func() bool {
			answer = apiCall(c.t, "http://"+c.at(gateway, "8300"), line[2], key)
			return strings.Contains(answer, "ip_list")
		}) {
			c.t.Errorf("%s answers the new client %s\n%s", gateway, answer, out)
		}
		if out, errs, err := command(c.t, nil, "healthcheck", "--ready", c.at(gateway, "8300")); err != nil {
			c.t.Errorf("%s is not ready: %v %s %s", gateway, err, out, errs)
		}
	}
}

// TestComposeGatewayRuns starts what deploy/compose.gateway.yaml names: Redis, the simulator
// and both gateways, with the commands and the environment of the file.
func TestComposeGatewayRuns(t *testing.T) {
	t.Parallel()
	const name = "deploy/compose.gateway.yaml"
	redis := testserver.Program(t, "redis-server", testserver.Redis.Package())
	c := compose(t, name, map[string]string{"ZHONGKONG_SEAL_KEY": testSeal})
	_, port, _ := strings.Cut(c.at("redis", "6379"), ":")
	c.mount("redis", nil)
	c.start("redis", redis, append(c.words("redis")[1:], "--bind", "127.0.0.1", "--port", port, "--dir", c.place("redis", "/data"))...)
	for _, service := range []string{"wechat", "gateway-1", "gateway-2"} {
		c.start(service, binary(t), c.words(service)...)
	}
	c.healthy("gateway-1", "8300")
	c.healthy("gateway-2", "8300")
	c.called(name)
}

// TestComposeProductionRuns starts what deploy/compose.production.yaml names, on a PostgreSQL
// and with a simulated WeChat: the gateways answer, their admin pages too, and Prometheus
// scrapes both. Grafana is not to be had here: its files are there and name one another.
func TestComposeProductionRuns(t *testing.T) {
	t.Parallel()
	const name = "deploy/compose.production.yaml"
	prometheus := testserver.Program(t, "prometheus", testserver.PromtoolPackage)
	database := testserver.Own(t, testserver.Postgres, func(ctx context.Context) (*testserver.Server, error) { return testserver.StartPostgres(ctx) })
	variables := map[string]string{}
	inUse := regexp.MustCompile(`(?m)^ *#.*$`).ReplaceAllString(repository(t, name), "")
	for _, found := range variable.FindAllStringSubmatch(inUse, -1) {
		variables[found[1]] = strings.Repeat("made-up-", 4) + found[1]
	}
	variables["ZHONGKONG_SEAL_KEY"], variables["SHOP_APPSECRET"] = testSeal, strings.Repeat("0123456789abcdef", 2)
	example := repository(t, "deploy/.env.example")
	for name := range variables {
		if !strings.Contains(example, "\n"+name+"=\n") {
			t.Errorf(".env.example does not name %s", name)
		}
	}
	c := compose(t, name, variables)
	c.store = database.URL
	simulated := testserver.FreeAddr(t)
	account := filepath.Join(c.folder, "shop.env")
	if err := os.WriteFile(account, []byte("WECHAT_APPID=wx0123456789abcdef\nWECHAT_APPSECRET="+variables["SHOP_APPSECRET"]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.start("postgres", binary(t), "simulate", "--listen", simulated, "--account", account)
	for _, service := range []string{"gateway-1", "gateway-2"} {
		c.mount(service, func(text string) string { return text + "api_base: http://" + simulated + "\n" })
		c.start(service, binary(t), c.words(service)...)
	}
	c.mount("prometheus", func(text string) string {
		return strings.ReplaceAll(text, "scrape_interval: 15s", "scrape_interval: 1s")
	})
	watch := testserver.FreeAddr(t)
	c.start("prometheus", prometheus, append(c.words("prometheus"), "--web.listen-address="+watch)...)
	c.healthy("gateway-1", "8300")
	c.healthy("gateway-2", "8300")
	c.called(name)
	for _, service := range []string{"gateway-1", "gateway-2"} {
		if status, page := fetched(t, "GET", "http://"+c.at(service, "8301")+"/page/", ""); status != http.StatusOK || !strings.Contains(page, "<form") {
			t.Errorf("%s's page: %d %s", service, status, page)
		}
	}
	var targets struct {
		Data struct {
			Active []struct{ Health, ScrapeURL, LastError string } `json:"activeTargets"`
		} `json:"data"`
	}
	if !patience.Wait(func() bool {
		res, err := http.Get("http://" + watch + "/api/v1/targets")
		if err != nil {
			return false
		}
		defer func() { _ = res.Body.Close() }()
		body, _ := io.ReadAll(res.Body)
		up := 0
		if json.Unmarshal(body, &targets) != nil {
			return false
		}
		for _, target := range targets.Data.Active {
			if target.Health == "up" {
				up++
			}
		}
		return up == 2
	}) {
		t.Errorf("Prometheus scrapes %+v", targets)
	}
	var grafana []string
	for _, mapping := range c.file.Services["grafana"].Volumes {
		if part := strings.Split(mapping, ":"); strings.HasPrefix(part[0], ".") {
			grafana = append(grafana, part[1])
			if repository(t, filepath.Join("deploy", part[0])) == "" {
				t.Errorf("%s is empty", part[0])
			}
		}
	}
	if len(grafana) != 3 || !strings.HasPrefix(grafana[2], "/var/lib/grafana/dashboards/") ||
		!strings.Contains(repository(t, "deploy/compose/grafana-dashboards.yaml"), "path: /var/lib/grafana/dashboards}") {
		t.Errorf("Grafana gets %q", grafana)
	}
}

// TestImageRuns: the command lines of the image as processes. What it starts by itself says
// what it lacks; the line in its head serves, and its health check says so.
func TestImageRuns(t *testing.T) {
	t.Parallel()
	image := readDockerfile(t, "Dockerfile")
	var entry, by, check []string
	for instruction, into := range map[string]*[]string{"ENTRYPOINT": &entry, "CMD": &by, "HEALTHCHECK": &check} {
		_, list, _ := strings.Cut(image[instruction], "[")
		if err := json.Unmarshal([]byte("["+list), into); err != nil {
			t.Fatal(instruction, err)
		}
	}
	if !slices.Equal(entry, []string{"zhongkong"}) || check[0] != "zhongkong" {
		t.Fatalf("it runs %q and %q", entry, check)
	}
	_, errs, err := command(t, nil, by...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitMistake || !strings.Contains(errs, "--config FILE") {
		t.Errorf("%q: %v %s", by, err, errs)
	}
	line := regexp.MustCompile(`(?m)^#\s+docker run .* zhongkong (serve .*)$`).FindStringSubmatch(repository(t, "Dockerfile"))
	at := testserver.FreeAddr(t)
	s := serve(t, nil, strings.Fields(strings.ReplaceAll(line[1], "0.0.0.0:8300", at))[1:]...)
	if out, errs, err := command(t, nil, append(check[1:], at)...); err != nil {
		t.Errorf("its health check: %v %s%s", err, out, errs)
	}
	s.stop(t)
	if _, _, err := command(t, nil, append(check[1:], at)...); err == nil {
		t.Error("its health check finds one that has ended well")
	}
}
