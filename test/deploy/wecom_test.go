package deploy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// commented are lines of YAML that an operator may take the # from: each is indented, and
// begins a list's entry, goes on with it or is a variable.
var commented = regexp.MustCompile(`(?m)^( +)# (- [a-zA-Z]+: .*|  [a-zA-Z]+: .*|[A-Z_]+: .*)$`)

// filled reads a file of deploy with what is commented out in it.
func filled(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "deploy", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return commented.ReplaceAllString(string(content), "$1$2")
}

// TestWeCom: every configuration has an app of WeCom that only needs its # taken away, and the
// file that gives the gateway its secrets has that app's.
func TestWeCom(t *testing.T) {
	s := schema(t)
	for config, place := range map[string]struct {
		file  string
		given func(content, variable string) bool
	}{
		"zhongkong.yaml":                 {".env.example", func(content, v string) bool { return strings.Contains(content, "\n# "+v+"=\n") }},
		"compose/zhongkong.yaml":         {"compose.production.yaml", composeGives},
		"kubernetes/base/zhongkong.yaml": {"kubernetes/external-secret.yaml", vaultGives},
		"systemd/zhongkong.yaml":         {"systemd/zhongkong.service", unitGives},
	} {
		content := filled(t, config)
		if err := against(s, content); err != nil {
			t.Errorf("%s: %v\n%s", config, err, content)
			continue
		}
		var settings struct {
			Accounts []struct {
				AppID, CorpID, AgentID string
				Secret                 struct{ Env, File string }
			}
		}
		if err := yaml.Unmarshal([]byte(content), &settings); err != nil {
			t.Fatal(config, err)
		}
		official, apps := 0, 0
		for _, a := range settings.Accounts {
			if a.AppID != "" {
				official++
			}
			if a.CorpID == "" {
				continue
			}
			apps++
			if a.AgentID != "1000002" || a.AppID != "" {
				t.Errorf("%s: the app is %+v", config, a)
			}
			secret := a.Secret.Env + a.Secret.File
			if secret == "" || !place.given(filled(t, place.file), secret) {
				t.Errorf("%s: deploy/%s does not give %q", config, place.file, secret)
			}
		}
		if official != 1 || apps != 1 {
			t.Errorf("%s has %d official accounts and %d apps, want one of each", config, official, apps)
		}
	}
}

// composeGives: every gateway of the compose file has the variable, and its value comes from .env.
func composeGives(content, variable string) bool {
	var file struct {
		Services map[string]struct {
			Command     any
			Environment map[string]string
		}
	}
	if yaml.Unmarshal([]byte(content), &file) != nil {
		return false
	}
	gateways := 0
	for name, s := range file.Services {
		if !strings.HasPrefix(name, "gateway-") {
			continue
		}
		gateways++
		if !strings.HasPrefix(s.Environment[variable], "${"+variable+":?") {
			return false
		}
	}
	return gateways == 2
}

func vaultGives(content, variable string) bool {
	var secret struct {
		Spec struct {
			Data []struct {
				SecretKey string
				RemoteRef struct{ Key, Property string }
			}
		}
	}
	if yaml.Unmarshal([]byte(content), &secret) != nil {
		return false
	}
	for _, d := range secret.Spec.Data {
		if d.SecretKey == variable {
			return d.RemoteRef.Key != "" && d.RemoteRef.Property == strings.ToLower(variable)
		}
	}
	return false
}

// unitGives: systemd names the credentials after the folder and the file in it, and the unit
// names the file among those to make.
func unitGives(content, path string) bool {
	name, ours := strings.CutPrefix(path, "/run/credentials/zhongkong.service/secrets_")
	return ours && strings.Contains(content, "LoadCredential=secrets:/etc/zhongkong/secrets\n") && strings.Contains(content, ", "+name+": docs/deploying.md")
}
